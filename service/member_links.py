"""One-time links: a random token, shown once; only its hash is stored. Each works once and for a while."""

from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from sqlmodel import Session, col, or_, select, update

from service import audit
from service.models import Member, MemberLink

LINK_LASTS = timedelta(days=3)
LONGEST_TOKEN = 100
FOR_PASSWORDS = ("invitation", "password")


def make_link(
    session: Session, *, now: datetime, kind: str, member_id: str | None, actor: str, lasts: timedelta
) -> str:
    """Add a link to the caller's transaction; returns its token, once."""
    token = token_urlsafe(32)
    session.add(
        MemberLink(
            kind=kind, token_hash=hash_token(token), member_id=member_id, created_at=now, created_by=actor,
            expires_at=now + lasts,
        )
    )  # fmt: skip
    return token


def hash_token(token: str) -> str:
    # A random token of 256 bits needs no slow hash: it cannot be guessed from its digest.
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def password_link(session: Session, member: Member, *, now: datetime, actor: str) -> str:
    """The path where a member chooses a password; commits. Works once, for three days.

    For somebody without a password it is their invitation. A newer link ends the older ones.
    """
    end_links(session, member.id, now)
    kind = "password" if member.password_hash else "invitation"
    token = make_link(session, now=now, kind=kind, member_id=member.id, actor=actor, lasts=LINK_LASTS)
    audit.record(
        session, now=now, actor=actor, action=f"make {kind} link", subject_kind="member", subject_id=member.id
    )
    session.commit()
    return f"/sign-in/new/{token}"


def member_of_link(session: Session, token: str, now: datetime) -> Member | None:
    """Whose password link this is; None for a made-up, used, revoked or old one. Uses nothing up."""
    found = find_link(session, token, now, *FOR_PASSWORDS)
    member = session.get(Member, found.member_id) if found is not None else None
    return member if member is not None and member.disabled_at is None else None


def find_link(session: Session, token: str, now: datetime, *kinds: str) -> MemberLink | None:
    """The link of a token that could be used now."""
    if not token or len(token) > LONGEST_TOKEN:
        return None
    return session.exec(
        select(MemberLink).where(MemberLink.token_hash == hash_token(token), *_is_alive(now))
        .where(col(MemberLink.kind).in_(kinds))
    ).first()  # fmt: skip


def _is_alive(now: datetime) -> tuple[Any, ...]:
    return (
        col(MemberLink.used_at).is_(None),
        col(MemberLink.revoked_at).is_(None),
        MemberLink.expires_at > now,
    )


def use_link(session: Session, token: str, now: datetime, *kinds: str) -> MemberLink | None:
    """Use a link up in the caller's transaction; of several at once only one gets it, the others None."""
    found = find_link(session, token, now, *kinds)
    if found is None:
        return None
    taken = session.exec(
        update(MemberLink).where(col(MemberLink.id) == found.id, *_is_alive(now)).values(used_at=now)
    )
    return found if taken.rowcount == 1 else None


def end_links(session: Session, member_id: str, now: datetime) -> None:
    """End every open link of a member, in the caller's transaction."""
    session.exec(
        update(MemberLink)
        .where(col(MemberLink.member_id) == member_id, *_is_alive(now))
        .values(revoked_at=now)
    )


def pending_links(
    session: Session, now: datetime, member_id: str | None = None
) -> list[tuple[MemberLink, Member]]:
    """Password links that were handed out and not used yet, the oldest first."""
    query = (
        select(MemberLink, Member).join(Member, col(Member.id) == MemberLink.member_id)
        .where(col(MemberLink.kind).in_(FOR_PASSWORDS), *_is_alive(now))
        .order_by(col(MemberLink.created_at), col(MemberLink.id))
    )  # fmt: skip
    if member_id is not None:
        query = query.where(MemberLink.member_id == member_id)
    return list(session.exec(query))


def revoke_link(session: Session, link_id: str, *, now: datetime, actor: str) -> bool:
    """End one link and commit; again is no fault. False where there is no such link."""
    link = session.get(MemberLink, link_id)
    if link is None or link.kind not in FOR_PASSWORDS:
        return False
    ended = session.exec(
        update(MemberLink).where(col(MemberLink.id) == link_id, *_is_alive(now)).values(revoked_at=now)
    )
    if ended.rowcount:
        audit.record(
            session, now=now, actor=actor, action=f"revoke {link.kind} link", subject_kind="member",
            subject_id=link.member_id,
        )  # fmt: skip
    session.commit()
    return True


def forget_old(session: Session, now: datetime, *kinds: str) -> None:
    """Remove rows that no longer open anything, in the caller's transaction."""
    old = or_(MemberLink.expires_at < now, col(MemberLink.used_at).is_not(None))
    for link in session.exec(select(MemberLink).where(col(MemberLink.kind).in_(kinds), old)):
        session.delete(link)
