"""Replies: stored and committed before anything reads them, then triaged with all consequences in one
transaction.

A triage that fails for whatever reason becomes an urgent escalation and is tried again by the backlog job.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, col, or_, select

from messages.urgency import Urgency
from service import escalations, paging
from service.consequences import draw
from service.db import session_on
from service.keyring import Unreadable
from service.models import Patient, Reply
from service.runtime import Runtime

log = logging.getLogger(__name__)

CONFLICT_TRIES = 3
MOST_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=30)
BACKLOG_BATCH = 200


def receive(
    session: Session,
    *,
    now: datetime,
    carrier_sid: str,
    from_phone: str,
    to_phone: str | None,
    body: str,
    media: Sequence[dict[str, Any]] | None = None,
    opt_out_type: str | None = None,
    segments: int = 1,
    received_at: datetime | None = None,
    caught_up: bool = False,
) -> tuple[Reply, bool]:
    """Store one reply and commit, before anything looks at it. Returns the row and whether it is new.

    The same ``carrier_sid`` again changes nothing and returns the first row. ``received_at`` (aware UTC) is
    the carrier's time when it is known; ``caught_up`` marks what was read from the carrier's log.
    """
    fresh = Reply(
        carrier_sid=carrier_sid,
        from_phone=from_phone,
        to_phone=to_phone,
        body=_storable(body),
        media=list(media) if media else None,
        opt_out_type=opt_out_type,
        segments=segments,
        received_at=received_at or now,
        stored_at=now,
        caught_up=caught_up,
    )
    try:
        session.add(fresh)
        session.commit()
    except IntegrityError:
        session.rollback()
        known = session.exec(select(Reply).where(Reply.carrier_sid == carrier_sid)).one()
        return known, False
    return fresh, True


def _storable(body: str) -> str:
    """A database text holds neither NUL nor half a surrogate pair; the rest stays exactly as written."""
    return body.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def triage_reply(runtime: Runtime, reply_id: str, now: datetime) -> None:
    """Triage one stored reply and write every consequence; once per reply, whoever else tries at the same
    time.

    Never raises: the reply is stored, and a failure is an escalation of its own.
    """
    for attempt in range(1, CONFLICT_TRIES + 1):
        try:
            with session_on(runtime.engine) as session:
                _triage(session, runtime, reply_id, now)
            runtime.wake.set()
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
        runtime.wake.set()
    except Exception as error:
        log.critical("reply %s is stored but could not be escalated: %s", reply_id, type(error).__name__)


def _triage(session: Session, runtime: Runtime, reply_id: str, now: datetime) -> None:
    reply = session.exec(
        select(Reply)
        .where(Reply.id == reply_id, col(Reply.triaged_at).is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if reply is None:
        return
    if isinstance(reply.body, Unreadable) or isinstance(reply.from_phone, Unreadable):
        raise LookupError("a key of encryption at rest is missing")  # its placeholder must never be read
    for row in draw(session, runtime, reply, now):
        if row.status == "open" and row.next_event_at is not None and row.next_event_at <= now:
            paging.advance(session, runtime, row, now)
    reply.triaged_at = now
    session.add(reply)
    session.commit()


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
        row = escalations.open_escalation(
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
        session.commit()
        paging.advance(session, runtime, escalations.locked(session, row.id), now)
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
    for reply_id in waiting:
        triage_reply(runtime, reply_id, now)
    with session_on(runtime.engine) as session:
        read = session.exec(
            select(Reply.id).where(col(Reply.id).in_(waiting), col(Reply.triaged_at).is_not(None))
        ).all()
    return {"tried": len(waiting), "triaged": len(read)}
