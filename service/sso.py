"""Signing in through an identity provider: OpenID Connect, authorization code with PKCE, state and nonce.

1. ``begin``: the browser is sent to the provider; what we expect back lies sealed in a cookie of its own.
2. ``claims_of``: it came back with a code; the code is exchanged server to server, and the ID token must be
   signed by a key of the provider, for us, in time, with our nonce.
3. ``enter``: a verified e-mail and a role claim open the door; the role follows the claim every time.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, NoReturn

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from service import accounts, audit
from service.account_secrets import SealBroken, open_seal, seal
from service.member_links import hash_token
from service.models import Member, MemberLink
from service.sessions import start_session
from service.sso_provider import Provider, ProviderError
from service.sso_settings import SsoSettings, role_for

ATTEMPT_LASTS = timedelta(minutes=10)
PURPOSE = "single sign-on"
ACTOR = "single sign-on"

log = logging.getLogger("aftercare.accounts")


class SsoFailed(Exception):
    """It did not work out (old, replayed, forged, provider away): trying again may help."""


class SsoRefused(Exception):
    """The provider knows them, but they may not come in here."""


@dataclass(frozen=True)
class Attempt:
    """What must come back. ``until`` in seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    target: str
    until: int


def begin(provider: Provider, secret_key: str, target: str, now: datetime) -> tuple[str, str]:
    """The provider's address to go to, and the sealed cookie to come back with. Raises SsoFailed."""
    until = int((now + ATTEMPT_LASTS).timestamp())
    attempt = Attempt(token_urlsafe(32), token_urlsafe(32), token_urlsafe(48), target, until)
    try:
        address = provider.address(attempt.state, attempt.nonce, attempt.verifier)
    except ProviderError as error:
        log.warning("single sign-on: %s", error)
        raise SsoFailed from error
    return address, seal(secret_key, PURPOSE, "attempt", json.dumps(asdict(attempt)))


def came_back(
    session: Session, secret_key: str, cookie: str, answer: Mapping[str, str], issuer: str, now: datetime
) -> Attempt:
    """The attempt this answer belongs to, used up and committed. Raises SsoFailed for what is not ours, too
    old or was here before: a state is good for one answer in one browser."""
    try:
        attempt = Attempt(**json.loads(open_seal(secret_key, PURPOSE, "attempt", cookie)))
    except (SealBroken, ValueError, TypeError) as error:
        raise SsoFailed from error
    given = answer.get("state", "").encode("utf-8", "surrogatepass")
    is_ours = compare_digest(given, attempt.state.encode()) and attempt.until > now.timestamp()
    if not is_ours or answer.get("iss", issuer) != issuer:
        raise SsoFailed
    session.exec(delete(MemberLink).where(col(MemberLink.kind) == "sso", col(MemberLink.expires_at) < now))
    session.add(
        MemberLink(
            kind="sso", token_hash=hash_token(attempt.state), created_at=now, created_by=ACTOR, used_at=now,
            expires_at=datetime.fromtimestamp(attempt.until, UTC) + timedelta(minutes=1),
        )
    )  # fmt: skip
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise SsoFailed from error
    return attempt


def claims_of(provider: Provider, attempt: Attempt, code: str, now: datetime) -> dict[str, Any]:
    """Who the provider says they are. No database session is open meanwhile. Raises SsoFailed."""
    try:
        return provider.claims(code, attempt.verifier, attempt.nonce, now)
    except ProviderError as error:
        log.warning("single sign-on: %s", error)
        raise SsoFailed from error


def enter(
    session: Session,
    sso: SsoSettings,
    claims: Mapping[str, Any],
    *,
    now: datetime,
    address: str | None,
    agent: str | None,
) -> str:
    """Start the session of whoever the claims name, and commit; returns the token for the cookie.

    Known by the provider's own subject, at first by verified e-mail; unknown people are added. Raises
    SsoRefused where the e-mail is not verified, no claim value has a role, or the member is shut out.
    """
    role, email = role_for(sso, claims), claims.get("email")
    if role is None or not isinstance(email, str) or claims.get("email_verified") is not True:
        _refuse(session, now, address)
    subject = f"{sso.issuer} {claims['sub']}"
    member = session.exec(select(Member).where(Member.sso_subject == subject)).first()
    try:
        if member is None:
            member = _first_time(session, email, str(claims.get("name") or email), role, subject, now)
        if member is None or member.disabled_at is not None:
            _refuse(session, now, address)
        if member.role != role:
            audit.record(
                session, now=now, actor=ACTOR, action="change role", subject_kind="member",
                subject_id=member.id, detail={"from": member.role, "to": role},
            )  # fmt: skip
            member.role = role
            session.add(member)
        token = start_session(session, member, now, address, agent, way="sso")
        session.commit()
    except (IntegrityError, accounts.AccountError) as error:  # two first times at once, or no usable e-mail
        session.rollback()
        raise SsoRefused from error
    return token


def _first_time(
    session: Session, email: str, name: str, role: str, subject: str, now: datetime
) -> Member | None:
    """The member with this e-mail, or a new one, tied to the subject; None when tied to another subject."""
    member = session.exec(select(Member).where(Member.email == email.strip().lower())).first()
    if member is None:
        shown = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())[:80]
        member = accounts.add_member(session, now=now, email=email, name=shown, role=role, actor=ACTOR)
    elif member.sso_subject is not None:
        return None
    member.sso_subject = subject
    session.add(member)
    audit.record(
        session, now=now, actor=ACTOR, action="tie member", subject_kind="member", subject_id=member.id
    )
    return member


def _refuse(session: Session, now: datetime, address: str | None) -> NoReturn:
    audit.record(session, now=now, actor="unknown", action="refuse single sign-on", address=address)
    session.commit()
    raise SsoRefused
