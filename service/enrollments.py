"""Enrolling a patient on a protocol, and changing, pausing or ending that."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from messages.urgency import Urgency
from service import audit, escalations, planning
from service.enrollment_request import EnrollmentFaults, NewEnrollment, check_times
from service.known_patients import check_team, find_patient, team_for
from service.models import Enrollment, Patient, new_id
from service.runtime import Runtime
from service.seals import hashed
from service.sight import EVERYTHING, Sight

RUNNING = ("active", "paused")
UNCHANGED = object()


class AlreadyEnrolled(Exception):
    """This patient is on this protocol already. ``enrollment_id`` is the first enrollment's."""

    def __init__(self, enrollment_id: str) -> None:
        super().__init__("This patient is already enrolled on this protocol.")
        self.enrollment_id = enrollment_id


class UnknownEnrollment(LookupError):
    """There is no such enrollment."""


class EnrollmentOver(Exception):
    """The enrollment is completed or withdrawn and cannot be changed."""


@dataclass(frozen=True)
class Change:
    """New facts of a course. Fields left ``UNCHANGED`` stay as they are; None clears."""

    procedure_at: object = UNCHANGED
    discharged_at: object = UNCHANGED
    follow_up_on: object = UNCHANGED


def enroll(
    session: Session,
    runtime: Runtime,
    request: NewEnrollment,
    *,
    now: datetime,
    actor: str,
    sight: Sight = EVERYTHING,
) -> Enrollment:
    """Enroll and lay down the whole plan; commits.

    ``sight``: of whoever enrolls. A person who is a patient of a team out of sight becomes a patient of this
    team besides: nothing is told about the other. The same phone and name (or ``external_id``) on the same
    protocol while one runs raises AlreadyEnrolled, also when two requests race; a team that cannot be,
    EnrollmentFaults. A discharge-anchored protocol without ``discharged_at`` is planned from the procedure +
    24 h and opens a task to confirm.
    """
    _one_at_a_time(session, request.phone, request.external_id)
    team_id = team_for(session, request.team, sight)
    patient = find_patient(session, request, sight)
    if patient is not None:
        check_team(session, request, patient, team_id)
        running = _running(session, patient.id, request.protocol)
        if running is not None:
            session.rollback()
            raise AlreadyEnrolled(running.id)
    patient = _keep_patient(session, patient, request, team_id, now)
    protocol = runtime.protocols[request.protocol]
    planning.pin(session, protocol, now)
    enrollment = Enrollment(
        id=new_id(),
        patient_id=patient.id,
        protocol=protocol.name,
        version=protocol.version,
        procedure_at=request.procedure_at,
        discharged_at=request.discharged_at,
        on_blood_thinner=request.on_blood_thinner,
        baseline_pain=request.baseline_pain,
        levels=list(request.levels) or None,
        sedation=request.sedation,
        follow_up_on=request.follow_up_on,
        consent_method=request.consent_method,
        consent_at=request.consent_at,
        enrolled_at=now,
        enrolled_by=actor,
        ends_at=now,
    )
    session.add(enrollment)
    session.flush()
    planning.lay_down(session, runtime, enrollment, patient, now)
    if protocol.anchor == "discharge" and request.discharged_at is None:
        _ask_for_discharge(session, runtime, enrollment, now)
    _record(session, now, actor, "enroll patient", enrollment)
    session.commit()
    return enrollment


def _one_at_a_time(session: Session, phone: str, external_id: str | None) -> None:
    """On PostgreSQL two requests about one person wait for each other; SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        for value in sorted(filter(None, (phone, external_id))):  # hashed: statements may be logged
            session.execute(
                text("SELECT pg_advisory_xact_lock(hashtext(:value))"),
                {"value": hashed(session, "lock", value)},
            )


def _running(session: Session, patient_id: str, protocol: str) -> Enrollment | None:
    return session.exec(
        select(Enrollment).where(
            Enrollment.patient_id == patient_id,
            Enrollment.protocol == protocol,
            col(Enrollment.status).in_(RUNNING),
        )
    ).first()


def _keep_patient(
    session: Session, patient: Patient | None, request: NewEnrollment, team_id: str, now: datetime
) -> Patient:
    if patient is None:
        patient = Patient(id=new_id(), team_id=team_id, name=request.name, phone=request.phone,
                          timezone=request.timezone, language=request.language, created_at=now)  # fmt: skip
    patient.name, patient.phone = request.name, request.phone
    patient.timezone, patient.language = request.timezone, request.language
    patient.external_id = request.external_id or patient.external_id
    patient.caregiver_phone = request.caregiver_phone
    patient.caregiver_consent = request.caregiver_consent
    session.add(patient)
    session.flush()
    return patient


def _ask_for_discharge(session: Session, runtime: Runtime, enrollment: Enrollment, now: datetime) -> None:
    escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason="confirm_discharge",
        urgency=Urgency.ROUTINE,
        patient_id=enrollment.patient_id,
        enrollment_id=enrollment.id,
        summary="No time of discharge was given: texts are planned from 24 hours after the procedure. "
        "Enter when the patient went home.",
    )


def _get(session: Session, enrollment_id: str) -> Enrollment:
    enrollment = session.exec(
        select(Enrollment).where(Enrollment.id == enrollment_id).with_for_update()
    ).first()
    if enrollment is None:
        raise UnknownEnrollment("There is no such enrollment.")
    return enrollment


def _get_running(session: Session, enrollment_id: str) -> Enrollment:
    enrollment = _get(session, enrollment_id)
    if enrollment.status not in RUNNING:
        raise EnrollmentOver(f"This enrollment is {enrollment.status}; it cannot be changed any more.")
    return enrollment


def change(
    session: Session, runtime: Runtime, enrollment_id: str, change: Change, *, now: datetime, actor: str
) -> Enrollment:
    """Move the procedure, the discharge or the follow-up visit and re-plan what is still to come; commits.

    Raises UnknownEnrollment, EnrollmentOver, EnrollmentFaults.
    """
    planning.hold_texts(session, enrollment_id)
    enrollment = _get_running(session, enrollment_id)
    for name in ("procedure_at", "discharged_at", "follow_up_on"):
        value = getattr(change, name)
        if value is UNCHANGED:
            continue
        if name == "procedure_at" and value is None:
            raise EnrollmentFaults({"procedure_at": ["is missing"]})
        setattr(enrollment, name, value)
    follow_up_on: date | None = enrollment.follow_up_on
    faults = check_times(enrollment.procedure_at, enrollment.discharged_at, follow_up_on, now)
    if faults:
        session.rollback()
        raise EnrollmentFaults(faults)
    patient = session.get_one(Patient, enrollment.patient_id)
    planning.replan(session, runtime, enrollment, patient, now)
    _record(session, now, actor, "change enrollment", enrollment)
    session.commit()
    return enrollment


def withdraw(
    session: Session, enrollment_id: str, *, now: datetime, actor: str, reason: str | None = None
) -> Enrollment:
    """Nothing more is sent; replies are still read and reach a person. Commits; again is no fault."""
    enrollment = _get(session, enrollment_id)
    if enrollment.status == "withdrawn":
        session.rollback()
        return enrollment
    if enrollment.status == "completed":
        session.rollback()
        raise EnrollmentOver("This enrollment is completed; there is nothing left to withdraw from.")
    enrollment.status, enrollment.withdrawn_at, enrollment.withdrawn_reason = "withdrawn", now, reason
    planning.cancel(session, enrollment, "withdrawn", now)
    session.add(enrollment)
    _record(session, now, actor, "withdraw enrollment", enrollment)
    session.commit()
    return enrollment


def pause(session: Session, enrollment_id: str, *, now: datetime, actor: str, reason: str) -> Enrollment:
    """Check-ins wait until resumed; the welcome and safety answers do not. Commits."""
    enrollment = _get_running(session, enrollment_id)
    if enrollment.status != "paused":
        enrollment.status, enrollment.paused_at, enrollment.paused_reason = "paused", now, reason
        session.add(enrollment)
        _record(session, now, actor, "pause enrollment", enrollment)
    session.commit()
    return enrollment


def resume(session: Session, enrollment_id: str, *, now: datetime, actor: str) -> Enrollment:
    """Check-ins go on; those whose useful time has passed meanwhile are not sent. Commits."""
    enrollment = _get_running(session, enrollment_id)
    if enrollment.status == "paused":
        enrollment.status, enrollment.paused_at, enrollment.paused_reason = "active", None, None
        session.add(enrollment)
        _record(session, now, actor, "resume enrollment", enrollment)
    session.commit()
    return enrollment


def complete_ended(session: Session, now: datetime, limit: int = 500) -> int:
    """Courses whose last check-in is over are completed; commits. Returns how many."""
    rows = session.exec(
        select(Enrollment)
        .where(col(Enrollment.status).in_(RUNNING), col(Enrollment.ends_at) <= now)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for enrollment in rows:
        enrollment.status = "completed"
        planning.cancel(session, enrollment, "the course is over", now)
        session.add(enrollment)
    session.commit()
    return len(rows)


def running_count(session: Session) -> int:
    """How many courses run now."""
    return session.exec(
        select(func.count()).select_from(Enrollment).where(col(Enrollment.status).in_(RUNNING))
    ).one()


def _record(session: Session, now: datetime, actor: str, action: str, enrollment: Enrollment) -> None:
    audit.record(
        session,
        now=now,
        actor=actor,
        action=action,
        subject_kind="enrollment",
        subject_id=enrollment.id,
        detail={"protocol": enrollment.protocol, "version": enrollment.version},
    )
