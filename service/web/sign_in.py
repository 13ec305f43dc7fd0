"""Coming in and leaving: sign-in, sign-out, choosing a password by link, one's own settings."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from service import accounts
from service.db import reading, session_on
from service.models import Member
from service.runtime import Runtime
from service.settings import require_secret_key
from service.web import render
from service.web.doors import (
    Acting,
    Desk,
    PageRoute,
    SignedIn,
    address_of,
    cookie_name,
    peoples_clock,
    posted,
    safe_next,
)
from service.web.words import LANGUAGES, chosen

router = APIRouter(route_class=PageRoute, include_in_schema=False)

# Used by nobody's session: cookies of pages before sign-in carry no authority that could be misused.
Form = Annotated[FormData, Depends(posted)]


def _outside(request: Request, template: str, status: int = 200, **values: object) -> Response:
    runtime: Runtime = request.app.state.runtime
    language = chosen(request.headers.get("accept-language"))
    return render.page(
        request, template, values, status=status, language=language, zone=runtime.site.timezone
    )


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "/", locked: int = 0) -> Response:
    return _outside(
        request, "sign_in.html", target=safe_next(next), email="", is_refused=False, is_locked=bool(locked)
    )


@router.post("/sign-in")
def sign_in(request: Request, form: Form) -> Response:
    runtime: Runtime = request.app.state.runtime
    email, password = str(form.get("email") or ""), str(form.get("password") or "")
    target = safe_next(str(form.get("next") or "/"))
    with session_on(runtime.engine) as session:
        try:
            token = accounts.sign_in(
                session, now=peoples_clock(runtime), email=email, password=password,
                address=address_of(request), agent=request.headers.get("user-agent"),
            )  # fmt: skip
        except accounts.SignInRefused:
            return _outside(
                request,
                "sign_in.html",
                401,
                target=target,
                email=email[:254],
                is_refused=True,
                is_locked=False,
            )
    return _with_cookie(runtime, RedirectResponse(target, 303), token)


def _with_cookie(runtime: Runtime, answer: Response, token: str) -> Response:
    answer.set_cookie(
        cookie_name(runtime), token, max_age=int(accounts.ABSOLUTE.total_seconds()), path="/",
        secure=runtime.settings.is_https, httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


@router.post("/sign-out")
def sign_out(request: Request, desk: Acting) -> Response:
    name = cookie_name(desk.runtime)
    with session_on(desk.runtime.engine) as session:
        accounts.sign_out(session, request.cookies.get(name, ""), now=desk.now, actor=desk.member.email)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(name, path="/", secure=desk.runtime.settings.is_https, httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def _invited(runtime: Runtime, token: str) -> Member:
    with reading(runtime.engine) as session:
        key = require_secret_key(runtime.settings)
        member = accounts.member_of_link(session, key, token, runtime.clock())
    if member is None:
        raise HTTPException(404, "This link was used already or is too old. Ask an admin for a new one.")
    return member


@router.get("/sign-in/new/{token}")
def new_password_page(request: Request, token: str) -> Response:
    member = _invited(request.app.state.runtime, token)
    return _outside(request, "new_password.html", email=member.email, fault=None)


@router.post("/sign-in/new/{token}")
def new_password(request: Request, token: str, form: Form) -> Response:
    runtime: Runtime = request.app.state.runtime
    member = _invited(runtime, token)
    password = str(form.get("password") or "")
    if password != str(form.get("again") or ""):
        return _outside(
            request, "new_password.html", 422, email=member.email, fault="The two passwords differ."
        )
    with session_on(runtime.engine) as session:
        stored = session.get(Member, member.id)
        if stored is None:
            raise HTTPException(404)
        try:
            accounts.set_password(session, stored, password, now=runtime.clock(), actor=stored.email)
        except accounts.AccountError as error:
            return _outside(request, "new_password.html", 422, email=member.email, fault=str(error))
    return RedirectResponse("/sign-in", 303)


@router.get("/me")
def my_settings(desk: SignedIn) -> Response:
    return _my_settings(desk)


def _my_settings(desk: Desk, *, status: int = 200, faults: dict[str, str] | None = None) -> Response:
    sessions = accounts.sessions_of(desk.session, desk.member.id, peoples_clock(desk.runtime))
    return desk.page("me.html", status=status, faults=faults or {}, sessions=sessions)


@router.post("/me/sessions/end")
def end_other_sessions(request: Request, desk: Acting) -> Response:
    """Sign out everywhere else: for a lost phone."""
    token = request.cookies.get(cookie_name(desk.runtime), "")
    with session_on(desk.runtime.engine) as session:
        accounts.end_other_sessions(session, desk.member.id, token, now=desk.now, actor=desk.member.email)
    return RedirectResponse("/me", 303)


@router.post("/me")
def change_my_settings(desk: Acting) -> Response:
    """Language, time zone, theme, keyboard and sound of one member."""
    zone, language = desk.text("timezone", 60), desk.text("language", 5)
    theme = desk.text("theme", 10)
    faults = {}
    try:
        ZoneInfo(zone or desk.runtime.site.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        faults["timezone"] = desk.t("Not a time zone: use a name such as America/Chicago.")
    if language not in LANGUAGES:
        faults["language"] = desk.t("Choose one of the listed languages.")
    if faults:
        return _my_settings(desk, status=422, faults=faults)
    with session_on(desk.runtime.engine) as session:
        stored = session.get(Member, desk.member.id)
        if stored is not None:
            stored.language = language
            stored.preferences = {
                "timezone": zone or None,
                "theme": theme if theme in ("light", "dark") else "auto",
                "keys": desk.text("keys", 3) == "on",
                "sound": desk.text("sound", 3) == "on",
                "notify": desk.text("notify", 3) == "on",
            }
            session.add(stored)
            session.commit()
    return RedirectResponse("/me?saved=1", 303)
