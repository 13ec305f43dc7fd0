"""Pages for those who are not signed in, and the cookies that let them in."""

from datetime import timedelta

from fastapi import Request
from fastapi.responses import Response

from service import accounts
from service.runtime import Runtime
from service.web import render
from service.web.doors import cookie_name
from service.web.words import chosen


def outside(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """A page in the language of the browser."""
    runtime: Runtime = request.app.state.runtime
    language = chosen(request.headers.get("accept-language"))
    return render.page(
        request, template, values, status=status, language=language, zone=runtime.site.timezone
    )


def let_in(runtime: Runtime, answer: Response, token: str) -> Response:
    """The cookie of a session."""
    return with_cookie(runtime, answer, cookie_name(runtime), token, accounts.ABSOLUTE)


def with_cookie(
    runtime: Runtime, answer: Response, name: str, value: str, lasts: timedelta | None
) -> Response:
    """Set a cookie that scripts and other sites do not get; without ``lasts`` take it away."""
    answer.set_cookie(
        name, value, max_age=int(lasts.total_seconds()) if lasts else 0, path="/",
        secure=runtime.settings.is_https, httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


def step_cookie(runtime: Runtime) -> str:
    """The cookie between password and code."""
    return cookie_name(runtime) + "-step"
