"""How often somebody may guess: failed tries are counted by address, by e-mail, by both together, and for
codes by member, in the database, whatever process they came to. Passwords and codes share the counts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock

from sqlmodel import Session, delete, func, select

from service.models import SignInAttempt

TRY_WINDOW = timedelta(minutes=15)
KEPT = timedelta(days=1)
# Failed tries within TRY_WINDOW: for one e-mail from one address, for one e-mail, from one address.
TRIES = {"pair": 5, "email": 30, "address": 60, "code": 10}
# Whoever knows the password could try codes for weeks: a day has far fewer tries than a code has values.
CODES_A_DAY = 40
# Tries for one e-mail are looked at one after the other, or many at once would all be within the count.
_TURNS = tuple(Lock() for _ in range(64))


@contextmanager
def in_turn(email: str) -> Iterator[None]:
    """One try at a time for this e-mail in this process."""
    with _TURNS[sha256(email.encode("utf-8", "surrogatepass")).digest()[0] % len(_TURNS)]:
        yield


def subjects(email: str, address: str | None, member_id: str | None = None) -> dict[str, str]:
    """What a try is counted under, hashed: nobody reads from the table who tried to come in."""
    words = {"pair": f"pair {email} {address}", "email": f"email {email}", "address": f"address {address}"}
    if member_id is not None:
        words["code"] = f"code {member_id}"
    return {kind: sha256(word.encode("utf-8", "surrogatepass")).hexdigest() for kind, word in words.items()}


def too_many(session: Session, tried: Mapping[str, str], now: datetime) -> bool:
    """Whether this try must be refused, however right it is."""
    if any(_failed(session, tried[kind], now - TRY_WINDOW) >= TRIES[kind] for kind in tried):
        return True
    return "code" in tried and _failed(session, tried["code"], now - KEPT) >= CODES_A_DAY


def _failed(session: Session, subject: str, since: datetime) -> int:
    counted = (
        select(func.count()).select_from(SignInAttempt)
        .where(SignInAttempt.subject == subject, SignInAttempt.at > since)
        .where(SignInAttempt.good == False)  # noqa: E712
    )  # fmt: skip
    return session.exec(counted).one()


def note(session: Session, tried: Mapping[str, str], now: datetime, *, good: bool) -> None:
    """Count a try, in the caller's transaction; what is older than a day is forgotten with each good one."""
    for subject in tried.values():
        session.add(SignInAttempt(subject=subject, at=now, good=good))
    if good:
        session.exec(delete(SignInAttempt).where(SignInAttempt.at < now - KEPT))
