"""The week of the on-call calendar on its page: looking at it, starting a shift from it, changing one."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import HTTPException

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
    team = desk.request.query_params.get("team", "")[:32] or None
    day = _asked_day(desk, "day", None)
    given = desk.request.query_params

    def local(at: datetime | None) -> str:
        return at.astimezone(zone).strftime(LOCAL) if at else ""

    return {
        "week": oncall_week.week_of(desk.session, desk.runtime.site, monday, team),
        "week_team": team,
        "week_teams": teams_in_sight(desk.session, EVERYTHING) if desk.has_teams else [],
        "monday": monday,
        "today": today,
        "earlier": monday - timedelta(days=oncall_week.DAYS),
        "later": monday + timedelta(days=oncall_week.DAYS),
        "week_days": [monday + timedelta(days=ahead) for ahead in range(oncall_week.DAYS)],
        "changing": shift,
        "local": local,
        "local_clock": lambda at: at.astimezone(zone).strftime("%H:%M"),
        "chosen_tier": given.get("tier", "")[:2],
        "chosen_start": f"{day}T{_clock(given.get('from'), '08:00')}" if day else "",
        "chosen_end": _end(day, given.get("until")) if day else "",
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
