"""Deleting what is older than the site keeps it: small batches, each its own transaction, so that it can stop
and go on at any time.

Nothing is touched that anything open still needs: an unresolved escalation, a course that runs, a text on its
way, a reply nobody has read, a record on legal hold, or a reply the carrier's log would bring back.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, not_, or_, select
from sqlmodel import Session

from messages.retention import KINDS
from service import audit, carrier_log, carrier_redaction, marks, record, sessions
from service.db import reading, session_on
from service.models import metadata
from service.runtime import Runtime

PATIENTS_AT_ONCE = 20
ROWS_AT_ONCE = 500
CAUGHT_UP_MARGIN = timedelta(hours=2)
TABLES = metadata.tables
PATIENTS, ENROLLMENTS, ESCALATIONS = TABLES["patients"], TABLES["enrollments"], TABLES["escalations"]
REPLIES, MESSAGES, HOLDS = TABLES["replies"], TABLES["outbound_messages"], TABLES["legal_holds"]
ASSESSMENTS, MARKS = TABLES["assessments"], TABLES["marks"]
ON_THEIR_WAY = or_(
    MESSAGES.c.status.in_(("planned", "claimed")),
    and_(MESSAGES.c.status == "unknown", MESSAGES.c.settled_at.is_(None)),
)
STANDING = HOLDS.c.lifted_at.is_(None)


@dataclass(frozen=True)
class Due:
    """What one kind has to delete. ``held``: patients that only a legal hold keeps."""

    kind: str
    kept: timedelta | None
    count: int
    held: int = 0


def preview(runtime: Runtime, now: datetime) -> list[Due]:
    """How much each kind would delete now; nothing is changed."""
    found = []
    with reading(runtime.engine) as session:
        for kind in KINDS:
            kept = getattr(runtime.site.retention, kind)
            if kept is None:
                found.append(Due(kind, None, 0))
                continue
            count, held = 0, 0
            if kind == "patients":
                over = _over(session, now - kept)
                count = _count(session, PATIENTS, and_(over, not_(_is_held())))
                held = _count(session, PATIENTS, and_(over, _is_held()))
            else:
                for table, condition in _conditions(session, kind, now, now - kept):
                    count += _count(session, table, condition)
            found.append(Due(kind, kept, count, held))
    return found


def _count(session: Session, table: Table, condition: ColumnElement[bool]) -> int:
    return session.execute(select(func.count()).select_from(table).where(condition)).scalar_one()


def purge(runtime: Runtime, now: datetime, seen: Callable[[str, int], None] | None = None) -> dict[str, int]:
    """One batch of every kind; returns rows deleted by kind (patients, not their rows). Commits each batch.

    Call it again while it returns something. ``seen`` is told each kind with its count.
    """
    counts: Counter[str] = Counter()
    for kind in KINDS:
        kept = getattr(runtime.site.retention, kind)
        if kept is None:
            continue
        if kind == "patients":
            counts[kind] = _purge_patients(runtime, now, now - kept)
        else:
            counts[kind] = _purge_rows(runtime, kind, now, now - kept)
        if seen is not None and counts[kind]:
            seen(kind, counts[kind])
    return dict(+counts)


def _purge_patients(runtime: Runtime, now: datetime, cutoff: datetime) -> int:
    with reading(runtime.engine) as session:
        ready = and_(_over(session, cutoff), not_(_is_held()))
        wanted = select(PATIENTS.c.id).where(ready).order_by(PATIENTS.c.created_at, PATIENTS.c.id)
        ids = session.execute(wanted.limit(PATIENTS_AT_ONCE)).scalars().all()
    return sum(_purge_patient(runtime, patient_id, now, cutoff) for patient_id in ids)


def _purge_patient(runtime: Runtime, patient_id: str, now: datetime, cutoff: datetime) -> bool:
    """Look again with the row locked: a text may have come in since. The lock holds off new rows."""
    with session_on(runtime.engine) as session:
        locked = select(PATIENTS.c.id).where(PATIENTS.c.id == patient_id).with_for_update(skip_locked=True)
        if session.execute(locked).first() is None:
            session.rollback()
            return False
        ready = and_(PATIENTS.c.id == patient_id, _over(session, cutoff), not_(_is_held()))
        if session.execute(select(PATIENTS.c.id).where(ready)).first() is None:
            session.rollback()
            return False
        carrier_redaction.queue_for_patient(session, runtime, patient_id, now)
        gone = record.delete_all(session, patient_id)
        audit.record(
            session, now=now, actor=audit.SYSTEM, action="delete by retention", subject_kind="patient",
            subject_id=patient_id, detail=dict(gone),
        )  # fmt: skip
        session.commit()
    return True


def _over(session: Session, cutoff: datetime) -> ColumnElement[bool]:
    """Patients with whom everything is over, and was before ``cutoff``."""

    def none_of(table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        return not_(exists().where(table.c.patient_id == PATIENTS.c.id, or_(*conditions)))

    return and_(
        PATIENTS.c.created_at < cutoff,
        none_of(
            ENROLLMENTS,
            ENROLLMENTS.c.status.in_(("active", "paused")),
            and_(ENROLLMENTS.c.status == "completed", ENROLLMENTS.c.ends_at >= cutoff),
            ENROLLMENTS.c.withdrawn_at >= cutoff,
        ),
        none_of(ESCALATIONS, ESCALATIONS.c.status != "resolved", ESCALATIONS.c.resolved_at >= cutoff),
        none_of(MESSAGES, ON_THEIR_WAY, MESSAGES.c.created_at >= cutoff),
        none_of(
            REPLIES, REPLIES.c.triaged_at.is_(None), REPLIES.c.received_at >= _forgotten(session, cutoff)
        ),
        none_of(ASSESSMENTS, ASSESSMENTS.c.at >= cutoff),
    )


def _is_held() -> ColumnElement[bool]:
    return exists().where(HOLDS.c.patient_id == PATIENTS.c.id, STANDING)


def _forgotten(session: Session, cutoff: datetime) -> datetime:
    """Replies before this are read from the carrier's log no more, so that a deleted one does not return."""
    mark = marks.get_mark(session, carrier_log.CAUGHT_UP)
    if mark is None or not mark.detail:
        return cutoff
    return min(cutoff, datetime.fromisoformat(mark.detail["newest"]) - CAUGHT_UP_MARGIN)


def _purge_rows(runtime: Runtime, kind: str, now: datetime, cutoff: datetime) -> int:
    deleted = 0
    with session_on(runtime.engine) as session:
        for table, condition in _conditions(session, kind, now, cutoff):
            key = next(iter(table.primary_key.columns))
            batch = session.execute(select(key).where(condition).limit(ROWS_AT_ONCE)).scalars().all()
            if not batch:
                continue
            if key.name == "id":
                if "carrier_sid" in table.c:
                    carrier_redaction.queue_rows(session, runtime, table, batch, now)
                deleted += sum(record.delete_with_children(session, table.name, batch).values())
            else:
                result: Any = session.execute(delete(table).where(key.in_(batch)))
                deleted += result.rowcount
        if deleted:
            audit.record(
                session, now=now, actor=audit.SYSTEM, action="delete by retention", subject_kind=kind,
                detail={"rows": deleted},
            )  # fmt: skip
        session.commit()
    return deleted


def _conditions(
    session: Session, kind: str, now: datetime, cutoff: datetime
) -> list[tuple[Table, ColumnElement[bool]]]:
    """Tables and conditions of one kind, children before parents."""
    if kind == "strangers":
        return _of_strangers(_forgotten(session, cutoff))
    if kind == "pages":
        return _of_pages(_forgotten(session, cutoff))
    simulated, asked, tries = (
        TABLES["simulated_texts"],
        TABLES["carrier_redactions"],
        TABLES["sign_in_attempts"],
    )
    browsers, pictures = TABLES["member_sessions"], TABLES["simulated_pictures"]
    old_log = simulated.c.created_at < cutoff
    of_kind: dict[str, list[tuple[Table, ColumnElement[bool]]]] = {
        "carrier_log": [
            (pictures, pictures.c.carrier_sid.in_(select(simulated.c.carrier_sid).where(old_log))),
            (simulated, old_log),
            (asked, and_(asked.c.status != "waiting", asked.c.queued_at < cutoff)),
        ],
        "sign_ins": [(tries, tries.c.at < cutoff)],
        "sessions": [
            (
                browsers,
                or_(browsers.c.expires_at < cutoff, browsers.c.seen_at < cutoff - sessions.ABSOLUTE),
            )
        ],
        "heartbeats": [
            (
                MARKS,
                and_(
                    or_(MARKS.c.name.startswith("tick:"), MARKS.c.name.startswith("looking:")),
                    MARKS.c.at < cutoff,
                ),
            )
        ],
    }
    return of_kind[kind]


def _of_strangers(cutoff: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Rows of nobody we know: escalations that are resolved, then replies that nothing that stays needs."""

    resolved = and_(
        ESCALATIONS.c.patient_id.is_(None),
        ESCALATIONS.c.status == "resolved",
        ESCALATIONS.c.resolved_at < cutoff,
        not_(exists().where(MESSAGES.c.escalation_id == ESCALATIONS.c.id, ON_THEIR_WAY)),
    )
    old = and_(
        REPLIES.c.patient_id.is_(None),
        REPLIES.c.from_member_id.is_(None),
        _unneeded_reply(cutoff),
    )
    return [(ESCALATIONS, resolved), (REPLIES, old)]


def _unneeded_reply(cutoff: datetime) -> ColumnElement[bool]:
    """Read, old, and nothing refers to it that belongs to a patient, to an escalation or is on its way."""
    return and_(
        REPLIES.c.triaged_at.is_not(None),
        REPLIES.c.received_at < cutoff,
        not_(exists().where(ESCALATIONS.c.reply_id == REPLIES.c.id)),
        not_(exists().where(ASSESSMENTS.c.reply_id == REPLIES.c.id, ASSESSMENTS.c.patient_id.is_not(None))),
        not_(
            exists().where(
                MESSAGES.c.reply_id == REPLIES.c.id, or_(MESSAGES.c.patient_id.is_not(None), ON_THEIR_WAY)
            )
        ),
    )


def _of_pages(cutoff: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    closed = select(ESCALATIONS.c.id).where(ESCALATIONS.c.status == "resolved")
    page = and_(
        MESSAGES.c.kind == "page",
        MESSAGES.c.created_at < cutoff,
        not_(ON_THEIR_WAY),
        or_(MESSAGES.c.escalation_id.is_(None), MESSAGES.c.escalation_id.in_(closed)),
    )
    by_member = and_(REPLIES.c.from_member_id.is_not(None), _unneeded_reply(cutoff))
    return [(MESSAGES, page), (REPLIES, by_member)]
