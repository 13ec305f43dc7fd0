"""What pages say of care teams: nothing at all while the site has only one."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import HTTPException
from sqlmodel import col, select

from service import break_glass
from service.models import Patient, Team
from service.sight import Sight, roster, teams_in_sight
from service.web.doors import Desk


@dataclass(frozen=True)
class Opened:
    """A use of the glass as a patient's page shows it. ``team``: where that member works."""

    id: str
    name: str
    team: str
    reason: str
    until: datetime
    may_end: bool


def teams_to_choose(desk: Desk) -> list[Team]:
    """The teams a list can be narrowed to; empty when there is nothing to choose."""
    teams = teams_in_sight(desk.session, desk.sight) if desk.has_teams else []
    return teams if len(teams) > 1 else []


def narrowed(desk: Desk, team_id: str) -> Sight:
    """The member's sight, or one team of it. 404 for a team that is unknown or out of sight."""
    if not team_id:
        return desk.sight
    if team_id not in {team.id for team in teams_in_sight(desk.session, desk.sight)}:
        raise HTTPException(404)
    return Sight(frozenset((team_id,)))


def team_badges(desk: Desk) -> dict[str, str]:
    """Team id to name, for what must say whose patient it is: all teams when several are in sight, else those
    whose patients are seen only for a time."""
    if not desk.has_teams:
        return {}
    names = {team.id: team.name for team in desk.session.exec(select(Team))}
    teams = teams_in_sight(desk.session, desk.sight)
    return (
        {key: name for key, name in names.items() if len(teams) > 1 or key != teams[0].id} if teams else names
    )


def other_teams(desk: Desk, patient: Patient) -> list[Team]:
    """Where a patient could be moved to, by whoever sees them by their team."""
    if not desk.has_teams or not desk.sight.sees_team(patient.team_id):
        return []
    found = desk.session.exec(select(Team).where(col(Team.active), Team.id != patient.team_id))
    return sorted(found, key=lambda team: team.name.casefold())


def glass_on(desk: Desk, patient: Patient) -> list[Opened]:
    """Who of another team sees this patient for a time, for everyone on the patient's page."""
    uses = break_glass.open_on(desk.session, patient.id, desk.now) if desk.has_teams else []
    if not uses:
        return []
    people, is_own = roster(desk.session), desk.sight.sees_team(patient.team_id)
    return [
        Opened(
            id=use.row.id,
            name=use.member.name,
            team=", ".join(
                sorted(
                    people.teams[team_id].name
                    for team_id in people.works_in.get(use.member.id, ())
                    if team_id in people.teams
                )
            ),
            reason=use.row.reason,
            until=use.row.until,
            may_end=desk.may_act and (is_own or use.member.id == desk.member.id),
        )
        for use in uses
    ]
