"""How the clinic does, and what its protocols say."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from messages.protocol import text_of
from messages.sms import segments
from service import site_versions
from service.plots import stacked_bars
from service.safety_figures import Board, safety_board
from service.scoreboard import SPAN, Scoreboard, scoreboard
from service.sight import Sight
from service.web.doors import Desk, PageRoute, SignedIn
from service.web.team_sight import narrowed, teams_to_choose

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/scoreboard")
def scoreboard_page(desk: SignedIn, team: Annotated[str, Query(max_length=32)] = "") -> Response:
    """Figures of the last thirty days; no patient in them."""
    sight = narrowed(desk, team)
    figures = desk.request.app.state.figures
    board, safety, counted_at = figures.counted(("scoreboard", sight), lambda: _counted(desk, sight))
    texts = [
        (day[-5:], (("good", good), ("way", way), ("bad", bad))) for day, good, way, bad in board.texts_by_day
    ]
    replies = [
        (day, (("routine", routine), ("urgent", urgent), ("emergency", emergency)))
        for day, routine, urgent, emergency in board.replies_by_day
    ]
    return desk.page(
        "scoreboard.html",
        board=board,
        safety=safety,
        counted_at=counted_at,
        texts=stacked_bars(texts),
        replies=stacked_bars(replies),
        team=team,
        teams=teams_to_choose(desk),
    )


def _counted(desk: Desk, sight: Sight) -> tuple[Scoreboard, Board, datetime]:
    board = scoreboard(desk.session, sight, desk.runtime.site, desk.now)
    safety = safety_board(desk.session, sight, desk.runtime.site, desk.now, desk.now - SPAN)
    return board, safety, desk.now


@router.get("/settings")
def site_settings(desk: SignedIn) -> Response:
    """What this clinic has decided: shown here, changed in its site file."""
    site, settings = desk.runtime.site, desk.runtime.settings
    pace = settings.effective_pace
    return desk.page(
        "settings.html", settings=settings, pace=pace, days=site.business_hours, quiet=settings.quiet_hours,
        history=site_versions.history(desk.session),
    )  # fmt: skip


@router.get("/protocols")
def protocols(desk: SignedIn) -> Response:
    return desk.page("protocols.html", protocols=desk.runtime.protocols)


@router.get("/protocols/{name}")
def protocol(desk: SignedIn, name: str) -> Response:
    """Every check-in of one protocol with its wording as this clinic sends it."""
    found = desk.runtime.protocols.get(name)
    if found is None:
        raise HTTPException(404)
    site, day = desk.runtime.site, desk.now.date()
    lines = [
        (
            check_in,
            [
                (language, text, segments(text))
                for language, text in (
                    (language, text_of(check_in, language, site, day)) for language in sorted(check_in.texts)
                )
            ],
        )
        for check_in in found.check_ins
    ]
    return desk.page("protocol.html", protocol=found, lines=lines)
