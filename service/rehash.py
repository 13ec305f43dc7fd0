"""Every keyed hash of a database anew, from what can be read. Needed only for a new index key."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, bindparam, select
from sqlmodel import Session, col, delete, insert
from sqlmodel import select as select_rows

from service.keyring import Unreadable, digest
from service.models import Escalation, IdempotencyKey, Patient, PatientWord, metadata
from service.patient_words import hashes_of
from service.sealed_columns import SealedLookup

CHUNK = 1000


def _sought() -> list[tuple[Table, Any]]:
    return [
        (table, column)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, SealedLookup)
    ]


def is_anything_hashed(session: Session) -> bool:
    """Whether any row lies there that is found by a hash."""
    return any(session.execute(select(table.c[column.key]).limit(1)).first() for table, column in _sought())


def write_all(session: Session, index_key: bytes) -> int:
    """Write every hash with this index key; returns how many. No commit. What cannot be read keeps the old
    hash, which nothing asked for equals any more. Repeats of earlier requests are not known any more."""
    session.exec(delete(IdempotencyKey))
    written = 0
    for table, column in _sought():
        written += _write_column(session, index_key, table, column)
    unknown = select_rows(Escalation).where(col(Escalation.patient_id).is_(None))
    for row in session.exec(unknown).all():
        if row.phone and not isinstance(row.phone, Unreadable):
            row.subject = digest(index_key, "phone", row.phone)
            session.add(row)
            written += 1
    return written + _write_words(session, index_key)


def _write_column(session: Session, index_key: bytes, table: Table, column: Any) -> int:
    name = f"{column.key}_hash"
    keys = list(table.primary_key.columns)
    rows = session.execute(select(*keys, column).where(column.is_not(None))).all()
    changes = [
        {f"k{n}": value for n, value in enumerate(key)} | {"new": digest(index_key, column.type.kind, value)}
        for *key, value in rows
        if value
    ]
    statement = table.update().values({name: bindparam("new", type_=table.c[name].type)})
    for n, key_column in enumerate(keys):
        statement = statement.where(key_column == bindparam(f"k{n}", type_=key_column.type))
    for part in _parts(changes):
        session.connection().execute(statement, part)
    return len(changes)


def _write_words(session: Session, index_key: bytes) -> int:
    patients = session.exec(select_rows(Patient.id, Patient.name, Patient.phone)).all()
    readable = [row for row in patients if row[1] and row[2]]
    ids = [patient_id for patient_id, _name, _phone in readable]
    for part in _parts(ids):
        session.exec(delete(PatientWord).where(col(PatientWord.patient_id).in_(part)))
    words = [
        {"patient_id": patient_id, "word_hash": each}
        for patient_id, name, phone in readable
        for each in sorted(hashes_of(index_key, name, phone))
    ]
    for part in _parts(words):
        session.execute(insert(PatientWord), part)
    return len(words)


def _parts(rows: Sequence[Any]) -> list[Any]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
