"""Signed-in browsers: a random token in a cookie, only its SHA-256 stored.

Fifteen minutes without a look or an act lock a session; after twelve hours it ends whatever happens.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Literal

from sqlmodel import Session, col, delete, or_, select, update

from service import audit
from service.models import Member, MemberSession

IDLE = timedelta(minutes=15)
ABSOLUTE = timedelta(hours=12)
SEEN_EVERY = timedelta(seconds=30)  # a look is written down at most this often: reading must stay cheap


@dataclass(frozen=True)
class Visit:
    """One request of a signed-in browser. ``state`` ``idle``: locked, only counts may be shown.

    ``browser`` names the session on pages and in forms; it opens nothing. ``way``: how they signed in.
    """

    member: Member
    csrf_token: str
    browser: str
    way: str
    totp_offered: str | None
    state: Literal["active", "idle"]
    seen_at: datetime
    locks_at: datetime
    ends_at: datetime


def start_session(
    session: Session,
    member: Member,
    now: datetime,
    address: str | None,
    agent: str | None,
    way: str = "password",
) -> str:
    """A new session in the caller's transaction; returns the token for the cookie."""
    token = token_urlsafe(32)
    session.exec(
        delete(MemberSession).where(
            or_(MemberSession.expires_at < now, MemberSession.seen_at < now - ABSOLUTE)
        )
    )
    session.add(
        MemberSession(
            token_hash=_token_hash(token), member_id=member.id, csrf_token=token_urlsafe(32), created_at=now,
            seen_at=now, expires_at=now + ABSOLUTE, address=address, agent=(agent or "")[:200],
            way=way,
        )
    )  # fmt: skip
    audit.record(
        session, now=now, actor=member.email, action="sign in", subject_kind="member", subject_id=member.id,
        address=address, detail={"way": way} if way != "password" else None,
    )  # fmt: skip
    return token


def _token_hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def browser_name(row: MemberSession) -> str:
    """What a session is called on pages and in forms: it tells nothing about the token and opens nothing."""
    return sha256(f"browser {row.token_hash}".encode()).hexdigest()[:32]


def visit(session: Session, token: str, now: datetime) -> Visit | None:
    """Whose browser this is; None when nobody's. Only looks: ``note_activity`` keeps a session awake."""
    found = session.exec(
        select(MemberSession, Member)
        .join(Member, Member.id == MemberSession.member_id)
        .where(MemberSession.token_hash == _token_hash(token))
    ).first()
    if found is None:
        return None
    row, member = found
    if member.disabled_at is not None or row.expires_at <= now:
        return None
    state: Literal["active", "idle"] = "idle" if row.seen_at + IDLE <= now else "active"
    return Visit(
        member, row.csrf_token, browser_name(row), row.way, row.totp_offered, state, row.seen_at,
        row.seen_at + IDLE, row.expires_at,
    )  # fmt: skip


def note_activity(session: Session, token: str, now: datetime) -> None:
    """A person looked or acted: the idle time starts again. Commits. An idle session is never woken."""
    session.exec(
        update(MemberSession)
        .where(MemberSession.token_hash == _token_hash(token), MemberSession.seen_at > now - IDLE)
        .values(seen_at=now)
    )
    session.commit()


def session_member(session: Session, token: str, now: datetime) -> Member | None:
    """The signed-in member of an active session, or None."""
    found = visit(session, token, now)
    return found.member if found is not None and found.state == "active" else None


def sessions_of(session: Session, member_id: str, now: datetime) -> list[MemberSession]:
    """Where a member is signed in, the latest first."""
    rows = session.exec(
        select(MemberSession)
        .where(MemberSession.member_id == member_id, MemberSession.expires_at > now)
        .order_by(col(MemberSession.seen_at).desc())
    )
    return list(rows)


def end_sessions(session: Session, member_id: str, keep: str = "") -> int:
    """End a member's sessions but the browser named ``keep``, in the caller's transaction; how many."""
    rows = session.exec(select(MemberSession).where(MemberSession.member_id == member_id)).all()
    ended = [row for row in rows if browser_name(row) != keep]
    for row in ended:
        session.delete(row)
    return len(ended)


def end_other_sessions(session: Session, member_id: str, keep: str, *, now: datetime, actor: str) -> None:
    """Sign a member out everywhere but in the browser named ``keep``; commit."""
    end_sessions(session, member_id, keep)
    audit.record(
        session, now=now, actor=actor, action="end other sessions" if keep else "end sessions",
        subject_kind="member", subject_id=member_id,
    )  # fmt: skip
    session.commit()


def end_browser(session: Session, member_id: str, browser: str, *, now: datetime, actor: str) -> bool:
    """Sign a member out in one browser and commit; False where they have no such session."""
    rows = session.exec(select(MemberSession).where(MemberSession.member_id == member_id)).all()
    found = next((row for row in rows if browser_name(row) == browser), None)
    if found is None:
        return False
    session.delete(found)
    audit.record(
        session, now=now, actor=actor, action="end session", subject_kind="member", subject_id=member_id
    )
    session.commit()
    return True


def offer_factor(
    session: Session, member_id: str, browser: str, sealed: str | None, now: datetime, commit: bool = True
) -> None:
    """Keep (or forget) the sealed secret that this browser is setting up."""
    rows = session.exec(select(MemberSession).where(MemberSession.member_id == member_id))
    for row in rows.all():
        if browser_name(row) == browser:
            row.totp_offered = sealed
            session.add(row)
    if commit:
        session.commit()


def sign_out(session: Session, token: str, *, now: datetime, actor: str) -> None:
    """End one browser's session and commit; nothing happens when it has ended already."""
    row = session.get(MemberSession, _token_hash(token))
    if row is not None:
        audit.record(
            session, now=now, actor=actor, action="sign out", subject_kind="member", subject_id=row.member_id
        )
        session.delete(row)
        session.commit()
