"""The second factor: codes of an authenticator app (TOTP, RFC 6238: SHA-1, six digits, 30 seconds).

The secret is stored sealed. A code is good one step before and after its time and never twice: the step of
the last code that was used is kept and only a later one is taken.
"""

import hmac
import logging
import re
from datetime import datetime

import pyotp
from sqlmodel import Session, col, delete, or_, update

from service import audit
from service.account_secrets import SealBroken, open_seal, seal
from service.member_links import end_links
from service.models import Member, MemberSession, RecoveryCode
from service.recovery_codes import new_codes
from service.sessions import end_sessions, offer_factor

STEP_SECONDS = 30
WINDOW = (-1, 0, 1)
PURPOSE = "second factor"

log = logging.getLogger("aftercare.accounts")


def is_required(require_totp: str, member: Member) -> bool:
    """Whether AFTERCARE_REQUIRE_TOTP (``none``, ``admins``, ``all``) wants a second factor of this member."""
    return require_totp == "all" or (require_totp == "admins" and member.role == "admin")


def must_set_up(require_totp: str, member: Member, way: str) -> bool:
    """Whether the member must set one up before anything else; who came by single sign-on proved it there."""
    return way == "password" and member.totp_secret is None and is_required(require_totp, member)


def offer(session: Session, secret_key: str, member: Member, browser: str, now: datetime) -> str:
    """A new secret for this browser to confirm; commits. Nothing changes until a code of it was typed."""
    secret = pyotp.random_base32()
    offer_factor(session, member.id, browser, seal(secret_key, PURPOSE, member.id, secret), now)
    return secret


def offered(secret_key: str, member: Member, sealed: str | None) -> str | None:
    """The secret this browser is setting up, or None."""
    if sealed is None:
        return None
    try:
        return open_seal(secret_key, PURPOSE, member.id, sealed)
    except SealBroken:
        return None


def address_for(secret: str, member: Member, issuer: str) -> str:
    """What the QR code says: authenticator apps read it."""
    return pyotp.TOTP(secret).provisioning_uri(name=member.email, issuer_name=issuer)


def confirm(
    session: Session, secret_key: str, member: Member, *, secret: str, code: str, browser: str, now: datetime
) -> list[str] | None:
    """Turn the second factor on when the code is one of the new secret; commits, returns the recovery codes.

    None: the code was wrong. Other browsers of the member are signed out: they came in with less.
    """
    step = _step_of(secret, code, now)
    if step is None:
        return None
    session.exec(
        update(Member).where(col(Member.id) == member.id)
        .values(totp_secret=seal(secret_key, PURPOSE, member.id, secret), totp_counter=step)
    )  # fmt: skip
    codes = new_codes(session, secret_key, member.id, now)
    end_sessions(session, member.id, keep=browser)
    offer_factor(session, member.id, browser, None, now, commit=False)
    audit.record(
        session, now=now, actor=member.email, action="set up second factor", subject_kind="member",
        subject_id=member.id,
    )  # fmt: skip
    session.commit()
    return codes


def use_code(session: Session, secret_key: str, member: Member, code: str, now: datetime) -> bool:
    """Whether this is an unused code of the member's app; uses it up in the caller's transaction."""
    if member.totp_secret is None:
        return False
    try:
        secret = open_seal(secret_key, PURPOSE, member.id, member.totp_secret)
    except SealBroken:
        log.error(
            "the second factor of member %s cannot be read: was AFTERCARE_SECRET_KEY changed? "
            "An admin can reset it", member.id,
        )  # fmt: skip
        return False
    step = _step_of(secret, code, now)
    if step is None:
        return False
    unused = or_(col(Member.totp_counter).is_(None), col(Member.totp_counter) < step)
    taken = session.exec(update(Member).where(col(Member.id) == member.id, unused).values(totp_counter=step))
    return bool(taken.rowcount == 1)


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step whose code this is, within one before and after; the latest where two are alike."""
    digits = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    totp, here = pyotp.TOTP(secret), int(now.timestamp()) // STEP_SECONDS
    right = [step for step in WINDOW if hmac.compare_digest(totp.generate_otp(here + step), digits)]
    return here + max(right) if right else None


def turn_off(session: Session, member: Member, *, now: datetime, actor: str, keep: str = "") -> None:
    """Take a member's second factor and recovery codes away and end their sessions but ``keep``; commits."""
    session.exec(
        update(Member).where(col(Member.id) == member.id).values(totp_secret=None, totp_counter=None)
    )
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.member_id) == member.id))
    end_sessions(session, member.id, keep=keep)
    session.exec(
        update(MemberSession).where(col(MemberSession.member_id) == member.id).values(totp_offered=None)
    )
    end_links(session, member.id, now)
    audit.record(
        session, now=now, actor=actor,
        action="turn off second factor" if actor == member.email else "reset second factor",
        subject_kind="member", subject_id=member.id,
    )  # fmt: skip
    session.commit()
