"""The API's door: the token before path, method and body; and who acts."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response
from sqlmodel import Session

from service.db import reading
from service.escalation_rows import InvalidAct, member_named
from service.models import ApiToken
from service.runtime import Runtime
from service.sight import Sight, sight_of_member, sight_of_token
from service.tokens import token_of
from service.web.problems import Problem, invalid
from service.web.rates import Rates

PUBLIC = "/api/v1/openapi.json"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# First word of the path behind /api/v1: the scope to look, the scope to act.
SCOPE_OF = {
    "enrollments": ("enrollments:read", "enrollments:write"),
    "patients": ("patients:read", "patients:write"),
    "escalations": ("escalations:read", "escalations:write"),
    "scoreboard": ("escalations:read", "escalations:read"),
    "audit": ("audit", "audit"),
}


def refusal(request: Request, runtime: Runtime) -> Response | None:
    """401 or 403 as a problem, or None with the token kept in ``request.state.api_token``.

    Also for addresses that do not exist: without a token nobody learns which ones do.
    """
    if request.url.path == PUBLIC and request.method in ("GET", "HEAD"):
        return None
    token = presented_token(request, runtime)
    if token is None:
        return unauthorized()
    rates: Rates = request.app.state.rates
    wait = rates.wait_for(token.id, runtime.monotonic())
    if wait:
        return Problem(429, "Too many requests with this token.", headers={"Retry-After": str(wait)})
    needed = scope_needed(request.method, request.url.path)
    if needed is not None and needed not in token.scopes:
        return forbidden(needed)
    request.state.api_token = token
    return None


def presented_token(request: Request, runtime: Runtime) -> ApiToken | None:
    """The valid token of the Authorization header, or None."""
    given = request.headers.getlist("authorization")
    kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if kind.lower() != "bearer" or not token.strip():
        return None
    with reading(runtime.engine) as session:
        return token_of(session, token.strip(), runtime.clock())


def scope_needed(method: str, path: str) -> str | None:
    """The scope an address needs; None where there is nothing to guard."""
    words = path.split("/")
    look, act = SCOPE_OF.get(words[3], (None, None)) if len(words) > 3 and words[2] == "v1" else (None, None)
    return look if method in SAFE_METHODS else act


def unauthorized() -> Response:
    """No, an unknown or an expired token: one and the same answer."""
    return Problem(
        401,
        "Send a valid token: Authorization: Bearer TOKEN. Tokens are made with: aftercare token add NAME.",
        headers={"WWW-Authenticate": 'Bearer realm="aftercare"'},
    )


def forbidden(scope: str) -> Response:
    """The token is good but not for this."""
    return Problem(
        403,
        f"This token lacks the scope {scope}.",
        headers={
            "WWW-Authenticate": f'Bearer realm="aftercare", error="insufficient_scope", scope="{scope}"'
        },
    )


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def now_of(request: Request) -> datetime:
    return runtime_of(request).clock()


def address_of(request: Request) -> str | None:
    """Where a request came from, for the audit trail."""
    return request.client.host if request.client else None


def token_name(request: Request) -> str:
    """The name of the token that was let in: the actor of what follows."""
    token: ApiToken = request.state.api_token
    return token.name


def sight_of(request: Request) -> Sight:
    """Whose patients the token that was let in sees."""
    token: ApiToken = request.state.api_token
    return sight_of_token(token)


def actor_of(
    session: Session, request: Request, member: str | None, sees: Callable[[Sight], object | None]
) -> str:
    """Who acts: the member named in the request, else the token. Raises 422 for somebody who is not one, or
    who could not do it themselves: ``sees`` looks for the row with their sight."""
    if member is None:
        return token_name(request)
    try:
        found = member_named(session, member.strip().lower())
    except InvalidAct as error:
        raise invalid({"member": [str(error)]}) from error
    if sees(sight_of_member(session, found, now_of(request))) is None:
        raise invalid({"member": ["works in another team"]})
    return found.email


RuntimeOf = Annotated[Runtime, Depends(runtime_of)]
Now = Annotated[datetime, Depends(now_of)]
SightOf = Annotated[Sight, Depends(sight_of)]
