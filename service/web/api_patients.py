"""``/api/v1/patients/{id}/messages``: the conversation, and a person's own text."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from service import queries
from service.cursors import CursorError
from service.db import reading, session_on
from service.member_texts import TextRefused, send_text
from service.models import new_id
from service.sight import Sight, patient_in_sight
from service.web.api_body import JsonObject, read, takes
from service.web.api_doors import Now, RuntimeOf, SightOf, actor_of, address_of
from service.web.api_params import USUAL_PAGE, Cursor, Limit, RowId
from service.web.api_route import ApiRoute, listed, looked, work_key
from service.web.api_shapes import MessageList, MessageShape, TextRequest, answers
from service.web.problems import Refused, invalid

router = APIRouter(prefix="/patients", route_class=ApiRoute, tags=["patients"])


def _must_exist(session: Session, sight: Sight, patient_id: str, hold: bool = False) -> None:
    if patient_in_sight(session, sight, patient_id, hold) is None:
        raise Refused(404, "There is no such patient.")


@router.get("/{id}/messages", responses=answers(200, MessageList, 404))
def list_messages(
    request: Request,
    id: RowId,
    runtime: RuntimeOf,
    sight: SightOf,
    limit: Limit = USUAL_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Every text to and from the patient, oldest first; those still planned stand at the end."""
    with reading(runtime.engine) as session:
        _must_exist(session, sight, id)
        try:
            page = queries.messages_of(session, sight, id, limit=limit, cursor=cursor)
        except CursorError as error:
            raise invalid({"cursor": [str(error)]}) from error
    looked(request, "view messages", "patient", id, count=len(page.items))
    return listed(page)


@router.post(
    "/{id}/messages",
    status_code=202,
    responses=answers(202, MessageShape, 404, 409, 413),
    openapi_extra=takes(TextRequest),
)
def text_patient(
    request: Request, id: RowId, body: JsonObject, runtime: RuntimeOf, sight: SightOf, now: Now
) -> Response:
    """Text the patient now, quiet hours or not: a person decided so."""
    with session_on(runtime.engine) as session:
        _must_exist(session, sight, id, hold=True)
        wanted = read(TextRequest, body)
        actor = actor_of(
            session, request, wanted.member, lambda theirs: patient_in_sight(session, theirs, id)
        )
        try:
            message = send_text(
                session,
                now=now,
                patient_id=id,
                body=wanted.body,
                author=actor,
                key=work_key(request) or new_id(),
                address=address_of(request),
            )
        except TextRefused as error:
            raise Refused(409, str(error)) from error
        except ValueError as error:
            raise invalid({"body": [str(error)]}) from error
        item = queries.outbound_item(message)
    runtime.wake.set()
    return JSONResponse(item, 202)
