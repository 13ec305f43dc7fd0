"""Which standard text goes back to the person who wrote, and putting it into the outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session

from messages.urgency import Urgency
from messages.wording import standard_text
from service import outbox
from service.models import OutboundMessage
from service.reading import Reading
from service.runtime import Runtime
from service.surroundings import Around

USEFUL = timedelta(hours=2)
SHORT_WINDOW = timedelta(minutes=5)
NOTICE_WINDOW = timedelta(hours=1)
# How much a safety text says: within a few minutes only one that says more goes out again.
WEIGHT = {
    "safety_suicidal": 3,
    "safety_emergency": 3,
    "safety_emergency_caregiver": 3,
    "other_person_emergency": 3,
    "safety_unknown_sender": 3,
    "crisis_unknown_sender": 3,
    "safety_urgent": 2,
    "safety_urgent_caregiver": 2,
    "safety_unknown_language": 2,
    "ask_present": 2,
    "media_received": 2,
    "unknown_sender_urgent": 2,
}


def text_for(reading: Reading, *, known: bool, caregiver: bool, reason: str | None) -> str | None:
    """The key of the answer to one reading; None: nothing goes back.

    ``known``: whether the number belongs to a patient. ``reason``: that of the escalation it led to, if any.
    An emergency always says 911; thoughts of suicide say 988 first; nothing reassures.
    """
    if reading.urgency is Urgency.EMERGENCY:
        return _emergency(reading, known, caregiver)
    if reading.urgency is Urgency.URGENT:
        return _urgent(reading, known, caregiver)
    if reading.urgency is Urgency.NONE and known:
        return None
    if not known:
        return "unknown_sender"
    if reading.only("other_person"):
        return "other_person"
    return {
        "not_understood": "not_understood",
        "question": "question_received",
        "blood_thinner": "blood_thinner_received",
    }.get(reason or "", "thanks_routine")


def _emergency(reading: Reading, known: bool, caregiver: bool) -> str:
    if "suicidal" in reading.concepts:
        return "safety_suicidal" if known else "crisis_unknown_sender"
    if not known:
        return "safety_unknown_sender"
    if reading.only("other_person"):
        return "other_person_emergency"
    return "safety_emergency_caregiver" if caregiver else "safety_emergency"


def _urgent(reading: Reading, known: bool, caregiver: bool) -> str:
    if not known:
        return "unknown_sender_urgent"
    if reading.wordless:
        return "media_received"
    if reading.foreign:
        return "safety_unknown_language"
    if reading.only("asked"):
        return "ask_present"
    return "safety_urgent_caregiver" if caregiver else "safety_urgent"


def body_of(runtime: Runtime, key: str, language: str) -> str:
    """The text behind a key, filled with the clinic's name and number."""
    return standard_text(key, language, clinic=runtime.site.clinic_name, phone=runtime.site.clinic_phone)


def safety_answer(
    runtime: Runtime,
    *,
    now: datetime,
    around: Around,
    key: str,
    language: str,
    escalation_id: str | None,
    patient_id: str | None,
    enrollment_id: str | None,
) -> OutboundMessage | None:
    """The safety answer as a row to be stored: due at any hour and to opted-out numbers too (it answers the
    person's own text).

    None when the same number got one that says as much within the last minutes.
    """
    reply = around.reply
    sent = {one.split(":")[1] for one in _given(around, "safety", now - SHORT_WINDOW, now)}
    crisis = key in ("safety_suicidal", "crisis_unknown_sender")
    if key in sent or (not crisis and any(WEIGHT.get(one, 0) >= WEIGHT[key] for one in sent)):
        return None
    return outbox.made(
        now=now,
        key=f"safety:{key}:{reply.id}",
        kind="safety",
        to_phone=reply.from_phone,
        body=body_of(runtime, key, language),
        language=language,
        priority=0,
        expires_at=now + USEFUL,
        escalation_id=escalation_id,
        reply_id=reply.id,
        patient_id=patient_id,
        enrollment_id=enrollment_id,
    )


def notice(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    around: Around,
    key: str,
    language: str,
    patient_id: str | None = None,
    enrollment_id: str | None = None,
    plan_item_id: str | None = None,
) -> OutboundMessage | None:
    """A text that only confirms or asks again, as a row to be stored; the same one not twice within an hour
    to one number."""
    reply, start = around.reply, f"notice:{key}:"
    if any(one.startswith(start) for one in _given(around, "notice", now - NOTICE_WINDOW, now)):
        return None
    about = f"item:{plan_item_id}" if plan_item_id else reply.id
    # A question is asked again once, on whichever phone; its enrollment is locked, so a look is enough.
    if plan_item_id and outbox.is_planned(session, f"{start}{about}"):
        return None
    return outbox.made(
        now=now,
        key=f"notice:{key}:{about}",
        kind="notice",
        to_phone=reply.from_phone,
        body=body_of(runtime, key, language),
        language=language,
        priority=1,
        expires_at=now + USEFUL,
        reply_id=reply.id,
        patient_id=patient_id,
        enrollment_id=enrollment_id,
    )


def _given(around: Around, kind: str, since: datetime, until: datetime) -> list[str]:
    """Keys of the answers of one kind that the phone was given in this time."""
    return [key for one, key, at in around.answered if one == kind and since < at <= until]


def weightiest(keys: Sequence[str]) -> str | None:
    """Of several answers to one text (patients who share a phone) the one that says most."""
    return max(keys, key=lambda key: (WEIGHT.get(key, 1), key == "safety_suicidal"), default=None)
