"""The auditor: proves that no red flag is without an escalation and no clock without its next event.

What is missing it opens or repairs, and says so loudly: a repair means that something else is broken.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case
from sqlmodel import Session, col, exists, or_, select

from messages.urgency import Urgency
from service import escalation_rows, escalations, inbox, marks, paging, teams
from service.db import session_on
from service.models import Enrollment, Escalation, Reply, StoredAssessment
from service.runtime import Runtime

log = logging.getLogger("aftercare.auditor")

LOOKS_BACK = timedelta(days=2)
LATE = timedelta(seconds=60)
LONG_PAUSE = timedelta(hours=24)
MOST = 200
RED = (str(Urgency.URGENT), str(Urgency.EMERGENCY))


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Each repair in its own transaction. Counts what had to be repaired; all zeros is the normal result."""
    counts = {
        "unread": _read_forgotten(runtime, now),
        "without_escalation": _open_missing(runtime, now),
        "clocks": _restart_clocks(runtime, now),
        "strays": teams.bring_home(runtime, now),
        "long_pauses": _note_long_pauses(runtime, now),
    }
    repairs = sum(count for name, count in counts.items() if name != "long_pauses")
    if repairs:
        with session_on(runtime.engine) as session:
            marks.set_mark(session, "auditor:repairs", now, add=repairs)
            session.commit()
    if any(counts.values()):
        runtime.wake.set()
    return counts


def _read_forgotten(runtime: Runtime, now: datetime) -> int:
    """Replies nobody has tried to read for a minute: the backlog should have."""
    with session_on(runtime.engine) as session:
        waiting = session.exec(
            select(Reply.id)
            .where(
                col(Reply.triaged_at).is_(None),
                Reply.stored_at < now - LATE,
                or_(col(Reply.triage_after).is_(None), col(Reply.triage_after) < now - LATE),
            )
            .limit(MOST)
        ).all()
    for reply_id in waiting:
        log.error("auditor: reply %s was stored but not read; reading it now", reply_id)
        inbox.triage_reply(runtime, reply_id, now)
    return len(waiting)


def _open_missing(runtime: Runtime, now: datetime) -> int:
    """Red flags that led to no escalation, or to one that is less serious than they are.

    An assessment names its escalation. Times decide only for those written before it did: the clocks of two
    processes, and the moments at which two replies were begun and written, need not be in one order.
    """
    serious_enough = col(Escalation.urgency_rank) >= _rank_of_assessment()
    named = exists().where(col(Escalation.id) == StoredAssessment.escalation_id, serious_enough)
    unresolved_then = exists().where(
        col(StoredAssessment.escalation_id).is_(None),
        col(Escalation.kind) == "clinical",
        or_(
            col(Escalation.patient_id) == StoredAssessment.patient_id,
            (col(StoredAssessment.patient_id).is_(None)) & (col(Escalation.subject) == Reply.from_phone_hash),
        ),
        col(Escalation.opened_at) <= StoredAssessment.at,
        or_(col(Escalation.resolved_at).is_(None), col(Escalation.resolved_at) >= StoredAssessment.at),
        serious_enough,
    )
    with session_on(runtime.engine) as session:
        missing = session.exec(
            select(StoredAssessment, Reply.from_phone)
            .join(Reply, col(Reply.id) == StoredAssessment.reply_id)
            .where(
                col(StoredAssessment.urgency).in_(RED),
                StoredAssessment.at > now - LOOKS_BACK,
                ~named,
                ~unresolved_then,
            )
            .limit(MOST)
        ).all()
        for read, phone in missing:
            log.error("auditor: reply %s holds a red flag without an escalation; opening one", read.reply_id)
            row = escalations.open_escalation(
                session,
                now=now,
                site=runtime.site,
                reason="red_flag",
                urgency=Urgency(read.urgency),
                patient_id=read.patient_id,
                enrollment_id=read.enrollment_id,
                phone=phone,
                reply_id=read.reply_id,
                findings=read.findings,
                actor="auditor",
            )
            read.escalation_id = row.id  # covered from now on
            session.add(read)
            paging.advance(session, runtime, row, now)
            session.commit()
        return len(missing)


def _rank_of_assessment() -> ColumnElement[int]:
    return case((col(StoredAssessment.urgency) == "emergency", 3), else_=2)


def _restart_clocks(runtime: Runtime, now: datetime) -> int:
    """Unresolved escalations without a next event, or whose next event is over a minute late."""
    with session_on(runtime.engine) as session:
        stuck = session.exec(
            select(Escalation.id)
            .where(
                col(Escalation.status) != "resolved",
                or_(
                    col(Escalation.next_event_at).is_(None),
                    col(Escalation.next_event_at) < now - LATE,
                    (col(Escalation.status) == "acknowledged")
                    & col(Escalation.acknowledgement_expires_at).is_(None),
                ),
            )
            .limit(MOST)
        ).all()
    mended = 0
    for escalation_id in stuck:
        with session_on(runtime.engine) as session:
            row = escalation_rows.locked_if_free(session, escalation_id)
            if row is None or not escalation_rows.stands_still(row, now - LATE):
                continue  # somebody else is, or was, at it
            log.error("auditor: the clock of escalation %s stood still; starting it again", escalation_id)
            _mend(session, runtime, row, now)
            session.commit()
        mended += 1
    return mended


def _mend(session: Session, runtime: Runtime, row: Escalation, now: datetime) -> None:
    if row.status == "acknowledged" and row.acknowledgement_expires_at is None:
        row.acknowledgement_expires_at = now
    if not row.ladder:
        escalation_rows.restart_ladder(row, runtime.site)
    paging.advance(session, runtime, row, now)
    escalation_rows.write_event(session, row, now=now, kind="repaired", actor="auditor")


def _note_long_pauses(runtime: Runtime, now: datetime) -> int:
    """A course whose check-ins have waited for over a day is work for a person, once a day until it goes
    on."""
    since = now - LONG_PAUSE
    noted = exists().where(
        col(Escalation.reason) == "long_pause",
        col(Escalation.patient_id) == col(Enrollment.patient_id),
        or_(col(Escalation.status) != "resolved", col(Escalation.resolved_at) > since),
    )
    emergency = exists().where(
        col(Escalation.patient_id) == col(Enrollment.patient_id),
        col(Escalation.status) != "resolved",
        col(Escalation.urgency) == str(Urgency.EMERGENCY),
        col(Escalation.raised_at) < since,
    )
    with session_on(runtime.engine) as session:
        paused = session.exec(
            select(Enrollment)
            .where(
                or_(
                    (col(Enrollment.status) == "paused") & (col(Enrollment.paused_at) < since),
                    (col(Enrollment.status) == "active") & emergency,
                ),
                ~noted,
            )
            .limit(MOST)
        ).all()
        for course in paused:
            escalations.open_escalation(
                session,
                now=now,
                site=runtime.site,
                reason="long_pause",
                urgency=Urgency.ROUTINE,
                patient_id=course.patient_id,
                enrollment_id=course.id,
                summary="Check-ins have been paused for over 24 hours: resume or withdraw with a reason.",
            )
        session.commit()
        return len(paused)
