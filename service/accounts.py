"""Members of the care team: who they are, how they sign in, what each role may do.

Sign-in tells nothing about who exists. What becomes of a signed-in browser is in ``service.sessions`` and
offered here too, under one name.
"""

import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlmodel import Session, delete, func, select

from service import audit
from service.models import ROLES, Member, MemberSession, OnCallShift, SignInAttempt
from service.sessions import (
    ABSOLUTE,
    IDLE,
    SEEN_EVERY,
    Visit,
    end_other_sessions,
    note_activity,
    session_member,
    sessions_of,
    sign_out,
    start_session,
    visit,
)

__all__ = [
    "ABSOLUTE",
    "IDLE",
    "SEEN_EVERY",
    "AccountError",
    "SignInRefused",
    "Visit",
    "add_member",
    "disable",
    "end_other_sessions",
    "may_act",
    "member_of_link",
    "note_activity",
    "password_link",
    "session_member",
    "sessions_of",
    "set_password",
    "sign_in",
    "sign_out",
    "visit",
]

LINK_LASTS = timedelta(days=3)
TRY_WINDOW = timedelta(minutes=15)
SHORTEST_PASSWORD = 12
# Failed tries within TRY_WINDOW: for one e-mail from one address, for one e-mail, from one address.
TRIES = {"pair": 5, "email": 30, "address": 60}
ACTING_ROLES = ("nurse", "clinician", "admin")

hasher = PasswordHasher()
# Verified when nobody has the e-mail that was typed, so that both answers take the same time.
_NOBODY = hasher.hash("nobody has this password")


class AccountError(ValueError):
    """Something about a member that cannot be; ``field`` names the form field it belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class SignInRefused(Exception):
    """Wrong e-mail, wrong password, disabled, or too many tries: one and the same answer for all of them."""


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
    actor: str = audit.SYSTEM,
) -> Member:
    """Create a member and commit. ``phone`` is E.164; ``on_call`` 1: holds that tier around the clock.

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
        member.password_hash = _hash(password, email)
    session.add(member)
    session.flush()
    if on_call is not None:
        session.add(
            OnCallShift(member_id=member.id, tier=on_call, starts_at=now, created_by=actor, created_at=now)
        )
    audit.record(
        session, now=now, actor=actor, action="add member", subject_kind="member", subject_id=member.id,
        detail={"role": role},
    )  # fmt: skip
    session.commit()
    return member


def _hash(password: str, email: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise AccountError("password", f"Choose a password of at least {SHORTEST_PASSWORD} characters.")
    if len(password) > 512:
        raise AccountError("password", "That password is too long: 512 characters at most.")
    if len(set(password)) < 5 or password.lower() in (email, email.split("@")[0]):
        raise AccountError("password", "That password is too easy to guess.")
    return hasher.hash(password)


def set_password(session: Session, member: Member, password: str, *, now: datetime, actor: str) -> None:
    """Give a member a new password, end every session they have, commit. Raises AccountError."""
    member.password_hash = _hash(password, member.email)
    session.add(member)
    session.exec(delete(MemberSession).where(MemberSession.member_id == member.id))
    audit.record(
        session, now=now, actor=actor, action="set password", subject_kind="member", subject_id=member.id
    )
    session.commit()


def disable(session: Session, member: Member, *, now: datetime, actor: str, disabled: bool = True) -> None:
    """Shut a member out at once (or let them in again), commit. Their name stays on what they did."""
    member.disabled_at = now if disabled else None
    session.add(member)
    session.exec(delete(MemberSession).where(MemberSession.member_id == member.id))
    audit.record(
        session, now=now, actor=actor, action="disable member" if disabled else "enable member",
        subject_kind="member", subject_id=member.id,
    )  # fmt: skip
    session.commit()


def password_link(secret_key: str, member: Member, now: datetime) -> str:
    """A path where the member chooses a password. Works for three days and until the password changes."""
    until = int((now + LINK_LASTS).timestamp())
    return f"/sign-in/new/{member.id}.{until}.{_link_seal(secret_key, member, until)}"


def member_of_link(session: Session, secret_key: str, token: str, now: datetime) -> Member | None:
    """Whose password link this is; None for a forged, used or old one."""
    found = re.fullmatch(r"([0-9a-f]{32})\.(\d{1,12})\.([0-9a-f]{64})", token)
    if not found or int(found[2]) < now.timestamp():
        return None
    member = session.get(Member, found[1])
    if member is None or member.disabled_at is not None:
        return None
    return member if hmac.compare_digest(_link_seal(secret_key, member, int(found[2])), found[3]) else None


def _link_seal(secret_key: str, member: Member, until: int) -> str:
    sealed = f"password link {member.id} {until} {member.password_hash or ''}"
    return hmac.new(secret_key.encode(), sealed.encode(), sha256).hexdigest()


def sign_in(
    session: Session,
    *,
    now: datetime,
    email: str,
    password: str,
    address: str | None,
    agent: str | None = None,
) -> str:
    """Check e-mail and password, start a session, commit; returns the token for the cookie.

    Raises SignInRefused. Every try costs the same time, whether or not anyone has that e-mail.
    """
    email = email.strip().lower()[:254]
    subjects = _subjects(email, address)
    refused = _too_many_tries(session, subjects, now)
    member = session.exec(select(Member).where(Member.email == email)).first()
    stored = member.password_hash if member is not None and member.disabled_at is None else None
    session.commit()  # checking takes a tenth of a second: hold no lock meanwhile
    right = _verify(stored, password[:512])
    good = stored is not None and right and not refused
    for subject in subjects.values():
        session.add(SignInAttempt(subject=subject, at=now, good=good))
    if not good or member is None:
        audit.record(session, now=now, actor="unknown", action="refuse sign-in", address=address)
        session.commit()
        raise SignInRefused
    if hasher.check_needs_rehash(member.password_hash or ""):
        member.password_hash = hasher.hash(password)
        session.add(member)
    session.exec(delete(SignInAttempt).where(SignInAttempt.at < now - timedelta(days=1)))
    token = start_session(session, member, now, address, agent)
    session.commit()
    return token


def _subjects(email: str, address: str | None) -> dict[str, str]:
    words = {"pair": f"pair {email} {address}", "email": f"email {email}", "address": f"address {address}"}
    return {kind: sha256(word.encode()).hexdigest() for kind, word in words.items()}


def _too_many_tries(session: Session, subjects: dict[str, str], now: datetime) -> bool:
    for kind, subject in subjects.items():
        failed = session.exec(
            select(func.count()).select_from(SignInAttempt)
            .where(SignInAttempt.subject == subject, SignInAttempt.at > now - TRY_WINDOW)
            .where(SignInAttempt.good == False)  # noqa: E712
        ).one()  # fmt: skip
        if failed >= TRIES[kind]:
            return True
    return False


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        return hasher.verify(password_hash or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
