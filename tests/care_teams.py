"""A clinic with two care teams, for tests: Kim's is the one that catches all, Lee's is the other."""

from dataclasses import dataclass

from service.db import reading, session_on
from service.models import DEFAULT_TEAM, Enrollment, Member, Patient, Team, TeamMember
from service.runtime import Runtime
from tests.clinic import BEN, enroll, member


@dataclass(frozen=True)
class TwoTeams:
    """Ana is a patient of the team that catches all, Ben of the other."""

    other: Team
    kim: Member
    lee: Member
    ana: Enrollment
    ben: Enrollment


def make_team(runtime: Runtime, name: str) -> Team:
    with session_on(runtime.engine) as session:
        team = Team(name=name, created_at=runtime.clock())
        session.add(team)
        session.commit()
        return team


def put_in(runtime: Runtime, who: Member, *team_ids: str) -> None:
    with session_on(runtime.engine) as session:
        session.add_all(TeamMember(team_id=team_id, member_id=who.id) for team_id in team_ids)
        session.commit()


def two_teams(runtime: Runtime, phone: str | None = None) -> TwoTeams:
    """``phone``: Lee's. Nobody is on call."""
    other = make_team(runtime, "Spine North")
    kim, lee = member(runtime, "Kim Catchall", None, None), member(runtime, "Lee North", phone, None)
    put_in(runtime, kim, DEFAULT_TEAM)
    put_in(runtime, lee, other.id)
    ana = enroll(runtime)
    ben = enroll(runtime, BEN, "Ben Roe", team="spine north")
    return TwoTeams(other, kim, lee, ana, ben)


def team_of_patient(runtime: Runtime, patient_id: str) -> str:
    with reading(runtime.engine) as session:
        return session.get_one(Patient, patient_id).team_id
