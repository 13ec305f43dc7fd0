"""``/api/v1/audit``: who looked at what and did what."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service import queries
from service.cursors import CursorError
from service.db import reading
from service.web.api_doors import RuntimeOf, SightOf, token_name
from service.web.api_params import USUAL_PAGE, Cursor, Limit, Since
from service.web.api_route import ApiRoute, listed, looked
from service.web.api_shapes import AuditList, answers
from service.web.problems import invalid

router = APIRouter(prefix="/audit", route_class=ApiRoute, tags=["audit"])


@router.get("", responses=answers(200, AuditList))
def list_audit(
    request: Request,
    runtime: RuntimeOf,
    sight: SightOf,
    since: Since,
    limit: Limit = USUAL_PAGE,
    cursor: Cursor = None,
) -> Response:
    """The audit trail, oldest first."""
    with reading(runtime.engine) as session:
        try:
            page = queries.audit_trail(
                session, sight, token_name(request), since=since, limit=limit, cursor=cursor
            )
        except CursorError as error:
            raise invalid({"cursor": [str(error)]}) from error
    if cursor is None:  # one row per reading, not per page: else the list would grow as fast as it is read
        looked(request, "view audit trail", "audit")
    return listed(page)
