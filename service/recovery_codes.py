"""Ten codes on paper for whoever lost their authenticator app; each opens the door once."""

from datetime import datetime
from secrets import choice

from sqlmodel import Session, col, delete, func, select, update

from service import audit
from service.account_secrets import keyed_hash
from service.models import Member, RecoveryCode

HOW_MANY = 10
FEW = 3
SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that look alike on paper; ten of them are 49 bits
LENGTH = 10
PURPOSE = "recovery codes"


def new_codes(session: Session, secret_key: str, member_id: str, now: datetime) -> list[str]:
    """Ten new codes in the caller's transaction, to be shown once; the old ones open nothing any more."""
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.member_id) == member_id))
    codes: set[str] = set()
    while len(codes) < HOW_MANY:
        codes.add("".join(choice(SIGNS) for _ in range(LENGTH)))
    for code in codes:
        hashed = keyed_hash(secret_key, PURPOSE, member_id, code)
        session.add(RecoveryCode(member_id=member_id, code_hash=hashed, created_at=now))
    half = LENGTH // 2
    return sorted(f"{code[:half]}-{code[half:]}" for code in codes)


def renew(session: Session, secret_key: str, member: Member, *, now: datetime) -> list[str]:
    """Ten new codes instead of the old ones; commits."""
    codes = new_codes(session, secret_key, member.id, now)
    audit.record(
        session, now=now, actor=member.email, action="make recovery codes", subject_kind="member",
        subject_id=member.id,
    )  # fmt: skip
    session.commit()
    return codes


def use_recovery_code(session: Session, secret_key: str, member_id: str, typed: str, now: datetime) -> bool:
    """Whether this is an unused code of the member; uses it up in the caller's transaction."""
    code = "".join(sign for sign in typed.lower() if sign.isascii() and sign.isalnum())
    if len(code) != LENGTH:
        return False
    taken = session.exec(
        update(RecoveryCode).where(
            col(RecoveryCode.member_id) == member_id,
            col(RecoveryCode.code_hash) == keyed_hash(secret_key, PURPOSE, member_id, code),
            col(RecoveryCode.used_at).is_(None),
        ).values(used_at=now)
    )  # fmt: skip
    return bool(taken.rowcount == 1)


def codes_left(session: Session, member_id: str) -> int:
    """How many unused codes a member has."""
    unused = select(func.count()).select_from(RecoveryCode).where(
        col(RecoveryCode.member_id) == member_id, col(RecoveryCode.used_at).is_(None)
    )  # fmt: skip
    return session.exec(unused).one()
