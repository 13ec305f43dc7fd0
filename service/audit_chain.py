"""Sealing the audit trail: each row gets a number and a digest that includes the digest before it.

A row that is changed, removed, inserted or moved later breaks the chain at its number. Who can write to the
database could recompute the whole chain; therefore the head (number and digest) is logged whenever it grows
and can be noted elsewhere: ``aftercare audit verify --expect NUMBER:DIGEST`` compares.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from service import marks
from service.instants import zulu
from service.models import AuditEvent

HEAD = "audit:head"
START = "0" * 64
BATCH = 500
SEAL_LOCK = 7214504


@dataclass(frozen=True, slots=True)
class Head:
    """The last sealed row: how many rows are sealed, and the digest over all of them."""

    number: int = 0
    seal: str = START

    def __str__(self) -> str:
        return f"{self.number}:{self.seal}"


def seal_new(session: Session, now: datetime, limit: int = BATCH) -> int:
    """Seal rows that have no seal yet, oldest first, and commit; returns how many.

    Several workers may call it: on PostgreSQL one seals while the others pass, SQLite has one writer anyway.
    Never part of another transaction: a webhook must not wait for the chain.
    """
    if session.get_bind().dialect.name == "postgresql":
        mine = session.execute(text(f"SELECT pg_try_advisory_xact_lock({SEAL_LOCK})")).scalar_one()
        if not mine:
            session.rollback()
            return 0
    rows = session.exec(
        select(AuditEvent)
        .where(col(AuditEvent.seal_number).is_(None))
        .order_by(col(AuditEvent.at), col(AuditEvent.id))
        .limit(limit)
    ).all()
    if not rows:
        session.rollback()
        return 0
    head = last_sealed(session)
    for row in rows:
        head = Head(head.number + 1, digest(head, row))
        row.seal_number, row.seal = head.number, head.seal
        session.add(row)
    marks.set_mark(session, HEAD, now, detail={"number": head.number, "seal": head.seal})
    session.commit()
    return len(rows)


def last_sealed(session: Session) -> Head:
    """The head of the chain as the rows have it."""
    row = session.exec(
        select(AuditEvent)
        .where(col(AuditEvent.seal_number).is_not(None))
        .order_by(col(AuditEvent.seal_number).desc())
        .limit(1)
    ).first()
    return Head(row.seal_number or 0, row.seal or "") if row is not None else Head()


def digest(before: Head, row: AuditEvent) -> str:
    """The seal of a row: SHA-256 over the seal before it, its number and every field, in one fixed form."""
    fields: dict[str, Any] = {
        "before": before.seal,
        "number": before.number + 1,
        "id": row.id,
        "at": zulu(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject_kind": row.subject_kind,
        "subject_id": row.subject_id,
        "address": row.address,
        "detail": row.detail,
    }
    plain = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(plain.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found. ``fault`` is empty when the chain holds."""

    head: Head
    unsealed: int
    fault: str = ""


def verify(
    session: Session, expected: Head | None = None, seen: Callable[[int], None] = lambda number: None
) -> Verdict:
    """Walk the whole chain; compare every digest, the noted head, and a head kept elsewhere (``expected``).

    1. Numbers run 1, 2, 3 without gap. 2. Each digest is that of its row and the digest before. 3. The last
    row is not older than the head the sealing job noted. 4. The expected number has the expected digest.
    ``seen`` is told the number of each row that holds.
    """
    head = Head()
    for row in _sealed_rows(session):
        fault = _fault_of(row, head)
        if fault:
            return Verdict(head, 0, fault)
        head = Head(row.seal_number or 0, row.seal or "")
        if expected is not None and expected.number == head.number and expected.seal != head.seal:
            said = f"Row {head.number} has another digest than noted elsewhere: the chain was rewritten."
            return Verdict(head, 0, said)
        seen(head.number)
    return Verdict(head, _unsealed(session), _fault_at_end(session, head, expected))


def _sealed_rows(session: Session) -> Iterator[AuditEvent]:
    number = 0
    while True:
        rows = session.exec(
            select(AuditEvent)
            .where(col(AuditEvent.seal_number) > number)
            .order_by(col(AuditEvent.seal_number))
            .limit(BATCH)
        ).all()
        yield from rows
        if len(rows) < BATCH:
            return
        number = rows[-1].seal_number or 0
        session.expunge_all()


def _fault_of(row: AuditEvent, head: Head) -> str:
    if row.seal_number != head.number + 1:
        return f"Row {head.number + 1} is missing: the next sealed row is {row.seal_number}."
    if row.seal != digest(head, row):
        return f"Row {row.seal_number} (id {row.id}) was changed after it was sealed."
    return ""


def _fault_at_end(session: Session, head: Head, expected: Head | None) -> str:
    mark = marks.get_mark(session, HEAD)
    noted = int((mark.detail or {}).get("number", 0)) if mark is not None else 0
    if noted > head.number:
        return f"The last {noted - head.number} of {noted} sealed rows are missing."
    if expected is not None and expected.number > head.number:
        return f"Row {expected.number}, noted elsewhere, is missing: only {head.number} rows are sealed."
    return ""


def _unsealed(session: Session) -> int:
    return len(session.exec(select(AuditEvent.id).where(col(AuditEvent.seal_number).is_(None))).all())


def read_head(words: str) -> Head:
    """``NUMBER:DIGEST`` as printed. Raises ValueError."""
    number, _, seal = words.strip().partition(":")
    if not number.isdecimal() or len(seal) != 64 or set(seal) - set("0123456789abcdef"):
        raise ValueError("Write the head as NUMBER:DIGEST, as aftercare audit verify prints it.")
    return Head(int(number), seal)
