"""Who wrote: the patients behind a phone number, their courses, and whether it is a member's number."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select

from service.models import Enrollment, Member, OutboundMessage, Patient, PhoneState

RUNNING = ("active", "paused")


@dataclass(frozen=True, slots=True)
class Sender:
    """One patient a text may be from or about. ``enrollment``: the running course (the latest one when
    several run), else the last one; ``running``: all that run. ``caregiver``: written on the caregiver's
    phone."""

    patient: Patient
    enrollment: Enrollment | None
    running: tuple[Enrollment, ...]
    caregiver: bool


def senders_of(session: Session, phone: str) -> list[Sender]:
    """Every patient with this phone, their own or their caregiver's; empty for an unknown number.

    Locks their enrollments, so that a plan and a reply are never decided at the same time.
    """
    patients = session.exec(
        select(Patient)
        .where(or_(Patient.phone == phone, Patient.caregiver_phone == phone))
        .order_by(col(Patient.created_at), Patient.id)
    ).all()
    if not patients:
        return []
    rows = session.exec(
        select(Enrollment)
        .where(col(Enrollment.patient_id).in_([patient.id for patient in patients]))
        .order_by(Enrollment.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    return [_sender(patient, rows, phone) for patient in patients]


def _sender(patient: Patient, rows: Sequence[Enrollment], phone: str) -> Sender:
    mine = sorted(
        (row for row in rows if row.patient_id == patient.id), key=lambda row: (row.procedure_at, row.id)
    )
    running = tuple(row for row in mine if row.status in RUNNING)
    chosen = running[-1] if running else mine[-1] if mine else None
    return Sender(patient, chosen, running, caregiver=patient.phone != phone)


def member_of(session: Session, phone: str) -> Member | None:
    """The member with this phone who can still sign in."""
    return session.exec(
        select(Member)
        .where(Member.phone == phone, col(Member.disabled_at).is_(None))
        .order_by(col(Member.created_at))
    ).first()


def phone_state(session: Session, phone: str) -> PhoneState:
    """What is known about the number; a new row, added to the session, when nothing is."""
    state = session.get(PhoneState, phone, with_for_update=True)
    if state is None:
        state = PhoneState(phone=phone)
        session.add(state)
        session.flush()
    return state


def texts_sent_to(session: Session, phone: str, since: datetime) -> tuple[str, ...]:
    """The bodies of our own latest texts to a number: quoted back, they are nobody's symptom."""
    rows = session.exec(
        select(OutboundMessage.body)
        .where(OutboundMessage.to_phone == phone, OutboundMessage.created_at > since)
        .order_by(col(OutboundMessage.created_at).desc())
        .limit(20)
    )
    return tuple(dict.fromkeys(rows))
