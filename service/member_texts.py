"""A member's own text to a patient: goes out at any hour, and holds check-ins back while the two are
writing."""

from datetime import datetime, timedelta

from sqlmodel import Session, select

from messages.sms import sanitise, segments
from service import audit, escalation_rows, outbox
from service.models import OutboundMessage, Patient, PhoneState
from service.runtime import Runtime

LONGEST_TEXT = 1600
MOST_SEGMENTS = 4
USEFUL = timedelta(hours=2)


class TextRefused(Exception):
    """The text cannot go to this patient; the message says why and what to do instead."""


def send_text(
    session: Session,
    *,
    now: datetime,
    patient_id: str,
    body: str,
    author: str,
    key: str,
    address: str | None = None,
    member_id: str | None = None,
    escalation_id: str | None = None,
) -> OutboundMessage:
    """Queue one text from a person and commit. The same ``key`` for the same patient sends nothing twice.

    ``author``: e-mail or token name. Raises ValueError for an empty or too long body, TextRefused when the
    phone cannot be texted, LookupError for an unknown patient.
    """
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise LookupError("There is no such patient.")
    clean = sanitise(body).strip()
    if not clean:
        raise ValueError("Write what the patient should read.")
    if len(clean) > LONGEST_TEXT or segments(clean) > MOST_SEGMENTS:
        raise ValueError(
            f"The text is too long: {MOST_SEGMENTS} parts at most. Shorten it or call the patient."
        )
    state = session.get(PhoneState, patient.phone)
    if state is not None and (state.opted_out_at or state.unreachable_at):
        why = "asked for no more texts" if state.opted_out_at else "cannot receive texts"
        raise TextRefused(f"This phone {why}: call the patient instead.")
    known = f"member:{patient_id}:{key}"
    is_new = session.exec(select(OutboundMessage.id).where(OutboundMessage.key == known)).first() is None
    message = outbox.queue(
        session,
        now=now,
        key=known,
        kind="member",
        to_phone=patient.phone,
        body=clean,
        language=patient.language,
        priority=1,
        expires_at=now + USEFUL,
        patient_id=patient_id,
        escalation_id=escalation_id,
        member_id=member_id,
        author=author,
    )
    if escalation_id is not None and is_new:
        row = escalation_rows.locked(session, escalation_id)
        escalation_rows.write_event(session, row, now=now, kind="texted", actor=author, message=message.id)
    audit.record(
        session,
        now=now,
        actor=author,
        action="text patient",
        subject_kind="patient",
        subject_id=patient_id,
        address=address,
        detail={"message": message.id},
    )
    session.commit()
    return message


def write_to_patient(
    session: Session,
    _runtime: Runtime,
    *,
    now: datetime,
    patient_id: str,
    body: str,
    actor: str,
    key: str,
    member_id: str | None = None,
    escalation_id: str | None = None,
) -> OutboundMessage:
    """The same from a page: whatever is wrong with the text is one refusal with its sentence."""
    try:
        return send_text(
            session,
            now=now,
            patient_id=patient_id,
            body=body,
            author=actor,
            key=key,
            member_id=member_id,
            escalation_id=escalation_id,
        )
    except ValueError as error:
        raise TextRefused(str(error)) from error
