"""Errors as the outside sees them: problem+json for programs, a page for people, never a detail of ours.

What went wrong inside is logged by kind and place under an error id; the answer carries the id alone.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import Any

from fastapi import FastAPI, Request
from fastapi import HTTPException as PageFault
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

log = logging.getLogger("aftercare.web")

PROGRAM_PATHS = ("/api", "/twilio", "/healthz", "/readyz", "/metrics", "/static")
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)


class Problem(JSONResponse):
    """RFC 9457. ``errors``: what is wrong, by field; further values stand beside it."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        errors: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        content: dict[str, Any] = {"type": "about:blank", "title": _title(status), "status": status}
        if detail:
            content["detail"] = detail
        if errors:
            content["errors"] = {name: list(said) for name, said in errors.items()}
        super().__init__({**content, **more}, status_code=status, headers=dict(headers or {}))


class Refused(Exception):
    """Raised anywhere below a route of the API; answered with its problem."""

    def __init__(self, status: int, detail: str = "", **more: Any) -> None:
        super().__init__(detail)
        self.problem = Problem(status, detail, **more)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def invalid(errors: Mapping[str, Sequence[str]]) -> Refused:
    """422 naming every fault by field."""
    names = ", ".join(errors)
    return Refused(422, f"{len(errors)} value(s) cannot be used: {names}."[:500], errors=errors)


def faults_of(problems: Sequence[Mapping[str, Any]], skip: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Pydantic's findings by field; what was given is not repeated."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        parts = [str(part)[:60] for part in problem["loc"] if part not in skip]
        said = str(problem["msg"]).removeprefix("Value error, ")
        found.setdefault(".".join(parts) or "body", []).append(said)
    return found


def is_program(path: str) -> bool:
    """Whether an address is asked by programs, which get problem+json instead of a page."""
    return any(path == start or path.startswith(start + "/") for start in PROGRAM_PATHS)


def answer(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """An error in the form that suits who asks."""
    if is_program(request.url.path):
        return Problem(status, detail, headers=headers, **more)
    from service.web.doors import error_page  # pages know the doors; the doors know nothing of this module

    words = f"{detail} ({more['error_id']})" if "error_id" in more else detail
    page = error_page(request, PageFault(status, words))
    page.headers.update(headers or {})
    return page


def unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: 500, or 503 when the database cannot be reached just now."""
    error_id = token_hex(6)
    kind = type(error).__name__
    if isinstance(error, DATABASE_AWAY):
        log.error("error %s: the database failed (%s)", error_id, kind)
        said = "The database cannot be reached just now. Try again in a moment."
        return answer(request, 503, said, headers={"Retry-After": "5"}, error_id=error_id)
    log.error("error %s: %s at %s", error_id, kind, _place(error))
    said = "Something went wrong on our side. It was logged under this error id."
    return answer(request, 500, said, error_id=error_id)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.detail != _title(error.status_code) else _SAID.get(error.status_code, "")
    return answer(request, error.status_code, str(detail), headers=error.headers)


def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = faults_of(error.errors(), skip=("query", "path", "header"))
    if is_program(request.url.path):
        return invalid(faults).problem
    return answer(request, 422, "Something in the address or form cannot be used: " + ", ".join(faults)[:200])


def _on_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.problem


_SAID = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
}


def install(app: FastAPI) -> None:
    """Answer every error of the application in our own forms."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Refused, _on_refused)
