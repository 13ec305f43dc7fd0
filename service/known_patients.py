"""Whom a new enrollment is about: a patient we know or a new one, and of which team."""

from sqlmodel import Session, select

from service.enrollment_request import EnrollmentFaults, NewEnrollment
from service.models import DEFAULT_TEAM, Patient, Team
from service.sight import Sight, teams_in_sight


def same_name(name: str) -> str:
    """A name as compared: case and blanks do not make another person."""
    return " ".join(name.split()).casefold()


def team_for(session: Session, given: str | None, sight: Sight) -> str:
    """The team a new patient goes to, held against being ended meanwhile: the one given, else the one that
    catches all, else the only one in sight. Raises EnrollmentFaults."""
    teams = teams_in_sight(session, sight)
    wanted = " ".join((given or "").split()).casefold()
    names = ", ".join(team.name for team in teams)
    if wanted:
        found = [team for team in teams if wanted in (team.name.casefold(), team.id)]
        fault = f"is not one of the teams: {names}"
    else:
        found = [team for team in teams if team.id == DEFAULT_TEAM] or teams
        fault = f"is missing; name one of the teams: {names}"
    if len(found) != 1:
        raise EnrollmentFaults({"team": [fault]})
    held = select(Team.active).where(Team.id == found[0].id).with_for_update(read=True)
    if not session.exec(held).one():
        raise EnrollmentFaults({"team": [fault]})
    return found[0].id


def check_team(session: Session, request: NewEnrollment, patient: Patient, team_id: str) -> None:
    """Raises EnrollmentFaults when the request names another team than the patient's."""
    if request.team and patient.team_id != team_id:
        theirs = session.get_one(Team, patient.team_id).name
        raise EnrollmentFaults({"team": [f"is not the team of this patient ({theirs}): move them first"]})


def team_faults(session: Session, request: NewEnrollment, sight: Sight) -> list[str]:
    """What is wrong with the team of a request; empty when nothing is. Changes nothing."""
    try:
        team_id = team_for(session, request.team, sight)
        known = find_patient(session, request, sight) if request.team else None
        if known is not None:
            check_team(session, request, known, team_id)
    except EnrollmentFaults as error:
        return error.faults["team"]
    return []


def find_patient(session: Session, request: NewEnrollment, sight: Sight) -> Patient | None:
    """The patient in sight with this record number, or with this phone and name."""
    mine = sight.of_patients()
    if request.external_id:
        known = session.exec(select(Patient).where(Patient.external_id == request.external_id, mine)).first()
        if known is not None:
            return known
    on_phone = session.exec(select(Patient).where(Patient.phone == request.phone, mine).order_by(Patient.id))
    for patient in on_phone:
        if same_name(patient.name) == same_name(request.name):
            return patient
    return None
