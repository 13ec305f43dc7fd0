"""Care teams: admins make them and say who works where; whoever cares for a patient hands them to another."""

from collections.abc import Callable

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response
from sqlmodel import Session, col, select

from service import teams
from service.db import session_on
from service.models import DEFAULT_TEAM, Member, Team
from service.sight import patient_in_sight, roster
from service.web.doors import Administering, AdminLooking, Caring, Desk, PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/teams")
def care_teams(desk: AdminLooking) -> Response:
    """Every team with the people who work in it."""
    return _page(desk)


def _page(desk: Desk, *, status: int = 200, fault: str = "", about: str = "") -> Response:
    session, people = desk.session, roster(desk.session)
    everyone = session.exec(
        select(Member).where(col(Member.disabled_at).is_(None)).order_by(Member.name)
    ).all()
    counts = teams.patients_by_team(session)
    found = sorted(people.teams.values(), key=lambda team: (not team.active, team.name.casefold()))
    return desk.page(
        "teams.html",
        status=status,
        fault=fault,
        about=about,
        teams=found,
        everyone=everyone,
        works_in=people.works_in,
        manned=people.manned,
        # How many patients a team has is told to those who see them.
        counts={team.id: counts.get(team.id, 0) for team in found if desk.sight.sees_team(team.id)},
        default_team=DEFAULT_TEAM,
        typed=desk.form,
    )


def _change(desk: Desk, about: str, act: Callable[[Session], object]) -> Response:
    with session_on(desk.runtime.engine) as session:
        if about and session.get(Team, about) is None:
            raise HTTPException(404)
        try:
            act(session)
        except teams.TeamError as error:
            session.rollback()
            return _page(desk, status=422, fault=desk.t(str(error)), about=about)
    return RedirectResponse("/teams", 303)


@router.post("/teams")
def add_team(desk: Administering) -> Response:
    given = {"now": desk.now, "actor": desk.member.email, "name": desk.text("name", 200)}
    return _change(desk, "", lambda session: teams.add_team(session, **given))


@router.post("/teams/{team_id}")
def change_team(desk: Administering, team_id: str) -> Response:
    """Another name, or its end."""
    given = {"now": desk.now, "actor": desk.member.email, "team_id": team_id}
    state = desk.text("active", 3)
    if state:
        return _change(
            desk, team_id, lambda session: teams.set_active(session, active=state == "yes", **given)
        )
    name = desk.text("name", 200)
    return _change(desk, team_id, lambda session: teams.rename(session, name=name, **given))


@router.post("/teams/{team_id}/members")
def change_members(desk: Administering, team_id: str) -> Response:
    """Who works in this team: exactly those who are ticked."""
    ticked = {str(value)[:32] for value in desk.form.getlist("member")}
    given = {"now": desk.now, "actor": desk.member.email, "team_id": team_id, "member_ids": ticked}
    return _change(desk, team_id, lambda session: teams.set_members(session, **given))


@router.post("/patients/{patient_id}/team")
def move_patient(desk: Caring, patient_id: str) -> Response:
    """Another team takes a patient over; whoever does not work there sees them no more."""
    team_id = desk.text("team", 32)
    with session_on(desk.runtime.engine) as session:
        try:
            teams.move_patient(
                session, desk.runtime, now=desk.now, sight=desk.sight, patient_id=patient_id,
                team_id=team_id, actor=desk.member.email,
            )  # fmt: skip
        except LookupError as error:
            raise HTTPException(404) from error
        except teams.TeamError as error:
            session.rollback()
            raise HTTPException(422, desk.t(str(error))) from error
        is_still_seen = patient_in_sight(session, desk.sight, patient_id) is not None
    return RedirectResponse(
        f"/patients/{patient_id}?done=team" if is_still_seen else "/patients?done=team", 303
    )
