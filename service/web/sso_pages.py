"""The two doors of single sign-on: going to the identity provider, and coming back."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from service import sso
from service.db import session_on
from service.runtime import Runtime
from service.settings import require_secret_key
from service.sso_provider import Provider, ProviderError
from service.web.doors import PageRoute, address_of, cookie_name, peoples_clock, safe_next
from service.web.outside import let_in, outside, with_cookie

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Word = Annotated[str, Query(max_length=4096)]


def provider_of(request: Request) -> Provider:
    """The provider, or 404 where none is set."""
    provider: Provider | None = request.app.state.sso
    if provider is None:
        raise HTTPException(404)
    return provider


def attempt_cookie(runtime: Runtime) -> str:
    return cookie_name(runtime) + "-sso"


@router.get("/sign-in/sso")
def go_to_provider(request: Request, next: str = "/") -> Response:
    """Send the browser to the organisation's own sign-in."""
    runtime: Runtime = request.app.state.runtime
    key, target = require_secret_key(runtime.settings), safe_next(next)
    try:
        address, cookie = sso.begin(provider_of(request), key, target, peoples_clock(runtime))
    except sso.SsoFailed:
        return _failed(request, 502)
    answer = RedirectResponse(address, 303)
    return with_cookie(runtime, answer, attempt_cookie(runtime), cookie, sso.ATTEMPT_LASTS)


@router.get("/sign-in/sso/back")
def come_back(
    request: Request, code: Word = "", state: Word = "", iss: Word | None = None, error: Word = ""
) -> Response:
    """The provider's answer; good once, in the browser that asked."""
    runtime: Runtime = request.app.state.runtime
    provider, now = provider_of(request), peoples_clock(runtime)
    answer = {"state": state} | ({"iss": iss} if iss is not None else {})
    cookie = request.cookies.get(attempt_cookie(runtime), "")
    try:
        with session_on(runtime.engine) as session:
            attempt = sso.came_back(
                session, require_secret_key(runtime.settings), cookie, answer, provider.issuer, now
            )
        if error or not code:
            raise sso.SsoFailed
        claims = sso.claims_of(provider, attempt, code, now)
        with session_on(runtime.engine) as session:
            token = sso.enter(
                session, provider.sso, claims, now=now, address=address_of(request),
                agent=request.headers.get("user-agent"),
            )  # fmt: skip
    except (sso.SsoFailed, ProviderError):
        return _without_cookie(runtime, _failed(request, 401))
    except sso.SsoRefused:
        return _without_cookie(runtime, outside(request, "sso_failed.html", 403, is_refused=True))
    there = RedirectResponse(safe_next(attempt.target), 303)
    return let_in(runtime, _without_cookie(runtime, there), token)


def _failed(request: Request, status: int) -> Response:
    return outside(request, "sso_failed.html", status, is_refused=False)


def _without_cookie(runtime: Runtime, answer: Response) -> Response:
    return with_cookie(runtime, answer, attempt_cookie(runtime), "", None)
