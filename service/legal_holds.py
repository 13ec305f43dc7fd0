"""Legal holds: while one stands, nothing of the patient is deleted by retention and no text is redacted."""

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from service import audit
from service.models import LegalHold, Patient

LONGEST_REASON = 500


class HoldRefused(Exception):
    """The hold cannot be set or lifted; the message says why."""


def standing(session: Session, patient_id: str) -> LegalHold | None:
    """The hold on this patient's record, None when there is none."""
    return session.exec(
        select(LegalHold).where(LegalHold.patient_id == patient_id, col(LegalHold.lifted_at).is_(None))
    ).one_or_none()


def holds_of(session: Session, patient_id: str) -> list[LegalHold]:
    """Every hold there ever was on this patient's record, newest first."""
    rows = session.exec(select(LegalHold).where(LegalHold.patient_id == patient_id))
    return sorted(rows, key=lambda hold: hold.set_at, reverse=True)


def all_standing(session: Session) -> list[LegalHold]:
    """Every standing hold, oldest first."""
    rows = session.exec(select(LegalHold).where(col(LegalHold.lifted_at).is_(None)))
    return sorted(rows, key=lambda hold: hold.set_at)


def set_hold(
    session: Session, *, now: datetime, patient_id: str, reason: str, actor: str, address: str | None = None
) -> LegalHold:
    """Put a hold on a patient's record and commit. Raises HoldRefused, LookupError for an unknown patient."""
    if session.get(Patient, patient_id, with_for_update=True) is None:
        raise LookupError("There is no such patient.")
    hold = LegalHold(patient_id=patient_id, reason=_reason(reason), set_by=actor, set_at=now)
    try:
        with session.begin_nested():
            session.add(hold)
    except IntegrityError as error:
        raise HoldRefused("This record is on legal hold already.") from error
    _record(session, now, actor, "set legal hold", hold, address)
    session.commit()
    return hold


def lift_hold(
    session: Session, *, now: datetime, patient_id: str, reason: str, actor: str, address: str | None = None
) -> LegalHold:
    """Lift the hold and commit. Raises HoldRefused when none stands."""
    why = _reason(reason)
    hold = session.exec(
        select(LegalHold)
        .where(LegalHold.patient_id == patient_id, col(LegalHold.lifted_at).is_(None))
        .with_for_update()
    ).one_or_none()
    if hold is None:
        raise HoldRefused("This record is not on legal hold.")
    hold.lifted_reason, hold.lifted_by, hold.lifted_at = why, actor, now
    session.add(hold)
    _record(session, now, actor, "lift legal hold", hold, address)
    session.commit()
    return hold


def _reason(words: str) -> str:
    reason = " ".join(words.split())
    if not reason:
        raise HoldRefused("Write the reason: it must be known years later.")
    if len(reason) > LONGEST_REASON:
        raise HoldRefused(f"The reason is too long: {LONGEST_REASON} characters at most.")
    return reason


def _record(
    session: Session, now: datetime, actor: str, action: str, hold: LegalHold, address: str | None
) -> None:
    audit.record(
        session, now=now, actor=actor, action=action, subject_kind="patient", subject_id=hold.patient_id,
        address=address, detail={"hold": hold.id},
    )  # fmt: skip
