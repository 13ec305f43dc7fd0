"""``/api/v1/safety``: how fast red flags reach a person, in figures. No patient in them."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from service.db import reading
from service.instants import zulu
from service.safety_figures import safety_board
from service.web.api_doors import Now, RuntimeOf
from service.web.api_params import Since
from service.web.api_route import ApiRoute, looked
from service.web.api_shapes import answers

USUAL_SPAN = timedelta(days=30)
LONGEST_SPAN = timedelta(days=366)

router = APIRouter(prefix="/safety", route_class=ApiRoute, tags=["safety"])


class SafetyShape(BaseModel):
    """Minutes are decimal; ``inside``: share of the cases that kept their target; null: nothing to count."""

    model_config = ConfigDict(extra="allow")
    since: str
    until: str
    by_urgency: list[dict[str, Any]]
    by_hour: list[dict[str, Any]]
    silent_patients: int
    escalations_per_100_patient_days: float | None
    false_alarms: int


@router.get("", responses=answers(200, SafetyShape))
def safety(request: Request, runtime: RuntimeOf, now: Now, since: Since) -> Response:
    """Minutes to acknowledge and to contact by urgency and hour, from ``since`` (30 days ago) until now."""
    start = max(since or now - USUAL_SPAN, now - LONGEST_SPAN)
    with reading(runtime.engine) as session:
        board = asdict(safety_board(session, runtime.site, now, start))
    looked(request, "view safety figures", "safety")
    return JSONResponse(board | {"since": zulu(board["since"]), "until": zulu(board["until"])})
