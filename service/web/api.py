"""``/api/v1``: the routes together, and their description."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from service.web import api_audit, api_enrollments, api_escalations, api_patients, api_scoreboard
from service.web.api_doors import PUBLIC

VERSION = "1"
ABOUT = (
    "Enroll patients, read conversations, work on escalations. Send `Authorization: Bearer TOKEN`; tokens "
    "are made with `aftercare token add NAME`. Errors are `application/problem+json`. A POST with an "
    "`Idempotency-Key` header may be repeated for 24 hours without being done twice."
)

router = APIRouter()
_v1 = APIRouter(prefix="/api/v1")
for part in (api_enrollments, api_patients, api_escalations, api_scoreboard, api_audit):
    _v1.include_router(part.router)
router.include_router(_v1)


@router.get(PUBLIC, include_in_schema=False)
def description() -> Response:
    """What this API takes and answers, for programs that make clients."""
    return JSONResponse(described())


@cache
def described() -> dict[str, Any]:
    """The OpenAPI description of ``/api/v1`` and nothing else."""
    found = get_openapi(title="Aftercare", version=VERSION, description=ABOUT, routes=router.routes)
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}]
    for path in found["paths"].values():
        for method, operation in path.items():
            if method == "post":
                operation.setdefault("parameters", []).append(
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "required": False,
                        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                    }
                )
    return found
