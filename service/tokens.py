"""Keys for programs: what each may do, until when. Only a hash is kept; the token itself is shown once."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from service import audit
from service.models import ApiToken

SCOPES = (
    "enrollments:read",
    "enrollments:write",
    "patients:read",
    "patients:write",
    "escalations:read",
    "escalations:write",
    "audit",
    "metrics",
)
PREFIX = "aftercare_"  # lets scanners of repositories and logs recognise a leaked token
LONGEST_TOKEN = 200
LONGEST_NAME = 80


class TokenError(ValueError):
    """The token cannot be made; the message says why and what to write instead."""


def add_token(
    session: Session,
    *,
    now: datetime,
    name: str,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    teams: Iterable[str] | None = None,
    actor: str = audit.SYSTEM,
) -> str:
    """Make a token and commit; returns it, once. Without ``scopes`` it may do everything the API offers;
    without ``teams`` (ids) it reaches the patients of all of them.

    Its name is the actor of what it does, so it may not look like a member's e-mail. Raises TokenError.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise TokenError(f"Give the token a name of 1 to {LONGEST_NAME} characters that can be shown.")
    if "@" in name or name.casefold() == audit.SYSTEM:
        raise TokenError(
            "Name the token after the program that will use it: without @, and not aftercare, since the name "
            "stands in the audit trail beside those of people."
        )
    wanted = sorted(set(scopes)) if scopes else list(SCOPES)
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown:
        raise TokenError(f"{', '.join(unknown)}: no such scope. There are: {', '.join(SCOPES)}.")
    if expires_at is not None and expires_at <= now:
        raise TokenError("The token would have expired already; give a later time.")
    token = PREFIX + token_urlsafe(32)
    row = ApiToken(
        name=name, token_hash=_hash(token), scopes=wanted, created_at=now, expires_at=expires_at,
        teams=sorted(set(teams)) if teams is not None else None,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise TokenError(f"There is a token named {name!r} already; choose another name.") from error
    audit.record(
        session, now=now, actor=actor, action="add token", subject_kind="token", subject_id=row.id,
        detail={"name": name, "scopes": wanted, "teams": row.teams},
    )  # fmt: skip
    session.commit()
    return token


def revoke_token(session: Session, *, now: datetime, name: str, actor: str = audit.SYSTEM) -> None:
    """End a token at once and commit; again is no fault. Raises TokenError for an unknown name."""
    row = session.exec(select(ApiToken).where(ApiToken.name == name)).first()
    if row is None:
        raise TokenError(f"There is no token named {name!r}.")
    if row.revoked_at is None:
        row.revoked_at = now
        session.add(row)
        audit.record(
            session, now=now, actor=actor, action="revoke token", subject_kind="token", subject_id=row.id
        )
    session.commit()


def token_of(session: Session, presented: str, now: datetime) -> ApiToken | None:
    """The token's row, or None when it is unknown, expired or revoked."""
    if not presented or len(presented) > LONGEST_TOKEN:
        return None
    row = session.exec(select(ApiToken).where(ApiToken.token_hash == _hash(presented))).first()
    if row is None or row.revoked_at is not None:
        return None
    return None if row.expires_at is not None and row.expires_at <= now else row


def _hash(token: str) -> str:
    # A random token of 256 bits needs no slow hash: it cannot be guessed from its digest.
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
