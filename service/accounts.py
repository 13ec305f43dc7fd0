"""Members of the care team: who they are, what each role may do, how they get and change a password.

How they come in is in ``service.sign_ins``, what becomes of a signed-in browser in ``service.sessions``; both
are offered here too, under one name.
"""

import re
from datetime import datetime

from sqlmodel import Session, select

from service import audit
from service.member_links import end_links, use_link
from service.models import ROLES, Member, OnCallShift, TeamMember
from service.passwords import AccountError, hash_password
from service.sessions import (
    ABSOLUTE,
    IDLE,
    SEEN_EVERY,
    Visit,
    end_other_sessions,
    end_sessions,
    note_activity,
    session_member,
    sessions_of,
    sign_out,
    visit,
)
from service.sign_ins import Entry, SignInRefused, enter_with_code, is_password, sign_in

__all__ = [
    "ABSOLUTE",
    "IDLE",
    "SEEN_EVERY",
    "AccountError",
    "Entry",
    "SignInRefused",
    "Visit",
    "accept_link",
    "add_member",
    "change_password",
    "disable",
    "end_other_sessions",
    "enter_with_code",
    "is_password",
    "may_act",
    "note_activity",
    "session_member",
    "sessions_of",
    "set_password",
    "sign_in",
    "sign_out",
    "visit",
]

ACTING_ROLES = ("nurse", "clinician", "admin")


def may_act(role: str) -> bool:
    """Whether the role may acknowledge, contact, resolve, enroll and text; a viewer may only look."""
    return role in ACTING_ROLES


def add_member(
    session: Session,
    *,
    now: datetime,
    email: str,
    name: str,
    role: str,
    phone: str | None = None,
    password: str | None = None,
    on_call: int | None = None,
    team_id: str | None = None,
    actor: str = audit.SYSTEM,
) -> Member:
    """Create a member and commit. ``phone`` is E.164; ``on_call`` 1: holds that tier around the clock;
    ``team_id``: works in this care team only, from the first moment, else in the one that catches all.

    Raises AccountError naming the field. Without a password the member signs in by ``password_link``.
    """
    email = email.strip().lower()
    name = " ".join(name.split())
    if not re.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,190}", email):
        raise AccountError("email", "Write an e-mail address such as kim@clinic.example.")
    if not 1 <= len(name) <= 80:
        raise AccountError("name", "Write a name of 1 to 80 characters.")
    if role not in ROLES:
        raise AccountError("role", f"Choose a role: {', '.join(ROLES)}.")
    if phone and not re.fullmatch(r"\+[1-9]\d{6,14}", phone):
        raise AccountError("phone", "Write the phone in international form, such as +13125550142.")
    if on_call is not None and not phone:
        raise AccountError("phone", "Someone on call needs a phone: pages are texts.")
    if on_call is not None and not 1 <= on_call <= 9:
        raise AccountError("on_call", "Tiers are numbered from 1 to 9.")
    if session.exec(select(Member.id).where(Member.email == email)).first():
        raise AccountError("email", "A member with this e-mail exists already.")
    member = Member(email=email, name=name, role=role, phone=phone or None, created_at=now)
    if password is not None:
        member.password_hash = hash_password(password, email, name)
    session.add(member)
    session.flush()
    if on_call is not None:
        session.add(
            OnCallShift(member_id=member.id, tier=on_call, starts_at=now, created_by=actor, created_at=now)
        )
    if team_id is not None:
        session.add(TeamMember(team_id=team_id, member_id=member.id))
    audit.record(
        session, now=now, actor=actor, action="add member", subject_kind="member", subject_id=member.id,
        detail={"role": role} | ({"team": team_id} if team_id else {}),
    )  # fmt: skip
    session.commit()
    return member


def set_password(
    session: Session, member: Member, password: str, *, now: datetime, actor: str, keep: str = ""
) -> None:
    """Give a member a new password; end their sessions (but the browser ``keep``) and open links; commit.

    Raises AccountError.
    """
    member.password_hash = hash_password(password, member.email, member.name)
    session.add(member)
    end_sessions(session, member.id, keep)
    end_links(session, member.id, now)
    audit.record(
        session, now=now, actor=actor, action="set password", subject_kind="member", subject_id=member.id
    )
    session.commit()


def accept_link(session: Session, token: str, password: str, *, now: datetime) -> Member | None:
    """Choose a password by link and commit; None when the link opens nothing (any more).

    Raises AccountError for a password that is refused, and then the link still works.
    """
    link = use_link(session, token, now, "invitation", "password")
    member = session.get(Member, link.member_id) if link is not None else None
    if member is None or member.disabled_at is not None:
        session.rollback()
        return None
    try:
        set_password(session, member, password, now=now, actor=member.email)
    except AccountError:
        session.rollback()
        raise
    return member


def change_password(
    session: Session,
    member: Member,
    *,
    old: str,
    new: str,
    now: datetime,
    address: str | None,
    keep: str,
) -> None:
    """Change one's own password, asking for the present one; every other browser is signed out. Commits.

    Raises AccountError, also when the old password is wrong or was tried too often (field ``old``).
    """
    if not is_password(session, member, old, now=now, address=address):
        raise AccountError("old", "That is not your present password, or there were too many tries.")
    if old == new:
        raise AccountError("password", "The new password is the old one.")
    set_password(session, member, new, now=now, actor=member.email, keep=keep)


def disable(session: Session, member: Member, *, now: datetime, actor: str, disabled: bool = True) -> None:
    """Shut a member out at once (or let them in again), commit. Their name stays on what they did."""
    member.disabled_at = now if disabled else None
    session.add(member)
    end_sessions(session, member.id)
    end_links(session, member.id, now)
    audit.record(
        session, now=now, actor=actor, action="disable member" if disabled else "enable member",
        subject_kind="member", subject_id=member.id,
    )  # fmt: skip
    session.commit()
