"""``/api/v1/escalations``: who needs a human, and what became of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service import escalations, queries
from service.cursors import CursorError
from service.db import reading, session_on
from service.instants import zulu
from service.models import ESCALATION_STATES, URGENCIES, Escalation
from service.sight import escalation_in_sight
from service.web.api_body import JsonObject, Strict, read, takes
from service.web.api_doors import Now, RuntimeOf, SightOf, actor_of, sight_of
from service.web.api_params import USUAL_PAGE, Cursor, Limit, RowId
from service.web.api_route import ApiRoute, listed, looked
from service.web.api_shapes import (
    Act,
    ContactAct,
    EscalationList,
    EscalationShape,
    ReopenAct,
    ResolveAct,
    answers,
)
from service.web.problems import Refused, invalid

router = APIRouter(prefix="/escalations", route_class=ApiRoute, tags=["escalations"])
UNKNOWN = "There is no such escalation."
ACTED = answers(200, EscalationShape, 404, 409, 413)


@router.get("", responses=answers(200, EscalationList))
def list_escalations(
    request: Request,
    runtime: RuntimeOf,
    sight: SightOf,
    now: Now,
    status: Literal[*ESCALATION_STATES] | None = None,  # type: ignore[valid-type]
    urgency: Literal[*URGENCIES] | None = None,  # type: ignore[valid-type]
    limit: Limit = USUAL_PAGE,
    cursor: Cursor = None,
) -> Response:
    """The most urgent first, among those the oldest first."""
    with reading(runtime.engine) as session:
        try:
            page = queries.escalations(
                session, sight, now=now, limit=limit, status=status, urgency=urgency, cursor=cursor
            )
        except CursorError as error:
            raise invalid({"cursor": [str(error)]}) from error
    if page.items:
        patients = sorted({item["patient_id"] for item in page.items if item["patient_id"]})
        looked(request, "view escalations", "escalation", None, patients=patients)
    return listed(page)


@router.get("/{id}", responses=answers(200, EscalationShape, 404))
def show_escalation(request: Request, id: RowId, runtime: RuntimeOf, sight: SightOf, now: Now) -> Response:
    """One escalation."""
    with reading(runtime.engine) as session:
        row = escalation_in_sight(session, sight, id)
        if row is None:
            raise Refused(404, UNKNOWN)
        item = queries.escalation_item(session, row, now)
    looked(request, "view escalation", "escalation", id)
    return JSONResponse(item)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Errors of an act as problems."""
    try:
        yield
    except escalations.UnknownEscalation as error:
        raise Refused(404, UNKNOWN) from error
    except escalations.InvalidAct as error:
        raise invalid({error.field: [str(error)]}) from error
    except escalations.HeldByOther as error:
        raise Refused(409, str(error), holder=error.holder, at=zulu(error.at)) from error
    except escalations.EscalationError as error:
        raise Refused(409, str(error)) from error


def _act(
    request: Request,
    escalation_id: str,
    shape: type[Act],
    body: dict[str, Any],
    act: Callable[..., Escalation],
) -> Response:
    """Read the body, find who acts, do it, answer with the item."""
    runtime = request.app.state.runtime
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        if escalation_in_sight(session, sight_of(request), escalation_id, hold=True) is None:
            raise Refused(404, UNKNOWN)
        wanted = read(shape, body)
        actor = actor_of(
            session, request, wanted.member, lambda sight: escalation_in_sight(session, sight, escalation_id)
        )
        given = wanted.model_dump(exclude={"member"})
        with _said_plainly():
            row = act(session, now=now, site=runtime.site, escalation_id=escalation_id, actor=actor, **given)
        item = queries.escalation_item(session, row, now)
    runtime.wake.set()
    return JSONResponse(item)


def _takes(shape: type[Strict]) -> dict[str, Any]:
    return takes(shape, required=shape not in (Act, ReopenAct))


@router.post("/{id}/acknowledge", responses=ACTED, openapi_extra=_takes(Act))
def acknowledge_escalation(request: Request, id: RowId, body: JsonObject) -> Response:
    """ "I have this": stops the ladder, closes nothing, expires without a contact."""
    return _act(request, id, Act, body, escalations.acknowledge)


@router.post("/{id}/contact", responses=ACTED, openapi_extra=_takes(ContactAct))
def record_contact(request: Request, id: RowId, body: JsonObject) -> Response:
    """A person spoke with the patient, or tried to (``could_not_reach``)."""
    return _act(request, id, ContactAct, body, escalations.contact)


@router.post("/{id}/resolve", responses=ACTED, openapi_extra=_takes(ResolveAct))
def resolve_escalation(request: Request, id: RowId, body: JsonObject) -> Response:
    """What became of the patient, and a note."""
    return _act(request, id, ResolveAct, body, escalations.resolve)


@router.post("/{id}/reopen", responses=ACTED, openapi_extra=_takes(ReopenAct))
def reopen_escalation(request: Request, id: RowId, body: JsonObject) -> Response:
    """Open a resolved one again, with fresh clocks."""
    return _act(request, id, ReopenAct, body, escalations.reopen)
