"""The week of the on-call calendar on its page: looking at it, starting a shift from it, changing one."""

from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import HTTPException
from fastapi.responses import RedirectResponse, Response

from service import oncall_week
from service.models import OnCallShift
from service.sight import EVERYTHING, teams_in_sight
from service.web.doors import Desk

LOCAL = "%Y-%m-%dT%H:%M"
FARTHEST = timedelta(days=730)


def values(desk: Desk) -> dict[str, Any]:
    """What the page needs for the week, the prefilled form and the shift under change."""
    zone = ZoneInfo(desk.runtime.site.timezone)
    today = desk.now.astimezone(zone).date()
    monday = oncall_week.monday_of(_asked_day(desk, "week", today))
    shift = _shift(desk)
    team = chosen_team(desk)
    day = _asked_day(desk, "day", None)
    given = desk.request.query_params

    def local(at: datetime | None) -> str:
        return at.astimezone(zone).strftime(LOCAL) if at else ""

    return {
        "week": oncall_week.week_of(desk.session, desk.runtime.site, monday, team),
        "week_team": team,
        "week_of": "?" + urlencode({"week": str(monday)} | ({"team": team} if team else {})),
        "week_teams": teams_in_sight(desk.session, EVERYTHING) if desk.has_teams else [],
        "monday": monday,
        "today": today,
        "earlier": monday - timedelta(days=oncall_week.DAYS),
        "later": monday + timedelta(days=oncall_week.DAYS),
        "week_days": [monday + timedelta(days=ahead) for ahead in range(oncall_week.DAYS)],
        "changing": shift,
        "change": _change(desk, shift, local),
        "local": local,
        "local_clock": lambda at: at.astimezone(zone).strftime("%H:%M"),
        "chosen_tier": given.get("tier", "")[:2],
        "chosen_start": f"{day}T{_clock(given.get('from'), '08:00')}" if day else "",
        "chosen_end": _end(day, given.get("until")) if day else "",
    }


def chosen_team(desk: Desk) -> str | None:
    """The team whose calendar is looked at; None for the shifts of all teams."""
    return desk.request.query_params.get("team", "")[:32] or None


def to_week(desk: Desk, team_id: str | None, at: datetime | None = None) -> Response:
    """Back to the week of ``at`` (else the one that was open), on the calendar on which that shift stands: a
    team's own, or the one that was chosen."""
    asked, team = desk.request.query_params.get("week", "")[:10], team_id or chosen_team(desk)
    if at is not None:
        asked = str(oncall_week.monday_of(at.astimezone(ZoneInfo(desk.runtime.site.timezone)).date()))
    kept = {key: value for key, value in (("week", asked), ("team", team)) if value}
    return RedirectResponse(f"/on-call?{urlencode(kept)}" if kept else "/on-call", 303)


def _change(desk: Desk, shift: OnCallShift | None, local: Any) -> dict[str, Any]:
    """What stands in the form of a change: what was typed and refused, else the shift as it is."""
    if shift is None:
        return {}
    if desk.form.get("member_id"):
        return {key: str(value)[:40] for key, value in desk.form.items()}
    return {
        "member_id": shift.member_id,
        "tier": str(shift.tier),
        "starts_at": local(shift.starts_at),
        "ends_at": local(shift.ends_at),
        "override": shift.override,
    }


def _end(day: date, until: str | None) -> str:
    """Midnight belongs to the next day."""
    clock = _clock(until, "00:00")
    return f"{day + timedelta(days=1) if clock == '00:00' else day}T{clock}"


def _clock(given: str | None, otherwise: str) -> str:
    try:
        return datetime.strptime(given or otherwise, "%H:%M").strftime("%H:%M")  # noqa: DTZ007
    except ValueError:
        return otherwise


def _asked_day(desk: Desk, name: str, otherwise: Any) -> Any:
    given = desk.request.query_params.get(name)
    if not given:
        return otherwise
    try:
        asked = date.fromisoformat(given[:10])
    except ValueError as error:
        raise HTTPException(404) from error
    if abs(asked - desk.now.date()) > FARTHEST:
        raise HTTPException(404)
    return asked


def _shift(desk: Desk) -> OnCallShift | None:
    asked = desk.request.query_params.get("shift", "")[:32]
    return desk.session.get(OnCallShift, asked) if asked and desk.may_act else None
