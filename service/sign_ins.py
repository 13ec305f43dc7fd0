"""Coming in: e-mail and password, then a code where there is a second factor. One answer to every failure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, select

from service import audit, sign_in_tries
from service.member_links import find_link, forget_old, make_link, use_link
from service.models import Member
from service.passwords import hasher, is_stale, verify
from service.recovery_codes import use_recovery_code
from service.second_factor import use_code
from service.sessions import start_session

STEP_LASTS = timedelta(minutes=10)  # between password and code


class SignInRefused(Exception):
    """Wrong e-mail, password or code, shut out, or too many tries: one answer for all of them."""


@dataclass(frozen=True)
class Entry:
    """What a right password is worth: the token of a session, or of the step that waits for a code.

    ``by_recovery``: a recovery code was used, so the member should be told how many are left.
    """

    token: str
    waits_for_code: bool = False
    by_recovery: bool = False


def is_password(
    session: Session, member: Member, password: str, *, now: datetime, address: str | None
) -> bool:
    """Whether a signed-in member typed their password, counted like a sign-in; commits."""
    return _is_proved(session, member, password, None, now, address)


def is_proved(
    session: Session,
    secret_key: str,
    member: Member,
    *,
    password: str,
    code: str,
    now: datetime,
    address: str | None,
) -> bool:
    """Whether a signed-in member typed their password and an unused code; counted like a sign-in; commits.

    Asked before what a borrowed browser must not do.
    """
    return _is_proved(session, member, password, (secret_key, code), now, address)


def _is_proved(
    session: Session,
    member: Member,
    password: str,
    code: tuple[str, str] | None,
    now: datetime,
    address: str | None,
) -> bool:
    with sign_in_tries.in_turn(member.email):
        tried = sign_in_tries.subjects(member.email, address, member.id if code else None)
        refused = sign_in_tries.too_many(session, tried, now)
        session.commit()
        right = verify(member.password_hash, password) and not refused
        if right and code is not None:
            right = use_code(session, code[0], member, code[1], now) or use_recovery_code(
                session, code[0], member.id, code[1], now
            )
        if not right and not refused:
            sign_in_tries.note(session, tried, now, good=False)
            audit.record(
                session, now=now, actor=member.email, action="refuse password", address=address,
                subject_kind="member", subject_id=member.id,
            )  # fmt: skip
        session.commit()
    return right


def sign_in(
    session: Session,
    *,
    now: datetime,
    email: str,
    password: str,
    address: str | None,
    agent: str | None = None,
    only_admins: bool = False,
) -> Entry:
    """Check e-mail and password and commit: a session, or for a member with a second factor the step before.

    ``only_admins``: everybody else signs in elsewhere. Raises SignInRefused. Every try costs the same time,
    whether or not anyone has that e-mail.
    """
    email = email.strip().lower()[:254]
    tried = sign_in_tries.subjects(email, address)
    with sign_in_tries.in_turn(email):
        refused = sign_in_tries.too_many(session, tried, now)
        member = session.exec(select(Member).where(Member.email == email)).first()
        may = (
            member is not None and member.disabled_at is None and (not only_admins or member.role == "admin")
        )
        stored = member.password_hash if member is not None and may else None
        session.commit()  # checking takes a tenth of a second: hold no lock meanwhile
        good = verify(stored, password) and not refused
        if not good or member is None:
            if not refused:  # a flood must not fill the tables: beyond the count nothing is written
                sign_in_tries.note(session, tried, now, good=False)
                audit.record(session, now=now, actor="unknown", action="refuse sign-in", address=address)
            session.commit()
            raise SignInRefused
        if is_stale(stored or ""):
            member.password_hash = hasher.hash(password)
            session.add(member)
        if member.totp_secret is not None:
            forget_old(session, now, "code")
            step = make_link(
                session, now=now, kind="code", member_id=member.id, actor=member.email, lasts=STEP_LASTS
            )
            session.commit()
            return Entry(step, waits_for_code=True)
        sign_in_tries.note(session, tried, now, good=True)
        token = start_session(session, member, now, address, agent)
        session.commit()
    return Entry(token)


def enter_with_code(
    session: Session,
    secret_key: str,
    *,
    now: datetime,
    step: str,
    code: str,
    address: str | None,
    agent: str | None = None,
) -> Entry:
    """The second step: a code of the app or a recovery code; starts the session and commits.

    Raises SignInRefused; the step stays open for another try until it is too old or there were too many.
    """
    link = find_link(session, step, now, "code")
    member = session.get(Member, link.member_id) if link is not None else None
    if member is None or member.disabled_at is not None or member.totp_secret is None:
        raise SignInRefused
    session.commit()
    with sign_in_tries.in_turn(member.email):
        mine = select(Member).where(Member.id == member.id).with_for_update()
        member = session.exec(mine.execution_options(populate_existing=True)).one()
        tried = sign_in_tries.subjects(member.email, address, member.id)
        refused = sign_in_tries.too_many(session, tried, now)
        by_app = not refused and use_code(session, secret_key, member, code, now)
        by_recovery = (
            not refused and not by_app and use_recovery_code(session, secret_key, member.id, code, now)
        )
        if not (by_app or by_recovery) or use_link(session, step, now, "code") is None:
            if not refused:
                sign_in_tries.note(session, tried, now, good=False)
                audit.record(
                    session, now=now, actor="unknown", action="refuse code", address=address,
                    subject_kind="member", subject_id=member.id,
                )  # fmt: skip
            session.commit()
            raise SignInRefused
        sign_in_tries.note(session, tried, now, good=True)
        if by_recovery:
            audit.record(
                session, now=now, actor=member.email, action="use recovery code", address=address,
                subject_kind="member", subject_id=member.id,
            )  # fmt: skip
        forget_old(session, now, "code")
        token = start_session(session, member, now, address, agent)
        session.commit()
    return Entry(token, by_recovery=by_recovery)
