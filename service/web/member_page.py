"""One member as an admin sees them: browsers, second factor, open links."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response

from service import accounts, member_links, recovery_codes, second_factor, sessions
from service.db import session_on
from service.models import Member
from service.web.doors import Administering, AdminLooking, Desk, PageRoute, peoples_clock

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def the_member(desk: Desk, member_id: str) -> Member:
    """The member, or 404."""
    member = desk.session.get(Member, member_id)
    if member is None:
        raise HTTPException(404)
    return member


def another(desk: Desk, member_id: str) -> Member:
    """A member who is not the admin: one's own account is changed under My security, with the password."""
    member = the_member(desk, member_id)
    if member.id == desk.member.id:
        raise HTTPException(422, desk.t("Change your own account under My security."))
    return member


@router.get("/members/{member_id}")
def member_page(desk: AdminLooking, member_id: str) -> Response:
    member, now = the_member(desk, member_id), peoples_clock(desk.runtime)
    desk.looked("view member", "member", member.id)
    return desk.page(
        "member.html",
        one=member,
        browsers=accounts.sessions_of(desk.session, member.id, now),
        left=recovery_codes.codes_left(desk.session, member.id),
        links=member_links.pending_links(desk.session, now, member.id),
        is_required=second_factor.is_required(desk.runtime.settings.require_totp, member),
        now=now,
    )


@router.post("/members/{member_id}/sessions/end")
def end_sessions(desk: Administering, member_id: str) -> Response:
    """Sign a member out everywhere."""
    member = another(desk, member_id)
    with session_on(desk.runtime.engine) as session:
        sessions.end_other_sessions(
            session, member.id, "", now=peoples_clock(desk.runtime), actor=desk.member.email
        )
    return RedirectResponse(f"/members/{member.id}", 303)


@router.post("/members/{member_id}/second-factor/reset")
def reset_second_factor(desk: Administering, member_id: str) -> Response:
    """For a lost phone: the member signs in with the password alone and sets up a new one."""
    member = another(desk, member_id)
    with session_on(desk.runtime.engine) as session:
        second_factor.turn_off(
            session, session.get_one(Member, member.id), now=peoples_clock(desk.runtime),
            actor=desk.member.email,
        )  # fmt: skip
    return RedirectResponse(f"/members/{member.id}", 303)


@router.post("/members/links/{link_id}/revoke")
def revoke_link(desk: Administering, link_id: str) -> Response:
    """An invitation or reset link that must not be used any more."""
    with session_on(desk.runtime.engine) as session:
        now = peoples_clock(desk.runtime)
        if not member_links.revoke_link(session, link_id, now=now, actor=desk.member.email):
            raise HTTPException(404)
    return RedirectResponse("/members", 303)
