"""Telling the carrier to forget the words of texts that we have read (AFTERCARE_CARRIER_REDACTION).

What is to be forgotten stands in a table of its own until the carrier has done it: the list outlives a crash,
and the text's own row. Records on legal hold are left alone.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, exists, not_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from service import marks
from service.carriers import CarrierError
from service.db import reading, session_on
from service.models import CarrierRedaction, metadata
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

FILLED = "carrier_redaction:filled"
FILL_EVERY = timedelta(hours=1)
FILL_AT_ONCE = 500
AT_ONCE = 50
IN_HAND = timedelta(minutes=2)  # longer than a round of calls: another worker leaves them alone
LONGEST_WAIT = timedelta(hours=12)
REPLIES, MESSAGES = metadata.tables["replies"], metadata.tables["outbound_messages"]
HOLDS, QUEUED = metadata.tables["legal_holds"], metadata.tables["carrier_redactions"]
DONE_STATES = ("accepted", "sent", "delivered", "undelivered", "failed")


def queue_texts(session: Session, runtime: Runtime, texts: Iterable[tuple[str, bool]], now: datetime) -> int:
    """Note carrier ids (and whether pictures came with them) to be forgotten at once; returns how many.
    Those noted already stay as they are. Nothing when the setting is off. No commit."""
    if runtime.settings.carrier_forgets_after is None:
        return 0
    rows = [
        {
            "carrier_sid": sid,
            "has_media": has_media,
            "status": "waiting",
            "tries": 0,
            "next_at": now,
            "queued_at": now,
        }
        for sid, has_media in texts
    ]
    if not rows:
        return 0
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(CarrierRedaction).on_conflict_do_nothing(index_elements=["carrier_sid"])
    session.execute(statement, rows)
    return len(rows)


def queue_rows(session: Session, runtime: Runtime, table: Table, ids: Sequence[str], now: datetime) -> None:
    """The same for rows of one of our two tables of texts that are about to be deleted."""
    if table in (REPLIES, MESSAGES):
        queue_texts(session, runtime, _texts(session, table, table.c.id.in_(ids)), now)


def queue_for_patient(session: Session, runtime: Runtime, patient_id: str, now: datetime) -> None:
    """The same for every text of one patient."""
    for table in (REPLIES, MESSAGES):
        queue_texts(session, runtime, _texts(session, table, table.c.patient_id == patient_id), now)


def _texts(
    session: Session, table: Table, condition: ColumnElement[bool], limit: int | None = None
) -> list[tuple[str, bool]]:
    media = [table.c.media] if "media" in table.c else []
    wanted = select(table.c.carrier_sid, *media).where(table.c.carrier_sid.is_not(None), condition)
    return [(row[0], bool(row[1]) if media else False) for row in session.execute(wanted.limit(limit))]


def queue_old(runtime: Runtime, now: datetime) -> int:
    """Once an hour: every text older than the setting that is not noted yet. Commits in batches."""
    after = runtime.settings.carrier_forgets_after
    if after is None:
        return 0
    with session_on(runtime.engine) as session:
        mark = marks.get_mark(session, FILLED)
        if mark is not None and abs(now - mark.at) < FILL_EVERY:
            session.rollback()
            return 0
        marks.set_mark(session, FILLED, now)
        session.commit()
    noted = 0
    for table, old in ((REPLIES, _old_replies(now - after)), (MESSAGES, _old_messages(now - after))):
        held = exists().where(HOLDS.c.patient_id == table.c.patient_id, HOLDS.c.lifted_at.is_(None))
        known = exists().where(QUEUED.c.carrier_sid == table.c.carrier_sid)
        while True:
            with session_on(runtime.engine) as session:
                texts = _texts(session, table, and_(old, not_(held), not_(known)), FILL_AT_ONCE)
                noted += queue_texts(session, runtime, texts, now)
                session.commit()
            if len(texts) < FILL_AT_ONCE:
                break
    return noted


def _old_replies(cutoff: datetime) -> ColumnElement[bool]:
    """Read by triage; what a person must still read stays with us, only the carrier forgets it."""
    return and_(REPLIES.c.received_at < cutoff, REPLIES.c.triaged_at.is_not(None))


def _old_messages(cutoff: datetime) -> ColumnElement[bool]:
    """Pages are left out: they say nothing about a patient."""
    return and_(
        MESSAGES.c.accepted_at < cutoff, MESSAGES.c.status.in_(DONE_STATES), MESSAGES.c.kind != "page"
    )


def carry_out(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Ask the carrier for what is due, with no session open. Returns counts by outcome. Commits."""
    if runtime.settings.carrier_forgets_after is None:
        return {}
    with reading(runtime.engine) as session:
        if session.execute(select(QUEUED.c.carrier_sid).where(_due(now)).limit(1)).first() is None:
            return {}
    with session_on(runtime.engine) as session:
        rows = _take(session, now)
        session.commit()
    counts: Counter[str] = Counter()
    for sid, has_media, tries in rows:
        if runtime.stopping.is_set():
            break
        values = _ask(runtime, sid, has_media, tries, now)
        counts[str(values.get("status", "later"))] += 1
        with session_on(runtime.engine) as session:
            session.execute(QUEUED.update().where(QUEUED.c.carrier_sid == sid).values(**values))
            session.commit()
    return dict(counts)


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(QUEUED.c.status == "waiting", QUEUED.c.next_at <= now)


def _take(session: Session, now: datetime) -> list[tuple[str, bool, int]]:
    """A round of work for this worker; rows of a record that came under legal hold since wait a day."""
    rows = session.execute(
        select(QUEUED.c.carrier_sid, QUEUED.c.has_media, QUEUED.c.tries)
        .where(_due(now))
        .order_by(QUEUED.c.next_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    sids = [row.carrier_sid for row in rows]
    held: set[str] = set()
    for table in (REPLIES, MESSAGES):
        standing = and_(HOLDS.c.patient_id == table.c.patient_id, HOLDS.c.lifted_at.is_(None))
        wanted = select(table.c.carrier_sid).where(table.c.carrier_sid.in_(sids), exists().where(standing))
        held |= set(session.execute(wanted).scalars())
    for these, wait in ((held, timedelta(days=1)), (set(sids) - held, IN_HAND)):
        session.execute(QUEUED.update().where(QUEUED.c.carrier_sid.in_(these)).values(next_at=now + wait))
    return [(row.carrier_sid, row.has_media, row.tries) for row in rows if row.carrier_sid not in held]


def _ask(runtime: Runtime, sid: str, has_media: bool, tries: int, now: datetime) -> dict[str, Any]:
    """What to write about one text after asking the carrier."""
    try:
        runtime.carrier.redact(sid, has_media=has_media)
    except CarrierError as error:
        if error.permanent:
            log.error("the carrier will not forget the text %s: code %s", sid, error.code or "none")
            return {"status": "refused", "tries": tries + 1, "error_code": error.code or None}
        wait = min(LONGEST_WAIT, timedelta(minutes=2 ** min(tries, 10)))
        return {"tries": tries + 1, "next_at": now + wait, "error_code": error.code or None}
    return {"status": "done", "tries": tries + 1, "done_at": now, "error_code": None}
