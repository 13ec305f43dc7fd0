"""Coming in and leaving: sign-in, the code of the second factor, sign-out; one's own settings."""

from typing import Annotated
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from service import accounts, sign_ins
from service.db import session_on
from service.models import Member
from service.runtime import Runtime
from service.settings import require_secret_key
from service.web.doors import (
    Acting,
    ActingAtTheDoor,
    Desk,
    PageRoute,
    SignedIn,
    address_of,
    cookie_name,
    peoples_clock,
    posted,
    safe_next,
)
from service.web.few_at_once import password_turn
from service.web.outside import let_in, outside, step_cookie, with_cookie
from service.web.words import LANGUAGES

router = APIRouter(route_class=PageRoute, include_in_schema=False)

# Used by nobody's session: cookies of pages before sign-in carry no authority that could be misused.
Form = Annotated[FormData, Depends(posted)]


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "/", locked: int = 0, unsaved: int = 0) -> Response:
    return _door(request, safe_next(next), is_locked=bool(locked), is_unsaved=bool(unsaved))


def _door(request: Request, target: str, status: int = 200, email: str = "", **values: object) -> Response:
    shown = {"is_refused": status == 401, "is_locked": False, "is_unsaved": False}
    shown["has_sso"] = request.app.state.sso is not None
    shown.update(values)
    return outside(request, "sign_in.html", status, target=target, email=email, **shown)


@router.post("/sign-in", dependencies=[Depends(password_turn, scope="function")])
def sign_in(request: Request, form: Form) -> Response:
    runtime: Runtime = request.app.state.runtime
    email, password = str(form.get("email") or ""), str(form.get("password") or "")
    target = safe_next(str(form.get("next") or "/"))
    with session_on(runtime.engine) as session:
        try:
            entry = accounts.sign_in(
                session, now=peoples_clock(runtime), email=email, password=password,
                address=address_of(request), agent=request.headers.get("user-agent"),
                only_admins=request.app.state.sso is not None and runtime.settings.sso_passwords == "admins",
            )  # fmt: skip
        except accounts.SignInRefused:
            return _door(request, target, 401, email[:254])
    if entry.waits_for_code:
        there = RedirectResponse(f"/sign-in/code?next={quote(target, safe='/')}", 303)
        return with_cookie(runtime, there, step_cookie(runtime), entry.token, sign_ins.STEP_LASTS)
    return let_in(runtime, RedirectResponse(target, 303), entry.token)


@router.get("/sign-in/code")
def code_page(request: Request, next: str = "/") -> Response:
    """The second step; whoever has not done the first is sent there."""
    runtime: Runtime = request.app.state.runtime
    target = safe_next(next)
    if not request.cookies.get(step_cookie(runtime)):
        return RedirectResponse(f"/sign-in?next={quote(target, safe='/')}", 303)
    return outside(request, "code.html", target=target, is_refused=False)


@router.post("/sign-in/code", dependencies=[Depends(password_turn, scope="function")])
def enter_code(request: Request, form: Form) -> Response:
    runtime: Runtime = request.app.state.runtime
    target = safe_next(str(form.get("next") or "/"))
    with session_on(runtime.engine) as session:
        try:
            entry = accounts.enter_with_code(
                session, require_secret_key(runtime.settings), now=peoples_clock(runtime),
                step=request.cookies.get(step_cookie(runtime), ""), code=str(form.get("code") or "")[:40],
                address=address_of(request), agent=request.headers.get("user-agent"),
            )  # fmt: skip
        except accounts.SignInRefused:
            return outside(request, "code.html", 401, target=target, is_refused=True)
    # Whoever used a code from paper sees how many are left.
    answer = RedirectResponse("/me/security?recovered=1" if entry.by_recovery else target, 303)
    with_cookie(runtime, answer, step_cookie(runtime), "", None)
    return let_in(runtime, answer, entry.token)


@router.post("/sign-out")
def sign_out(request: Request, desk: ActingAtTheDoor) -> Response:
    name = cookie_name(desk.runtime)
    with session_on(desk.runtime.engine) as session:
        accounts.sign_out(session, request.cookies.get(name, ""), now=desk.now, actor=desk.member.email)
    answer = RedirectResponse("/sign-in", 303)
    with_cookie(desk.runtime, answer, name, "", None)
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@router.get("/me")
def my_settings(desk: SignedIn) -> Response:
    return _my_settings(desk)


def _my_settings(desk: Desk, *, status: int = 200, faults: dict[str, str] | None = None) -> Response:
    return desk.page("me.html", status=status, faults=faults or {})


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
