"""A POST that is repeated with the same ``Idempotency-Key`` is done once and answered twice.

1. ``claim`` writes the key before anything is done; who writes it first does the work.
2. ``keep`` stores the answer, or ``release`` gives the key back when nothing was done.
3. A repeat gets the stored answer; one that comes while the first still works waits for it.

A process that died between 1 and 2 leaves a key without an answer: after ``STALE`` it may be claimed again,
with the same ``since``, so that a use case that builds its own keys from it still does its work only once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, update

from service.models import IdempotencyKey
from service.seals import hashed

KEPT = timedelta(hours=24)
STALE = timedelta(seconds=30)
LONGEST_KEY = 255


class KeyReused(Exception):
    """The key was used for another request within 24 h."""


class StillWorking(Exception):
    """The first request with this key has no answer yet."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that was given the first time."""

    status_code: int
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of a key. ``since`` is when the key was first claimed."""

    token_id: str
    key: str
    since: datetime


def claim(session: Session, *, now: datetime, token_id: str, key: str, request_hash: str) -> Claim | Stored:
    """Take a key, or get the answer it already has. Commits. Raises KeyReused, StillWorking."""
    request_hash = hashed(session, "request", request_hash)  # a plain one could be guessed at
    session.exec(
        delete(IdempotencyKey).where(
            col(IdempotencyKey.token_id) == token_id,
            col(IdempotencyKey.key) == key,
            col(IdempotencyKey.created_at) <= now - KEPT,
        )
    )
    row = session.get(IdempotencyKey, (token_id, key))
    if row is None:
        row = IdempotencyKey(token_id=token_id, key=key, request_hash=request_hash, created_at=now)
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError as error:
            session.rollback()
            raise StillWorking from error
        session.commit()
        return Claim(token_id, key, now)
    session.commit()
    if row.request_hash != request_hash:
        raise KeyReused
    if row.status_code is not None:
        return Stored(row.status_code, row.body or "")
    if row.created_at + STALE > now:
        raise StillWorking
    return Claim(token_id, key, row.created_at)


def keep(session: Session, claim: Claim, *, status_code: int, body: str) -> None:
    """Store the answer of a claim and commit. An answer that is already there stays."""
    session.exec(
        update(IdempotencyKey)
        .where(
            col(IdempotencyKey.token_id) == claim.token_id,
            col(IdempotencyKey.key) == claim.key,
            col(IdempotencyKey.status_code).is_(None),
        )
        .values(status_code=status_code, body=body)
    )
    session.commit()


def release(session: Session, claim: Claim) -> None:
    """Nothing was done: the key is free again. Commits."""
    session.exec(
        delete(IdempotencyKey).where(
            col(IdempotencyKey.token_id) == claim.token_id,
            col(IdempotencyKey.key) == claim.key,
            col(IdempotencyKey.status_code).is_(None),
        )
    )
    session.commit()


def forget_old(session: Session, now: datetime) -> int:
    """Delete keys older than 24 h, and commit; returns how many."""
    gone = session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) <= now - KEPT))
    session.commit()
    assert isinstance(gone, CursorResult)
    return gone.rowcount
