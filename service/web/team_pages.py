"""The team: who is on call, who may sign in, what was looked at and done."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response
from sqlmodel import select

from service import accounts, member_links, oncall, oncall_week
from service.db import session_on
from service.models import DEFAULT_TEAM, ROLES, Member, MemberSession, OnCallShift
from service.phones import PhoneError, parse_phone
from service.sight import EVERYTHING, roster, teams_in_sight
from service.teams import TeamError, team_named
from service.web import on_call_week
from service.web.doors import Administering, Caring, Desk, PageRoute, SignedIn, peoples_clock
from service.web.member_page import another, the_member

router = APIRouter(route_class=PageRoute, include_in_schema=False)

DAYS_SHOWN = 14


@router.get("/on-call")
def on_call(desk: SignedIn) -> Response:
    return _on_call(desk)


def _on_call(desk: Desk, *, status: int = 200, fault: str = "") -> Response:
    end = desk.now + timedelta(days=DAYS_SHOWN)
    tiers = max([len(steps) for steps in desk.runtime.site.ladder.values()] + [1])
    now_holding = {tier: _now_holding(desk, tier) for tier in range(1, tiers + 1)}
    reachable = {
        member.id for holders in now_holding.values() for member in oncall.pageable(desk.session, holders)
    }
    return desk.page(
        "on_call.html",
        status=status,
        fault=fault,
        holding=now_holding,
        reachable=reachable,
        shifts=oncall.shifts(desk.session, desk.now, end),
        gaps=oncall.gaps(desk.session, desk.runtime.site, desk.now, end),
        team=oncall.team(desk.session),
        days=DAYS_SHOWN,
        teams=teams_in_sight(desk.session, EVERYTHING) if desk.has_teams else [],
        team_gaps=_team_gaps(desk, end),
        typed=desk.form,
        **on_call_week.values(desk),
    )


def _now_holding(desk: Desk, tier: int) -> list[Member]:
    """Whom a page reaches now, of the chosen team or of all; where it reaches nobody, who stands there."""
    session, team_id = desk.session, on_call_week.chosen_team(desk)
    if team_id is None:
        return oncall.on_call(session, tier, desk.now)
    reached = oncall.to_page(session, tier, desk.now, team_id)
    return reached or [
        person for whose in (team_id, None) for person in oncall.on_call(session, tier, desk.now, whose)
    ]


def _team_gaps(desk: Desk, end: datetime) -> list[tuple[str, oncall.Gap]]:
    """The first gap of each team that the site's own shifts do not fill either."""
    if not desk.has_teams or not oncall.gaps(desk.session, desk.runtime.site, desk.now, end):
        return []
    found = []
    for team in teams_in_sight(desk.session, EVERYTHING):
        gaps = oncall.gaps(desk.session, desk.runtime.site, desk.now, end, team.id)
        found += [(team.name, gap) for gap in gaps[:1]]
    return found


def _local(desk: Desk, name: str) -> datetime | None:
    """A time of the form, local to the clinic: shifts are the clinic's."""
    given = desk.text(name, 40)
    if not given:
        return None
    at = datetime.fromisoformat(given)
    zone = ZoneInfo(desk.runtime.site.timezone)
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(desk.now.tzinfo)


def _shift_fields(desk: Desk) -> dict[str, Any]:
    """What a form says of a shift. Raises ShiftError for times that are none."""
    try:
        starts_at, ends_at = _local(desk, "starts_at") or desk.now, _local(desk, "ends_at")
    except (ValueError, OverflowError) as error:
        raise oncall.ShiftError("Write times like 2027-03-12 14:00.") from error
    tier = desk.text("tier", 2)
    return {
        "now": desk.now,
        "actor": desk.member.email,
        "member_id": desk.text("member_id", 32),
        "tier": int(tier) if tier.isdecimal() else 0,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "override": desk.text("override", 3) == "on",
        "team_id": desk.text("team", 32) or None,
    }


@router.post("/on-call")
def add_shift(desk: Caring) -> Response:
    """Put a member on a tier, for a time or until changed, and on following days too."""
    zone, repeats = desk.runtime.site.timezone, desk.text("repeat", 3)
    with session_on(desk.runtime.engine) as session:
        try:
            given = _shift_fields(desk)
            days = int(repeats) if repeats.isdecimal() else 0
            turns = list(oncall_week.repeated(given["starts_at"], given["ends_at"], days, ZoneInfo(zone)))
            for starts_at, ends_at in turns:
                oncall.add_shift(session, **(given | {"starts_at": starts_at, "ends_at": ends_at}))
        except oncall.ShiftError as error:
            session.rollback()
            return _on_call(desk, status=422, fault=desk.t(str(error)))
    return on_call_week.to_week(desk, given["team_id"], given["starts_at"])


@router.post("/on-call/{shift_id}/change")
def change_shift(desk: Caring, shift_id: str) -> Response:
    """Who, when, which tier: what was held until now stays as it was."""
    with session_on(desk.runtime.engine) as session:
        if session.get(OnCallShift, shift_id) is None:
            raise HTTPException(404)
        try:
            given = _shift_fields(desk)
            del given["team_id"]
            team_id = oncall_week.change_shift(session, shift_id=shift_id, **given).team_id
        except oncall.ShiftError as error:
            session.rollback()
            return _on_call(desk, status=422, fault=desk.t(str(error)))
    return on_call_week.to_week(desk, team_id, given["starts_at"])


@router.post("/on-call/{shift_id}/end")
def end_shift(desk: Caring, shift_id: str) -> Response:
    with session_on(desk.runtime.engine) as session:
        if session.get(OnCallShift, shift_id) is None:
            raise HTTPException(404)
        try:
            oncall.end_shift(session, now=desk.now, actor=desk.member.email, shift_id=shift_id, at=desk.now)
        except oncall.ShiftError as error:
            session.rollback()
            return _on_call(desk, status=409, fault=desk.t(str(error)))
    return on_call_week.to_week(desk, None)


@router.get("/members")
def members(desk: SignedIn) -> Response:
    return _members(desk)


def _members(
    desk: Desk, *, status: int = 200, faults: Any = None, link: str = "", whose: str = ""
) -> Response:
    if link:
        desk.look_again()
    people = roster(desk.session) if desk.has_teams else None
    everyone = desk.session.exec(select(Member).order_by(Member.name)).all()
    seen = desk.session.exec(select(MemberSession.member_id, MemberSession.seen_at)).all()
    last: dict[str, datetime] = {}
    for member_id, at in seen:
        last[member_id] = max(at, last.get(member_id, at))
    return desk.page(
        "members.html", status=status, everyone=everyone, last=last, roles=ROLES, faults=faults or {},
        typed=desk.form, link=link, whose=whose, people=people, default_team=DEFAULT_TEAM,
        teams=teams_in_sight(desk.session, EVERYTHING) if people else [],
        pending=member_links.pending_links(desk.session, peoples_clock(desk.runtime)),
    )  # fmt: skip


@router.post("/members")
def add_member(desk: Administering) -> Response:
    """A new member and the link by which they choose their password, shown once."""
    phone, faults = desk.text("phone", 40), {}
    try:
        phone = parse_phone(phone) if phone else ""
    except PhoneError as error:
        faults["phone"] = str(error)
    if faults:
        return _members(desk, status=422, faults=faults)
    with session_on(desk.runtime.engine) as session:
        try:
            wanted = desk.text("team", 40)
            team = team_named(session, wanted) if wanted else None
            made = accounts.add_member(
                session, now=desk.now, email=desk.text("email", 254), name=desk.text("name", 80),
                role=desk.text("role", 12), phone=phone or None, actor=desk.member.email,
                team_id=team.id if team else None,
            )  # fmt: skip
        except accounts.AccountError as error:
            session.rollback()
            return _members(desk, status=422, faults={error.field: desk.t(str(error))})
        except TeamError as error:
            return _members(desk, status=422, faults={"team": str(error)})
    return _members(desk, link=_link(desk, made), whose=made.name)


def _link(desk: Desk, member: Member) -> str:
    with session_on(desk.runtime.engine) as session:
        path = member_links.password_link(
            session, member, now=peoples_clock(desk.runtime), actor=desk.member.email
        )
    return desk.runtime.settings.public_url + path


@router.post("/members/{member_id}/link")
def new_link(desk: Administering, member_id: str) -> Response:
    """A link by which a member chooses a (new) password, to be handed over in person."""
    member = another(desk, member_id)
    return _members(desk, link=_link(desk, member), whose=member.name)


@router.post("/members/{member_id}/disable")
def disable(desk: Administering, member_id: str) -> Response:
    """Shut out, or let in again. Nobody can shut themselves out: somebody must be able to undo it."""
    member = the_member(desk, member_id)
    if member.id == desk.member.id:
        return _members(desk, status=422, faults={"self": desk.t("You cannot shut yourself out.")})
    with session_on(desk.runtime.engine) as session:
        stored = session.get_one(Member, member_id)
        accounts.disable(
            session, stored, now=desk.now, actor=desk.member.email, disabled=stored.disabled_at is None
        )
    return RedirectResponse("/members", 303)
