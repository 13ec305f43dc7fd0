"""Everything that is stored about one patient, found by following foreign keys, so that a new table cannot
be forgotten: used to hand it out and to delete it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select, update
from sqlmodel import Session

from service.models import Patient, PhoneState, metadata

ROOT = "patients"
TIMES = ("at", "received_at", "opened_at", "due_at", "created_at", "enrolled_at", "set_at")
INDEXES = ("patient_words",)  # keyed hashes to find patients by
Conditions = dict[str, ColumnElement[bool]]


def conditions_of(patient_id: str) -> Conditions:
    """Table name to the condition of its rows about this patient, parents before children.

    A row that names its own patient belongs to that one, whatever it refers to: two patients may share a
    phone, and then one reply has an assessment for each.
    """
    return _conditions_from(ROOT, metadata.tables[ROOT].c.id == patient_id)


def _conditions_from(root: str, condition: ColumnElement[bool]) -> Conditions:
    found: Conditions = {root: condition}
    for table in metadata.sorted_tables:
        if table.name == root:
            continue
        owned: list[ColumnElement[bool]] = []
        related: list[ColumnElement[bool]] = []
        nobodys: list[ColumnElement[bool]] = []
        for key in table.foreign_keys:
            parent = key.column.table
            if parent.name not in found:
                continue
            inside = key.parent.in_(select(key.column).where(found[parent.name]))
            if parent.name == ROOT:
                owned.append(inside)
                nobodys.append(key.parent.is_(None))
            else:
                related.append(inside)
        if related:
            owned.append(and_(*nobodys, or_(*related)))
        if owned:
            found[table.name] = or_(*owned)
    return found


def rows_of(session: Session, table: Table, condition: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Rows as plain values, oldest first where the table knows when."""
    order = [table.c[name] for name in TIMES if name in table.c][:1]
    found = session.execute(select(table).where(condition).order_by(*order, *table.primary_key.columns))
    return [
        {name: value for name, value in row.items() if not name.endswith("_hash")} for row in found.mappings()
    ]


def everything(session: Session, patient_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row about a patient by table, parents first, and replies of a shared phone that were read for
    them too. Keyed hashes, which say nothing to people, are left out."""
    conditions = conditions_of(patient_id)
    replies, read = metadata.tables["replies"], metadata.tables["assessments"]
    theirs = select(read.c.reply_id).where(read.c.patient_id == patient_id)
    conditions["replies"] = or_(conditions["replies"], replies.c.id.in_(theirs))
    return {
        name: rows_of(session, metadata.tables[name], where)
        for name, where in conditions.items()
        if name not in INDEXES
    }


def count(session: Session, patient_id: str) -> dict[str, int]:
    """How many rows of each table are about this patient; tables without any are left out."""
    counts = {
        name: session.execute(
            select(func.count()).select_from(metadata.tables[name]).where(condition)
        ).scalar_one()
        for name, condition in conditions_of(patient_id).items()
    }
    return {name: number for name, number in counts.items() if number}


def delete_all(session: Session, patient_id: str) -> dict[str, int]:
    """Delete every row about this patient, children first; returns how many by table. No commit.

    A reply that another patient's rows refer to (a shared phone) becomes that patient's.
    """
    patient = session.get_one(Patient, patient_id)
    phones = {phone for phone in (patient.phone, patient.caregiver_phone) if phone}
    _hand_on_shared(session, patient_id)
    gone = _delete(session, conditions_of(patient_id))
    _forget_phones(session, phones)
    return gone


def delete_with_children(session: Session, table: str, ids: Sequence[str]) -> dict[str, int]:
    """Delete rows by id and whatever refers to them; returns how many by table. No commit."""
    return _delete(session, _conditions_from(table, metadata.tables[table].c.id.in_(ids)))


def _forget_phones(session: Session, phones: set[str]) -> None:
    """What the carrier taught us about numbers that are nobody's now. One that asked for no more texts stays:
    forgetting it would text it again."""
    for phone in phones:
        state = session.get(PhoneState, phone)
        if state is None or state.opted_out_at is not None:
            continue
        anyone = select(Patient.id).where(or_(Patient.phone == phone, Patient.caregiver_phone == phone))
        if session.execute(anyone.limit(1)).first() is None:
            session.delete(state)
            session.flush()


def _delete(session: Session, conditions: Conditions) -> dict[str, int]:
    gone: dict[str, int] = {}
    for name in reversed(list(conditions)):
        result: Any = session.execute(delete(metadata.tables[name]).where(conditions[name]))
        if result.rowcount:
            gone[name] = result.rowcount
    session.expire_all()
    return gone


def _hand_on_shared(session: Session, patient_id: str) -> None:
    replies = metadata.tables["replies"]
    for table in _with_patient_and_reply():
        others = table.c.patient_id.is_not(None) & (table.c.patient_id != patient_id)
        heir = select(func.min(table.c.patient_id)).where(table.c.reply_id == replies.c.id, others)
        session.execute(
            update(replies)
            .where(
                replies.c.patient_id == patient_id,
                select(1).where(table.c.reply_id == replies.c.id, others).exists(),
            )
            .values(patient_id=heir.scalar_subquery())
        )


def _with_patient_and_reply() -> list[Table]:
    return [table for table in metadata.sorted_tables if "patient_id" in table.c and "reply_id" in table.c]
