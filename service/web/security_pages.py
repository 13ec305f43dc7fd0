"""A member's own security: password, second factor, recovery codes, and where they are signed in."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from segno import make as make_qr
from sqlmodel import Session

from service import accounts, recovery_codes, second_factor, sessions, sign_ins
from service.db import session_on
from service.models import Member
from service.web.doors import (
    SET_UP,
    Acting,
    ActingAtTheDoor,
    AtTheDoor,
    Desk,
    PageRoute,
    SignedIn,
    address_of,
    peoples_clock,
)

router = APIRouter(route_class=PageRoute, include_in_schema=False)

NOT_PROVED = "The password or the code is wrong, or there were too many tries."


@router.get("/me/security")
def my_security(desk: SignedIn, recovered: int = 0, done: str = "") -> Response:
    return _my_security(desk, recovered=bool(recovered), done=done)


def _my_security(
    desk: Desk,
    *,
    status: int = 200,
    faults: dict[str, str] | None = None,
    recovered: bool = False,
    done: str = "",
) -> Response:
    now = peoples_clock(desk.runtime)
    return desk.page(
        "security.html",
        status=status,
        faults={name: desk.t(said) for name, said in (faults or {}).items()},
        browsers=[
            (sessions.browser_name(row), row)
            for row in accounts.sessions_of(desk.session, desk.member.id, now)
        ],
        here=desk.visit.browser,
        left=recovery_codes.codes_left(desk.session, desk.member.id),
        few=recovery_codes.FEW,
        recovered=recovered,
        done=done if done in ("password", "off") else "",
        is_required=second_factor.is_required(desk.runtime.settings.require_totp, desk.member),
        way=desk.visit.way,
        now=now,
    )


@router.post("/me/password")
def change_password(desk: Acting) -> Response:
    """Change the password: asks for the old one, signs out every other browser."""
    new = str(desk.form.get("password") or "")
    if new != str(desk.form.get("again") or ""):
        return _my_security(desk, status=422, faults={"again": "The two passwords differ."})
    with session_on(desk.runtime.engine) as session:
        try:
            accounts.change_password(
                session, session.get_one(Member, desk.member.id), old=str(desk.form.get("old") or ""),
                new=new, now=peoples_clock(desk.runtime), address=address_of(desk.request),
                keep=desk.visit.browser,
            )  # fmt: skip
        except accounts.AccountError as error:
            return _my_security(desk, status=422, faults={error.field: str(error)})
    return RedirectResponse("/me/security?done=password", 303)


@router.get("/me/second-factor")
def set_up_page(desk: AtTheDoor) -> Response:
    """The QR code of a second factor being set up; who must have one starts here after the password."""
    if desk.member.totp_secret is not None:
        return RedirectResponse("/me/security", 303)
    secret = second_factor.offered(desk.secret_key, desk.member, desk.visit.totp_offered)
    if secret is None:
        if not desk.must_set_up:
            return RedirectResponse("/me/security", 303)
        with session_on(desk.runtime.engine) as session:
            secret = _offer(desk, session)
    return _set_up(desk, secret)


def _offer(desk: Desk, session: Session) -> str:
    now = peoples_clock(desk.runtime)
    return second_factor.offer(session, desk.secret_key, desk.member, desk.visit.browser, now)


def _set_up(desk: Desk, secret: str, *, status: int = 200, fault: str = "") -> Response:
    issuer = f"Aftercare {desk.runtime.site.clinic_name}".replace(":", " ")
    picture = make_qr(second_factor.address_for(secret, desk.member, issuer), error="m").svg_inline(
        scale=5, light="#fff", dark="#000", svgclass="qr", lineclass=None, omitsize=True
    )
    return desk.page(
        "second_factor.html",
        status=status,
        fault=fault,
        picture=Markup(picture),  # drawn by segno from our own address: squares, no text of anybody
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        must=desk.must_set_up,
        **({"member": None} if desk.must_set_up else {}),  # no menu: it would lead nowhere yet
    )


@router.post("/me/second-factor")
def begin_second_factor(desk: Acting) -> Response:
    """Start setting up; asks for the password, or a borrowed browser could tie the account to its phone."""
    if desk.member.totp_secret is not None:
        return RedirectResponse("/me/security", 303)
    with session_on(desk.runtime.engine) as session:
        if not sign_ins.is_password(
            session, session.get_one(Member, desk.member.id), str(desk.form.get("password") or ""),
            now=peoples_clock(desk.runtime), address=address_of(desk.request),
        ):  # fmt: skip
            said = "That is not your present password, or there were too many tries."
            return _my_security(desk, status=422, faults={"begin": said})
        _offer(desk, session)
    return RedirectResponse(SET_UP, 303)


@router.post("/me/second-factor/confirm")
def confirm_second_factor(desk: ActingAtTheDoor) -> Response:
    """Turn it on with a first code; the recovery codes are shown once."""
    secret = second_factor.offered(desk.secret_key, desk.member, desk.visit.totp_offered)
    if secret is None or desk.member.totp_secret is not None:
        return RedirectResponse(SET_UP, 303)
    with session_on(desk.runtime.engine) as session:
        codes = second_factor.confirm(
            session, desk.secret_key, session.get_one(Member, desk.member.id), secret=secret,
            code=desk.text("code", 40), browser=desk.visit.browser, now=peoples_clock(desk.runtime),
        )  # fmt: skip
    if codes is None:
        said = "That code does not fit. Check the clock of your phone and type the code it shows now."
        return _set_up(desk, secret, status=422, fault=desk.t(said))
    return desk.page("recovery_codes.html", codes=codes, is_first=True)


def _is_proved(desk: Desk, session: Session) -> bool:
    return sign_ins.is_proved(
        session, desk.secret_key, session.get_one(Member, desk.member.id),
        password=str(desk.form.get("password") or ""), code=desk.text("code", 40),
        now=peoples_clock(desk.runtime), address=address_of(desk.request),
    )  # fmt: skip


@router.post("/me/second-factor/off")
def turn_off_second_factor(desk: Acting) -> Response:
    """Turn it off with password and code; not where the clinic wants one."""
    if second_factor.is_required(desk.runtime.settings.require_totp, desk.member):
        raise HTTPException(403, desk.t("This clinic wants a second factor of you."))
    with session_on(desk.runtime.engine) as session:
        if not _is_proved(desk, session):
            return _my_security(desk, status=422, faults={"off": NOT_PROVED})
        second_factor.turn_off(
            session, session.get_one(Member, desk.member.id), now=peoples_clock(desk.runtime),
            actor=desk.member.email, keep=desk.visit.browser,
        )  # fmt: skip
    return RedirectResponse("/me/security?done=off", 303)


@router.post("/me/recovery-codes")
def renew_recovery_codes(desk: Acting) -> Response:
    """Ten new codes with password and code; the old ones end."""
    with session_on(desk.runtime.engine) as session:
        if desk.member.totp_secret is None or not _is_proved(desk, session):
            return _my_security(desk, status=422, faults={"renew": NOT_PROVED})
        codes = recovery_codes.renew(
            session, desk.secret_key, session.get_one(Member, desk.member.id),
            now=peoples_clock(desk.runtime),
        )  # fmt: skip
    return desk.page("recovery_codes.html", codes=codes, is_first=False)


@router.post("/me/sessions/end")
def end_other_sessions(desk: Acting) -> Response:
    """Sign out everywhere else: for a lost phone."""
    with session_on(desk.runtime.engine) as session:
        accounts.end_other_sessions(
            session, desk.member.id, desk.visit.browser, now=peoples_clock(desk.runtime),
            actor=desk.member.email,
        )  # fmt: skip
    return RedirectResponse("/me/security", 303)


@router.post("/me/sessions/{browser}/end")
def end_browser(desk: Acting, browser: str) -> Response:
    """Sign out one browser of one's own."""
    with session_on(desk.runtime.engine) as session:
        now = peoples_clock(desk.runtime)
        if not sessions.end_browser(session, desk.member.id, browser, now=now, actor=desk.member.email):
            raise HTTPException(404)
    return RedirectResponse("/me/security", 303)
