"""``/api/v1/scoreboard``: how well the clinic watches, in figures of the last thirty days."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from service.db import reading
from service.safety_figures import Board, safety_board
from service.scoreboard import SPAN, Scoreboard, Speed, scoreboard
from service.web.api_doors import Now, RuntimeOf, SightOf
from service.web.api_route import ApiRoute
from service.web.api_shapes import ScoreboardShape, answers

router = APIRouter(prefix="/scoreboard", route_class=ApiRoute, tags=["scoreboard"])


@router.get("", responses=answers(200, ScoreboardShape))
def show_scoreboard(runtime: RuntimeOf, sight: SightOf, now: Now) -> Response:
    """Counts and times only: nothing of any one patient, so no row in the audit trail."""
    with reading(runtime.engine) as session:
        safety = safety_board(session, sight, runtime.site, now, now - SPAN)
        board = scoreboard(session, sight, runtime.site, now)
        return JSONResponse(_as_json(board) | {"safety": _safety(safety)})


def _as_json(board: Scoreboard) -> dict[str, Any]:
    return {
        "days": SPAN.days,
        "escalations": [_speed(speed) for speed in board.speeds],
        "false_alarms": board.false_alarms,
        "resolved": board.resolved,
        "enrolled": board.enrolled,
        "replies": board.replies,
        "silent_by_cause": dict(board.silent_by_cause),
        "answers": [
            {"check_in": key, "answered": answered, "asked": asked} for key, answered, asked in board.answers
        ],
    }


def _safety(board: Board) -> dict[str, Any]:
    """Minutes to acknowledge and to contact by urgency and by clinic-local hour; shares of what was due."""
    return {
        "by_urgency": [asdict(figures) for figures in board.by_urgency],
        "by_hour": [asdict(figures) for figures in board.by_hour],
        "silent_patients": board.silent_patients,
        "patient_days": board.patient_days,
        "escalations_per_100_patient_days": board.escalations_per_100_patient_days,
        "false_alarms": board.false_alarms,
        "false_alarm_share": board.false_alarm_share,
    }


def _speed(speed: Speed) -> dict[str, Any]:
    return {
        "urgency": speed.urgency,
        "opened": speed.opened,
        "median_seconds_to_acknowledge": _seconds(speed.acknowledged),
        "median_seconds_to_contact": _seconds(speed.contacted),
        "contacted_in_time": speed.in_time,
        "contact_was_due": speed.judged,
    }


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
