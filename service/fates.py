"""What follows when a text did not reach its phone: what is remembered, and which task says why.

Building blocks: they work on a locked row in the caller's transaction and never commit.
"""

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from messages.escalation import morning_after
from messages.urgency import Urgency
from service import escalations, paging, plan, planning, second_tries
from service.carriers.twilio_codes import CarrierCode, lookup
from service.models import Enrollment, OutboundMessage, Patient, PhoneState
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

FIRST_DAYS = 3
NAMES = {
    "check_in": "A check-in",
    "reminder": "A reminder",
    "safety": "A safety answer",
    "notice": "A text",
    "member": "A text from the care team",
}


def fail(
    session: Session,
    runtime: Runtime,
    message: OutboundMessage,
    code: str | None,
    now: datetime,
    status: str = "failed",
) -> None:
    """The carrier will not deliver this text: ``failed`` or ``undelivered``, with the carrier's code.

    1. The row keeps code and meaning. 2. The phone is marked when the code says so; everybody else whose
    texts go to it gets a task then: nothing will be offered for them that could fail. 3. A page goes back to
    paging. 4. A text whose phone was only out of reach is tried once more while it is useful; that of a
    safety answer tells the team at once all the same. 5. A plan item learns that no answer can be expected.
    6. The team gets the task; a safety answer that its phone can never receive is noted on its own escalation
    instead.
    """
    row = lookup(code)
    if not row.known or row.lasting == "setting":
        log.error("text %s %s with carrier code %s: %s", message.id, status, row.code or "none", row.meaning)
    message.status, message.error_code, message.why = status, row.code or None, row.meaning
    message.settled_at, message.lease_until, message.claimed_by = now, None, None
    session.add(message)
    if _mark_phone(session, message, row, now):
        _tell_of_others(session, runtime, message, row, now)
    if message.kind == "page":
        session.flush()
        paging.page_failed(session, message, now, row.code)
        return
    second = second_tries.lay(session, runtime, message, now) if row.try_again else None
    if second is not None:
        message.why = f"{row.meaning}; tried once more"
        if message.kind != "safety":
            return
    elif message.plan_item_id and message.kind == "check_in":
        plan.text_failed(session, message.plan_item_id, row.meaning, now)
    if message.kind == "safety" and message.escalation_id and row.mark:
        session.flush()
        escalations.cannot_be_texted(
            session, now=now, escalation_id=message.escalation_id, code=row.code or None
        )
        return
    reason = "opt_out" if row.mark == "opted_out" else "undeliverable"
    twice = ", twice" if second_tries.is_second(message) else ""
    what = f"was not delivered{twice}: {row.meaning}" + ("; it is tried once more" if second else "")
    _tell_team(session, runtime, message, reason, what, now)


def delay(session: Session, runtime: Runtime, message: OutboundMessage, code: str, now: datetime) -> None:
    """Our own account or number is set up wrongly: the text is tried again, but somebody must know now."""
    row = lookup(code)
    log.error("text %s waits: carrier code %s: %s", message.id, row.code, row.meaning)
    if message.kind == "page":
        paging.page_failed(session, message, now, row.code)
        return
    what = f"is not sent yet: {row.meaning}. It is tried again while it is useful; the settings need a look"
    _tell_team(session, runtime, message, "undeliverable", what, now)


def expire(session: Session, runtime: Runtime, message: OutboundMessage, why: str, now: datetime) -> None:
    """The text's useful time is over: it is not sent any more, and the team learns why.

    A reminder that came too late needs nobody: its question is still on the clock.
    """
    message.status, message.why, message.settled_at = "expired", why, now
    message.lease_until, message.claimed_by = None, None
    session.add(message)
    if message.kind == "page":
        session.flush()
        paging.page_failed(session, message, now, "expired")
        return
    if message.plan_item_id and message.kind == "check_in":
        plan.text_failed(session, message.plan_item_id, why, now)
    if message.kind != "reminder":
        _tell_team(session, runtime, message, "late_text", f"was not sent in its useful time: {why}", now)


def give_up_unknown(session: Session, runtime: Runtime, message: OutboundMessage, now: datetime) -> None:
    """Nobody knows whether the text arrived and it is too late to ask: it stays ``unknown``, with a task."""
    why = "the carrier never said what became of it"
    message.status, message.why, message.settled_at, message.lease_until = "unknown", why, now, None
    session.add(message)
    if message.kind == "page":
        session.flush()
        paging.page_failed(session, message, now, "unknown")
        return
    if message.plan_item_id and message.kind == "check_in":
        plan.text_failed(session, message.plan_item_id, why, now)
    _tell_team(session, runtime, message, "undeliverable", f"may not have arrived: {why}", now)


def _mark_phone(session: Session, message: OutboundMessage, row: CarrierCode, now: datetime) -> bool:
    """By the keyed hash: it is known also where the number's key is missing. Whether that is new."""
    if not row.mark:
        return False
    key = message.to_phone_hash
    state = session.get(PhoneState, key) or PhoneState(phone=message.to_phone, phone_hash=key)
    is_new = state.opted_out_at is None and state.unreachable_at is None
    if row.mark == "opted_out":
        state.opted_out_at = state.opted_out_at or now
        planning.fall_silent(session, key or message.to_phone, now)
    else:
        state.unreachable_at = state.unreachable_at or now
    state.code = row.code
    session.add(state)
    return is_new


def _tell_of_others(
    session: Session, runtime: Runtime, message: OutboundMessage, row: CarrierCode, now: datetime
) -> None:
    """The tasks for patients who share the phone (with another patient, or with a member who is paged)."""
    session.flush()
    courses = session.exec(
        select(Enrollment)
        .join(Patient, col(Patient.id) == Enrollment.patient_id)
        .where(
            Patient.phone_hash == message.to_phone_hash,
            Patient.id != (message.patient_id or ""),
            col(Enrollment.status).in_(("active", "paused")),
        )
        .order_by(Enrollment.id)
    ).all()
    for course in courses:
        morning = _morning_of_first_days(session, runtime, course.id, now)
        escalations.open_escalation(
            session,
            now=now,
            site=runtime.site,
            reason="opt_out" if row.mark == "opted_out" else "undeliverable",
            urgency=Urgency.URGENT if morning else Urgency.ROUTINE,
            due_by=morning,
            patient_id=course.patient_id,
            enrollment_id=course.id,
            summary=f"A text to somebody who shares this patient's phone was not delivered: {row.meaning}.",
        )


def heard_from(session: Session, state: PhoneState) -> None:
    """A text reached this phone, or came from it: it can be texted after all. An opt-out stays."""
    if state.unreachable_at is None:
        return
    state.unreachable_at = None
    if state.opted_out_at is None:
        state.code = None
    session.add(state)


def _tell_team(
    session: Session, runtime: Runtime, message: OutboundMessage, reason: str, what: str, now: datetime
) -> None:
    """The task for the team. A patient of days 0-3 whom texts do not reach is called by the next morning,
    any day of the week; a safety answer that did not arrive is urgent now."""
    session.flush()
    morning = None
    if message.kind != "safety" and reason != "late_text":
        morning = _morning_of_first_days(session, runtime, message.enrollment_id, now)
    escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason=reason,
        urgency=Urgency.URGENT if morning or message.kind == "safety" else Urgency.ROUTINE,
        due_by=morning,
        patient_id=message.patient_id,
        enrollment_id=message.enrollment_id,
        phone=message.to_phone,
        summary=f"{NAMES[message.kind]} {what}.",
    )


def _morning_of_first_days(
    session: Session, runtime: Runtime, enrollment_id: str | None, now: datetime
) -> datetime | None:
    """The next morning at the patient's, on days 0-3 after the procedure; None later or for nobody's text."""
    course = session.get(Enrollment, enrollment_id) if enrollment_id else None
    patient = session.get(Patient, course.patient_id) if course else None
    if course is None or patient is None:
        return None
    zone = ZoneInfo(patient.timezone)
    day = (now.astimezone(zone).date() - course.procedure_at.astimezone(zone).date()).days
    return morning_after(now, runtime.site, patient.timezone) if 0 <= day <= FIRST_DAYS else None
