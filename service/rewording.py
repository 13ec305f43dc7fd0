"""Texts planned before the clinic changed its name, number or values say the new ones when they go."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from messages.protocol import ProtocolError, reminder_of, text_of
from messages.wording import WordingError
from service.models import Enrollment, OutboundMessage, Patient, PlanItem
from service.planning import SCHEDULED_KINDS, protocol_of
from service.runtime import Runtime


def reworded(session: Session, runtime: Runtime, message_ids: Sequence[str]) -> dict[str, str]:
    """New wording, by message id, of check-ins and reminders about to be offered to the carrier for the first
    time; written into their rows too. Costs one query, and none while the clinic's values never changed.

    A text that was offered once keeps its words: should it go again, it is the same text.
    """
    changed_at = runtime.site_changed_at
    if changed_at is None or not message_ids:
        return {}
    found = session.exec(
        select(OutboundMessage, PlanItem, Enrollment, Patient)
        .join(PlanItem, col(PlanItem.id) == OutboundMessage.plan_item_id)
        .join(Enrollment, col(Enrollment.id) == OutboundMessage.enrollment_id)
        .join(Patient, col(Patient.id) == OutboundMessage.patient_id)
        .where(
            col(OutboundMessage.id).in_(message_ids),
            col(OutboundMessage.kind).in_(SCHEDULED_KINDS),
            OutboundMessage.created_at < changed_at,
            OutboundMessage.attempts <= 1,
        )
    ).all()
    bodies: dict[str, str] = {}
    for message, item, enrollment, patient in found:
        body = _wording(session, runtime, message.kind, item, enrollment, patient.language)
        if body is not None and body != message.body:
            message.body = bodies[message.id] = body
            session.add(message)
    return bodies


def _wording(
    session: Session, runtime: Runtime, kind: str, item: PlanItem, enrollment: Enrollment, language: str
) -> str | None:
    """None where it cannot be worded anew: the words that were planned are good words too."""
    try:
        check_in = protocol_of(session, runtime, enrollment).check_in(item.key)
        if kind == "reminder":
            return reminder_of(check_in, language, runtime.site)
        return text_of(check_in, language, runtime.site, enrollment.follow_up_on)
    except (LookupError, ProtocolError, WordingError):
        return None
