"""Who may come in: one guard for every page, one for every act.

Anonymous looks are sent to the sign-in page and come back afterwards; acts need the right role, a request
from our own pages (Origin, Sec-Fetch-Site) and the token of the session.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import datetime
from hmac import compare_digest
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from service import accounts
from service.db import reading, session_on
from service.runtime import Runtime
from service.sight import EVERYTHING, has_one_team, sight_of_member
from service.web import render, seats
from service.web.desk import Desk as Desk
from service.web.desk import address_of as address_of
from service.web.desk import must_set_up as must_set_up
from service.web.words import chosen

SET_UP = "/me/second-factor"
MOST_FIELDS = 60
LONGEST_PART = 2 * 1024 * 1024


def peoples_clock(runtime: Runtime) -> datetime:
    """The time that sessions are counted in: the wall's where a demonstration's clock runs faster."""
    real = getattr(runtime.clock, "real", None)
    return real() if real is not None else runtime.clock()


def cookie_name(runtime: Runtime) -> str:
    """The ``__Host-`` prefix needs https; on a plain loopback address a plain name is used."""
    return "__Host-aftercare" if runtime.settings.is_https else "aftercare"


def safe_next(target: str | None) -> str:
    """Where to go after sign-in: a path of ours, never another site, never back to the sign-in page."""
    target = target or "/"
    parts = urlsplit(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    if not is_ours or any(ord(sign) < 33 or sign == "\\" for sign in target):
        return "/"
    return "/" if parts.path.startswith(("/sign-", "/live")) else target


def to_sign_in(request: Request) -> HTTPException:
    here = request.url.path
    if request.method == "GET" and request.url.query:
        here += f"?{request.url.query}"
    elif request.method != "GET":
        referer = urlsplit(request.headers.get("referer", ""))
        here = referer.path or "/"
    target = quote(safe_next(here), safe="/")
    # An act that met no session did nothing, and whoever sent it must not think otherwise.
    unsaved = "" if request.method in ("GET", "HEAD") else "&unsaved=1"
    return HTTPException(303, headers={"Location": f"/sign-in?next={target}{unsaved}"})


def _seat(request: Request, stack: ExitStack) -> Desk | None:
    runtime: Runtime = request.app.state.runtime
    token = request.cookies.get(cookie_name(runtime))
    if not token or len(token) > 200:
        return None
    now, theirs = runtime.clock(), peoples_clock(runtime)
    session = stack.enter_context(reading(runtime.engine))
    visit = accounts.visit(session, token, theirs)
    if visit is None or visit.state != "active":
        return None
    is_look = request.headers.get("x-live") != "1"
    if is_look and theirs - visit.seen_at >= accounts.SEEN_EVERY:
        with session_on(runtime.engine) as writing:
            accounts.note_activity(writing, token, theirs)
    has_teams = not has_one_team(session)
    sight = sight_of_member(session, visit.member, now) if has_teams else EVERYTHING
    return Desk(request, runtime, visit.member, visit.csrf_token, now, session, visit, sight, has_teams)


async def at_the_door(request: Request) -> AsyncIterator[Desk]:
    """A member who may still have to set up a second factor: only for the pages that do so, and to leave."""
    async with seats.seated(request, _seat) as desk:
        if desk is None:
            raise to_sign_in(request)
        yield desk


async def signed_in(desk: Annotated[Desk, Depends(at_the_door)]) -> Desk:
    """Any member may look. Anonymous: 303 to the sign-in page; lacking a wanted second factor: there."""
    if desk.must_set_up:
        raise HTTPException(303, headers={"Location": SET_UP})
    return desk


async def perhaps_signed_in(request: Request) -> AsyncIterator[Desk | None]:
    """For pages that are open on the machine itself: the member, or None."""
    async with seats.seated(request, _seat) as desk:
        yield None if desk is None or desk.must_set_up else desk


async def posted(request: Request) -> AsyncIterator[FormData]:
    """The fields of a form, bounded; refused when another site sent it."""
    refuse_other_sites(request)
    try:
        form = await request.form(max_fields=MOST_FIELDS, max_files=2, max_part_size=LONGEST_PART)
        if any("\0" in value for _name, value in form.multi_items() if isinstance(value, str)):
            raise HTTPException(422, "The form holds a character that cannot be stored (NUL).")
        yield form
    finally:
        await request.close()  # and with it the files of the form


def refuse_other_sites(request: Request) -> None:
    """403 unless the browser says that the request comes from one of our own pages (or says nothing)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise HTTPException(403, "This request came from another site.")
    origin = request.headers.get("origin")
    if origin is None:
        return
    runtime: Runtime = request.app.state.runtime
    ours = {request.headers.get("host", ""), urlsplit(runtime.settings.public_url).netloc}
    if urlsplit(origin).netloc not in ours:
        raise HTTPException(403, "This request came from another site.")


def acting_at_the_door(
    request: Request, desk: Annotated[Desk, Depends(at_the_door)], form: Annotated[FormData, Depends(posted)]
) -> Desk:
    """The form came from this session's own page."""
    token = form.get("csrf") or request.headers.get("x-csrf-token") or ""
    if not isinstance(token, str) or not compare_digest(token.encode(), desk.csrf_token.encode()):
        raise HTTPException(403, desk.t("This form is too old. Load the page again and repeat what you did."))
    desk.form = form
    return desk


def acting(
    _seated: Annotated[Desk, Depends(signed_in)], desk: Annotated[Desk, Depends(acting_at_the_door)]
) -> Desk:
    """A member with any role changes something of their own."""
    return desk


def caring(desk: Annotated[Desk, Depends(acting)]) -> Desk:
    """A nurse, clinician or admin acts for a patient."""
    if not desk.may_act:
        raise HTTPException(403, desk.t("Your role may look but not act. Ask an admin to change it."))
    return desk


def deciding(desk: Annotated[Desk, Depends(acting)]) -> Desk:
    """A clinician or admin decides about a record as a whole."""
    return _must_decide(desk)


def deciding_look(desk: Annotated[Desk, Depends(signed_in)]) -> Desk:
    return _must_decide(desk)


def _must_decide(desk: Desk) -> Desk:
    if not desk.may_decide:
        raise HTTPException(403, desk.t("Only a clinician or an admin may do this."))
    return desk


def administering(desk: Annotated[Desk, Depends(acting)]) -> Desk:
    """An admin changes the team."""
    if desk.member.role != "admin":
        raise HTTPException(403, desk.t("Only an admin may do this."))
    return desk


def looking_as_admin(desk: Annotated[Desk, Depends(signed_in)]) -> Desk:
    if desk.member.role != "admin":
        raise HTTPException(403, desk.t("Only an admin may do this."))
    return desk


def looking_to_act(desk: Annotated[Desk, Depends(signed_in)]) -> Desk:
    """A page that is only for those who may act."""
    if not desk.may_act:
        raise HTTPException(403, desk.t("Your role may look but not act. Ask an admin to change it."))
    return desk


AtTheDoor = Annotated[Desk, Depends(at_the_door)]
ActingAtTheDoor = Annotated[Desk, Depends(acting_at_the_door)]
SignedIn = Annotated[Desk, Depends(signed_in)]
CareLooking = Annotated[Desk, Depends(looking_to_act)]
PerhapsSignedIn = Annotated[Desk | None, Depends(perhaps_signed_in)]
Acting = Annotated[Desk, Depends(acting)]
Caring = Annotated[Desk, Depends(caring)]
Deciding = Annotated[Desk, Depends(deciding)]
DecidingLook = Annotated[Desk, Depends(deciding_look)]
Administering = Annotated[Desk, Depends(administering)]
AdminLooking = Annotated[Desk, Depends(looking_as_admin)]


class PageRoute(APIRoute):
    """A route whose errors are pages too, in the reader's language, never JSON."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        inner = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await inner(request)
            except HTTPException as error:
                return error_page(request, error)
            finally:
                await seats.leave(request)

        return answer


def error_page(request: Request, error: HTTPException) -> Response:
    """What went wrong as a page: redirects stay redirects."""
    if error.status_code in (302, 303, 307):
        return RedirectResponse((error.headers or {})["Location"], error.status_code)
    runtime: Runtime = request.app.state.runtime
    return render.page(
        request,
        "error.html",
        {"status": error.status_code, "detail": error.detail},
        status=error.status_code,
        language=chosen(request.headers.get("accept-language")),
        zone=runtime.site.timezone,
    )
