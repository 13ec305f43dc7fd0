"""Breaking the glass: in an emergency a member opens one patient of another team, for a few hours.

With a reason, and never in silence: the audit trail has it as its own kind, the patient's page shows it to
everyone who sees the patient, the patient's own team gets a task to review it, and admins see every use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlmodel import Session, col, func, or_, select

from messages.site import Site
from messages.urgency import Urgency
from service import audit, escalations
from service.escalation_rows import write_event
from service.models import ANSWERING_ROLES, BreakGlass, Member, Patient, SignInAttempt
from service.phones import PhoneError, parse_phone
from service.sight import Sight, is_open

LASTS = timedelta(hours=4)
SHORTEST_REASON, LONGEST_REASON = 10, 500
TRY_WINDOW = timedelta(minutes=15)
TRIES = 8  # failed searches of one member within TRY_WINDOW
ACTION = "break glass"


class GlassError(ValueError):
    """The search cannot be made as given; ``field`` names the form field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TooManySearches(Exception):
    """This member looked for too many patients who are not there."""


@dataclass(frozen=True, slots=True)
class Use:
    """One breaking of the glass, with names for pages."""

    row: BreakGlass
    member: Member

    def is_open(self, now: datetime) -> bool:
        return self.row.ended_at is None and self.row.until > now


def break_glass(
    session: Session,
    *,
    now: datetime,
    site: Site,
    member: Member,
    sight: Sight,
    wanted: str,
    reason: str,
    address: str | None = None,
) -> list[str]:
    """Open the patients who have exactly this phone number or record number; ids of those found, commits.

    Patients in sight already are found too and need no glass. A number that several patients share opens each
    of them. Nobody found: an empty list, kept in the audit trail and counted. Raises GlassError,
    TooManySearches, PermissionError for a role that only looks.
    """
    if member.role not in ANSWERING_ROLES:
        raise PermissionError("A viewer opens nobody.")
    reason = " ".join(reason.split())
    if len(reason) < SHORTEST_REASON:
        raise GlassError("reason", f"Write why, in at least {SHORTEST_REASON} characters.")
    if len(reason) > LONGEST_REASON:
        raise GlassError("reason", f"Write the reason in at most {LONGEST_REASON} characters.")
    wanted = " ".join(wanted.split())
    if not wanted:
        raise GlassError("wanted", "Write the patient's whole phone number or record number.")
    _refuse_guessing(session, member, now)
    found = _exactly(session, wanted)
    session.add(SignInAttempt(subject=_subject(member), at=now, good=bool(found)))
    if not found:
        audit.record(
            session, now=now, actor=member.email, action="break glass: nobody found", subject_kind="patient",
            address=address,
        )  # fmt: skip
    for patient in found:
        if patient.id not in sight.patients and not sight.sees_team(patient.team_id):
            _open(session, now, site, member, patient, reason, address)
    session.commit()
    return [patient.id for patient in found]


def _refuse_guessing(session: Session, member: Member, now: datetime) -> None:
    # The member's row is held: searches of one member go one after the other, and none slips past the count.
    session.exec(select(Member.id).where(Member.id == member.id).with_for_update()).one()
    failed = session.exec(
        select(func.count()).select_from(SignInAttempt).where(
            SignInAttempt.subject == _subject(member), SignInAttempt.at > now - TRY_WINDOW,
            col(SignInAttempt.good).is_(False),
        )
    ).one()  # fmt: skip
    if failed >= TRIES:
        raise TooManySearches


def _subject(member: Member) -> str:
    return sha256(f"break glass {member.id}".encode()).hexdigest()


def _exactly(session: Session, wanted: str) -> Sequence[Patient]:
    same = [col(Patient.external_id) == wanted]
    try:
        same.append(col(Patient.phone) == parse_phone(wanted))
    except PhoneError:
        pass
    return session.exec(select(Patient).where(or_(*same)).order_by(Patient.id)).all()


def _open(
    session: Session,
    now: datetime,
    site: Site,
    member: Member,
    patient: Patient,
    reason: str,
    address: str | None,
) -> None:
    row = BreakGlass(
        member_id=member.id, patient_id=patient.id, reason=reason, opened_at=now, until=now + LASTS
    )
    session.add(row)
    audit.record(
        session, now=now, actor=member.email, action=ACTION, subject_kind="patient", subject_id=patient.id,
        address=address, detail={"use": row.id, "reason_sha256": sha256(reason.encode()).hexdigest()},
    )  # fmt: skip
    task = escalations.open_escalation(
        session,
        now=now,
        site=site,
        reason="break_glass",
        urgency=Urgency.ROUTINE,
        patient_id=patient.id,
        summary="Somebody of another team opened this patient in an emergency: read the reason on the "
        "patient's page and say whether it was right.",
        actor=member.email,
    )
    write_event(session, task, now=now, kind="break_glass", actor=member.email, use=row.id)


def end(session: Session, *, now: datetime, use_id: str, sight: Sight, member: Member) -> str | None:
    """End a use before its time: whoever opened it, or anyone who sees the patient by their teams. Commits;
    the patient's id, or None when there is no such use for this member."""
    found = session.exec(
        select(BreakGlass, Patient)
        .join(Patient, col(Patient.id) == BreakGlass.patient_id)
        .where(BreakGlass.id == use_id, sight.of_patients())
        .with_for_update(of=BreakGlass)
    ).one_or_none()
    if found is None:
        return None
    row, patient = found
    if row.member_id != member.id and not sight.sees_team(patient.team_id):
        return None
    if row.ended_at is None and row.until > now:
        row.ended_at, row.ended_by = now, member.email
        session.add(row)
        audit.record(
            session, now=now, actor=member.email, action="end break glass", subject_kind="patient",
            subject_id=row.patient_id, detail={"use": row.id},
        )  # fmt: skip
    session.commit()
    return row.patient_id


def open_on(session: Session, patient_id: str, now: datetime) -> list[Use]:
    """The uses that are open on a patient now, newest first."""
    return _uses(session, BreakGlass.patient_id == patient_id, is_open(now))


def every_use(session: Session, sight: Sight, limit: int = 200) -> list[Use]:
    """Every use on patients in sight, newest first."""
    return _uses(session, sight.of_patient_id(col(BreakGlass.patient_id)), limit=limit)


def uses_of(session: Session, member: Member, now: datetime) -> list[Use]:
    """What a member holds open now."""
    return _uses(session, BreakGlass.member_id == member.id, is_open(now))


def _uses(session: Session, *wanted: object, limit: int = 50) -> list[Use]:
    rows = session.exec(
        select(BreakGlass, Member)
        .join(Member, col(Member.id) == BreakGlass.member_id)
        .where(*wanted)  # type: ignore[arg-type]
        .order_by(col(BreakGlass.opened_at).desc(), col(BreakGlass.id).desc())
        .limit(limit)
    ).all()
    return [Use(row, member) for row, member in rows]
