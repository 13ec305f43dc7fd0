"""The dashboard: who needs a person, most urgent first."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from service.web import queue_rows
from service.web.doors import PageRoute, SignedIn
from service.web.live import version_of
from service.web.team_sight import narrowed, team_badges, teams_to_choose

router = APIRouter(route_class=PageRoute, include_in_schema=False)

NAMES = {
    "open": "All open",
    "mine": "Mine",
    "unowned": "Nobody's yet",
    "overdue": "Overdue",
    "silent": "Silent",
    "resolved": "Resolved today",
}


@router.get("/")
def queue(
    desk: SignedIn,
    view: Annotated[str, Query(max_length=20)] = "open",
    q: Annotated[str, Query(max_length=80)] = "",
    team: Annotated[str, Query(max_length=32)] = "",
    cursor: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Escalations and tasks of one view; filters live in the address."""
    if view not in NAMES:
        raise HTTPException(404)
    version = version_of(desk.session, desk.sight, "queue")
    site, email, sight = desk.runtime.site, desk.member.email, narrowed(desk, team)
    found, more = queue_rows.rows(
        desk.session, sight, view=view, email=email, now=desk.now, site=site, words=q, cursor=cursor
    )
    counts = queue_rows.view_counts(desk.session, sight, email, desk.now, site)
    if found:
        desk.looked("view queue", "escalation", view=view, rows=len(found))
    return desk.page(
        "queue.html",
        rows=found,
        more=more,
        view=view,
        names=NAMES,
        counts=counts,
        q=q,
        cursor=cursor,
        version=version,
        team=team,
        teams=teams_to_choose(desk),
        badges=team_badges(desk),
    )
