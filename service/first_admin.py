"""The very first member: a one-time link, printed once to the terminal, that makes the admin.

However many processes start at once, one prints it: the row has a fixed id, so the database lets one in.
"""

from datetime import datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from service import audit
from service.accounts import AccountError, add_member
from service.db import session_on
from service.member_links import find_link, hash_token, use_link
from service.models import Member, MemberLink
from service.runtime import Runtime
from service.settings import is_loopback

FIRST = "first-admin"
LASTS = timedelta(hours=24)


def offer(session: Session, now: datetime) -> str | None:
    """The path of a new link where there is no member at all and no link waits; else None. Commits.

    None also for those who came second; a link that nobody used in time is replaced at the next start.
    """
    if _has_members(session):
        return None
    token = token_urlsafe(32)
    given = {"token_hash": hash_token(token), "created_at": now, "expires_at": now + LASTS}
    if session.get(MemberLink, FIRST) is None:
        session.add(MemberLink(id=FIRST, kind="first_admin", created_by=audit.SYSTEM, **given))
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
            return None
        return _path(token)
    again = session.exec(
        update(MemberLink).where(col(MemberLink.id) == FIRST, MemberLink.expires_at <= now)
        .values(**given, used_at=None)
    )  # fmt: skip
    session.commit()
    return _path(token) if again.rowcount == 1 else None


def waits(session: Session, now: datetime) -> bool:
    """Whether a link was printed that nobody has used yet: there is no member, and nobody can sign in."""
    link = session.get(MemberLink, FIRST)
    return link is not None and link.expires_at > now and not _has_members(session)


def is_open(session: Session, token: str, now: datetime) -> bool:
    """Whether the token makes the first admin now. Uses nothing up."""
    return not _has_members(session) and find_link(session, token, now, "first_admin") is not None


def claim(
    session: Session, token: str, *, now: datetime, email: str, name: str, password: str
) -> Member | None:
    """Make the admin and commit; None when the link opens nothing (any more). Raises AccountError, and then
    the link still works."""
    if _has_members(session) or use_link(session, token, now, "first_admin") is None:
        return None
    try:
        return add_member(
            session, now=now, email=email, name=name, role="admin", password=password, actor=audit.SYSTEM
        )
    except AccountError:
        session.rollback()
        raise


def first_words(runtime: Runtime, host: str, port: int) -> str:
    """What the terminal is told at a start: the link, once; that one waits; nothing where there are members.

    On this machine the link names the port that is listened on; elsewhere the public address.
    """
    public = runtime.settings.public_url
    address = f"http://{host}:{port}" if is_loopback(public) and is_loopback(f"http://{host}") else public
    with session_on(runtime.engine) as session:
        now = runtime.clock()
        path = offer(session, now)
        link = None if path else session.get(MemberLink, FIRST)
        is_waiting = link is not None and waits(session, now)
    if path:
        return (
            "\n  Nobody can sign in yet. Make the first account (an admin) here, once, within 24 hours:\n\n"
            f"  {address}{path}\n\n"
            "  It is not shown again. If it is lost: aftercare member add EMAIL --name NAME --role admin\n"
        )
    if is_waiting and link is not None:
        return (
            "\n  Nobody can sign in yet. The link for the first account was printed at "
            f"{link.created_at:%Y-%m-%d %H:%M} UTC and works\n  until {link.expires_at:%Y-%m-%d %H:%M} UTC. "
            "If it is lost: aftercare member add EMAIL --name NAME --role admin\n"
        )
    return ""


def _has_members(session: Session) -> bool:
    return session.exec(select(Member.id).limit(1)).first() is not None


def _path(token: str) -> str:
    return f"/sign-in/first/{token}"
