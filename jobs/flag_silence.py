"""Questions nobody answered in their time become silent, with the cause; those that matter become tasks."""

from collections import Counter
from datetime import datetime

from sqlmodel import Session, col, select

from messages.protocol import CheckIn
from messages.urgency import Urgency
from service import escalations
from service.db import session_on
from service.models import Enrollment, OutboundMessage, Patient, PhoneState, PlanItem
from service.planning import protocol_of
from service.runtime import Runtime

BATCH = 200
CAUSES = {
    "undelivered": "undelivered",
    "failed": "undelivered",
    "unknown": "unconfirmed",
    "expired": "our_fault",
}
SAID = {
    "ignored": "The patient did not answer.",
    "undelivered": "The text did not reach the phone.",
    "landline": "The number cannot receive texts.",
    "opted_out": "The patient has opted out of texts.",
    "unconfirmed": "The carrier did not say whether the text arrived.",
    "our_fault": "The text was not sent in time.",
}


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Flag what became silent by ``now``. Returns counts by cause."""
    counts: Counter[str] = Counter()
    with session_on(runtime.engine) as session:
        items = session.exec(
            select(PlanItem)
            .where(PlanItem.status == "sent", col(PlanItem.silent_at) <= now)
            .order_by(col(PlanItem.silent_at))
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for item in items:
            cause = _cause(session, item)
            item.status, item.silence_cause, item.silent_at, item.remind_at = "silent", cause, None, None
            session.add(item)
            _open_task(session, runtime, item, cause, now)
            counts[cause] += 1
        session.commit()
    return dict(counts)


def _cause(session: Session, item: PlanItem) -> str:
    message = session.exec(
        select(OutboundMessage)
        .where(OutboundMessage.plan_item_id == item.id, OutboundMessage.kind == "check_in")
        .order_by(col(OutboundMessage.created_at).desc())
        .limit(1)
    ).first()
    if message is None:
        return "our_fault"
    phone = session.get(PhoneState, message.to_phone)
    if phone is not None and phone.opted_out_at:
        return "opted_out"
    if phone is not None and phone.unreachable_at:
        return "landline"
    return CAUSES.get(message.status, "ignored")


def _open_task(session: Session, runtime: Runtime, item: PlanItem, cause: str, now: datetime) -> None:
    enrollment = session.get_one(Enrollment, item.enrollment_id)
    if enrollment.status not in ("active", "paused"):
        return
    check_in: CheckIn = protocol_of(session, runtime, enrollment).check_in(item.key)
    if not (check_in.silence_task or check_in.silence_is_urgent):
        return
    patient = session.get_one(Patient, enrollment.patient_id)
    escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason="silence",
        urgency=Urgency.URGENT if check_in.silence_is_urgent else Urgency.ROUTINE,
        patient_id=patient.id,
        enrollment_id=enrollment.id,
        summary=f"No answer to {item.key}. {SAID[cause]}",
    )
