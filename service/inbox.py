"""Replies: stored and committed before anything reads them, then triaged with all consequences in one
transaction.

A triage that fails for whatever reason becomes an urgent escalation and is tried again by the backlog job.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, or_, select

from messages.urgency import Urgency
from service import escalations, outbox, together
from service.consequences import draw
from service.db import among, session_on
from service.keyring import Unreadable
from service.models import Patient, Reply, metadata, new_id
from service.runtime import Runtime
from service.surroundings import Around, look_around

log = logging.getLogger(__name__)

REPLIES = metadata.tables["replies"]
CONFLICT_TRIES = 3
MOST_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=30)
BACKLOG_BATCH = 200
HANDFUL = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A text as the carrier gave it to us. ``received_at`` (aware UTC) is the carrier's time when it is
    known; ``caught_up`` marks what was read from the carrier's log."""

    carrier_sid: str
    from_phone: str
    to_phone: str | None
    body: str
    media: Sequence[dict[str, Any]] | None = None
    opt_out_type: str | None = None
    segments: int = 1
    received_at: datetime | None = None
    caught_up: bool = False


def store(session: Session, arrivals: Sequence[Arrival], now: datetime) -> list[str]:
    """Store replies and commit, before anything looks at them. Returns the ids of those that are new.

    The same ``carrier_sid`` again changes nothing.
    """
    rows = {one.carrier_sid: _row(one, now) for one in reversed(arrivals)}
    ids = [row["id"] for row in reversed(rows.values())]
    new = together.insert(session.connection(), REPLIES, list(reversed(rows.values())), unless="carrier_sid")
    if new < len(ids):
        stored = set(session.execute(select(Reply.id).where(col(Reply.id).in_(ids))).scalars())
        ids = [each for each in ids if each in stored]
    session.commit()
    return ids


def receive(session: Session, *, now: datetime, **arrival: Any) -> tuple[Reply, bool]:
    """Store one reply (see ``Arrival``) and commit. Returns the row and whether it is new."""
    one = Arrival(**arrival)
    is_new = bool(store(session, [one], now))
    return session.exec(select(Reply).where(Reply.carrier_sid == one.carrier_sid)).one(), is_new


def _row(one: Arrival, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "carrier_sid": one.carrier_sid,
        "from_phone": one.from_phone,
        "to_phone": _storable(one.to_phone),
        "body": _storable(one.body),
        "media": [{name: _storable(value) for name, value in each.items()} for each in one.media or ()]
        or None,
        "opt_out_type": _storable(one.opt_out_type),
        "segments": one.segments,
        "received_at": one.received_at or now,
        "stored_at": now,
        "caught_up": one.caught_up,
        "from_caregiver": False,
        "triage_attempts": 0,
    }


def _storable(value: Any) -> Any:
    """A database text holds neither NUL nor half a surrogate pair; the rest stays exactly as written."""
    if not isinstance(value, str):
        return value
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def triage_reply(runtime: Runtime, reply_id: str, now: datetime) -> None:
    """Triage one stored reply; see ``triage_replies``."""
    triage_replies(runtime, [reply_id], now)


def triage_replies(runtime: Runtime, reply_ids: Sequence[str], now: datetime) -> None:
    """Triage stored replies and write every consequence; once per reply, whoever else tries at the same time.

    They are read by the handful, each handful in one transaction; one that fails is read again reply by
    reply, so that each stands or falls alone. Never raises: the replies are stored, and a failure is an
    escalation of its own. Whom to page is the workers' business: nobody but they could send a page.
    """
    waiting = list(reply_ids)
    while waiting:
        handful, waiting = waiting[:HANDFUL], waiting[HANDFUL:]
        if len(handful) > 1:
            try:
                waiting = _triage(runtime, handful, now) + waiting
                continue
            except Exception as error:
                log.warning("%d replies are read one by one (%s)", len(handful), type(error).__name__)
        for reply_id in handful:
            _triage_alone(runtime, reply_id, now)
    runtime.wake.set()


def _triage_alone(runtime: Runtime, reply_id: str, now: datetime) -> None:
    for attempt in range(1, CONFLICT_TRIES + 1):
        try:
            _triage(runtime, [reply_id], now)
            return
        except DBAPIError as error:  # two workers met on the same rows: the loser simply begins again
            log.warning("triage of reply %s met a database conflict (%s)", reply_id, type(error).__name__)
            if attempt == CONFLICT_TRIES:
                break
        except Exception as error:  # never its text: it may quote the patient
            log.error("triage of reply %s failed: %s", reply_id, type(error).__name__)
            break
    try:
        with session_on(runtime.engine) as session:
            _note_failure(session, runtime, reply_id, now)
    except Exception as error:
        log.critical("reply %s is stored but could not be escalated: %s", reply_id, type(error).__name__)


def _triage(runtime: Runtime, reply_ids: Sequence[str], now: datetime) -> list[str]:
    """One transaction. Returns those that must wait for their turn: a second text of one phone or about one
    patient is read when what follows from the first is written."""
    with session_on(runtime.engine) as session:
        rows = session.exec(
            select(Reply)
            .where(among(session, col(Reply.id), reply_ids), col(Reply.triaged_at).is_(None))
            .with_for_update(skip_locked=True)
        ).all()
        if not rows:
            return []
        if any(isinstance(row.body, Unreadable) or isinstance(row.from_phone, Unreadable) for row in rows):
            raise LookupError("a key of encryption at rest is missing")  # its placeholder must never be read
        order = {reply_id: place for place, reply_id in enumerate(reply_ids)}
        arounds = look_around(session, sorted(rows, key=lambda row: order[row.id]), now)
        first: list[Around] = []
        subjects: set[str] = set()
        for around in arounds:
            about = around.subjects | {around.nobody}
            if not about & subjects:
                first.append(around)
            subjects |= about
        draw(session, runtime, first, now)
        session.commit()
    done = {around.reply.id for around in first}
    return [around.reply.id for around in arounds if around.reply.id not in done]


def _note_failure(session: Session, runtime: Runtime, reply_id: str, now: datetime) -> None:
    """A reply nobody could read: an urgent escalation now, another try soon, less and less often."""
    reply = session.get_one(Reply, reply_id, with_for_update=True)
    if reply.triaged_at is not None:
        return
    reply.triage_attempts += 1
    reply.triage_after = now + FIRST_RETRY * 2 ** (reply.triage_attempts - 1)
    reply.urgency = str(Urgency.URGENT)
    if reply.triage_attempts >= MOST_ATTEMPTS:
        reply.triaged_at = now  # a person has it; trying for ever would hide it
    patient = session.exec(
        select(Patient)
        .where(
            or_(
                Patient.phone_hash == reply.from_phone_hash,
                Patient.caregiver_phone_hash == reply.from_phone_hash,
            )
        )
        .order_by(col(Patient.created_at))
    ).first()
    reply.patient_id = patient.id if patient else None
    session.add(reply)
    if reply.triage_attempts == 1:
        escalations.open_escalation(
            session,
            now=now,
            site=runtime.site,
            reason="triage_failed",
            urgency=Urgency.URGENT,
            patient_id=patient.id if patient else None,
            phone=reply.from_phone,
            reply_id=reply.id,
            summary="The service could not read this reply. Please read it now.",
        )
        outbox.wake_workers(session, reply.id)
    session.commit()


def triage_backlog(runtime: Runtime, now: datetime, limit: int = BACKLOG_BATCH) -> dict[str, int]:
    """Triage what is stored but unread: after a crash, a failure, or a catch-up. Oldest first."""
    with session_on(runtime.engine) as session:
        waiting = session.exec(
            select(Reply.id)
            .where(
                col(Reply.triaged_at).is_(None),
                or_(col(Reply.triage_after).is_(None), col(Reply.triage_after) <= now),
            )
            .order_by(col(Reply.received_at), col(Reply.id))
            .limit(limit)
        ).all()
    triage_replies(runtime, waiting, now)
    with session_on(runtime.engine) as session:
        read = session.exec(
            select(Reply.id).where(col(Reply.id).in_(waiting), col(Reply.triaged_at).is_not(None))
        ).all()
    return {"tried": len(waiting), "triaged": len(read)}
