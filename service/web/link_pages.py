"""Pages behind one-time links: choosing a password, and making the first admin."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from service import accounts, first_admin
from service.db import reading, session_on
from service.member_links import member_of_link
from service.runtime import Runtime
from service.web.doors import PageRoute, peoples_clock, posted
from service.web.outside import outside

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Form = Annotated[FormData, Depends(posted)]


def _too_old() -> HTTPException:
    return HTTPException(404, "This link was used already or is too old. Ask an admin for a new one.")


@router.get("/sign-in/new/{token}")
def new_password_page(request: Request, token: str) -> Response:
    return _new_password(request, token)


def _new_password(request: Request, token: str, status: int = 200, fault: str | None = None) -> Response:
    runtime: Runtime = request.app.state.runtime
    with reading(runtime.engine) as session:
        member = member_of_link(session, token, peoples_clock(runtime))
    if member is None:
        raise _too_old()
    return outside(request, "new_password.html", status, email=member.email, name=member.name, fault=fault)


@router.post("/sign-in/new/{token}")
def new_password(request: Request, token: str, form: Form) -> Response:
    """Choose a password by invitation or reset link; the second factor, where wanted, comes at sign-in."""
    runtime: Runtime = request.app.state.runtime
    password = str(form.get("password") or "")
    if password != str(form.get("again") or ""):
        return _new_password(request, token, 422, "The two passwords differ.")
    with session_on(runtime.engine) as session:
        try:
            member = accounts.accept_link(session, token, password, now=peoples_clock(runtime))
        except accounts.AccountError as error:
            return _new_password(request, token, 422, str(error))
    if member is None:
        raise _too_old()
    return RedirectResponse("/sign-in", 303)


@router.get("/sign-in/first/{token}")
def first_admin_page(request: Request, token: str) -> Response:
    runtime: Runtime = request.app.state.runtime
    with reading(runtime.engine) as session:
        if not first_admin.is_open(session, token, peoples_clock(runtime)):
            raise _too_old()
    return outside(request, "first_admin.html", email="", name="", faults={})


@router.post("/sign-in/first/{token}")
def make_first_admin(request: Request, token: str, form: Form) -> Response:
    """The link printed at the first start makes the admin, once."""
    runtime: Runtime = request.app.state.runtime
    given = {name: str(form.get(name) or "")[:254] for name in ("email", "name")}
    password = str(form.get("password") or "")
    faults: dict[str, str] = {}
    with session_on(runtime.engine) as session:
        if not first_admin.is_open(session, token, peoples_clock(runtime)):
            raise _too_old()
        if password != str(form.get("again") or ""):
            faults["again"] = "The two passwords differ."
        else:
            try:
                member = first_admin.claim(
                    session, token, now=peoples_clock(runtime), password=password, **given
                )
            except accounts.AccountError as error:
                faults[error.field] = str(error)
    if faults:
        return outside(request, "first_admin.html", 422, **given, faults=faults)
    if member is None:
        raise _too_old()
    return RedirectResponse("/sign-in", 303)
