"""Rows written together, where a flush would take one statement for each row.

What follows from the replies of one moment is a hundred rows of eight tables. PostgreSQL gets the rows of a
table as one JSON value, and all tables in one statement, which is nearly always the same and stays prepared:
each statement more would be a round trip that everybody in the handful waits for. SQLite, which is asked
without a trip, runs one statement for each table.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    Insert,
    Table,
    TextClause,
    TypeDecorator,
    Update,
    bindparam,
    inspect,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session

from service.models import (
    AuditEvent,
    Enrollment,
    Escalation,
    EscalationEvent,
    OutboundMessage,
    PlanItem,
    Reply,
    StoredAssessment,
)
from service.rows import Row
from service.sealed_columns import SealedLookup, with_digests

# New rows of these, in this order: whatever points comes after what it points to.
NEW = (Escalation, EscalationEvent, OutboundMessage, StoredAssessment, AuditEvent)
CHANGED = (Enrollment, PlanItem, Reply)
# Whoever triages has locked these rows: whichever of these columns changed, all of them are written, so that
# rows which changed differently go together.
WIDENED: dict[type, frozenset[str]] = {
    Enrollment: frozenset({"flagged_at", "last_score"}),
    Reply: frozenset({"from_caregiver", "from_member_id", "patient_id", "triaged_at", "urgency"}),
}
WAKE = "pg_notify(CAST(:channel AS text), CAST(:note AS text))"
Values = dict[str, Any]
Changes = dict[tuple[type, tuple[str, ...]], list[Any]]
Part = tuple[Table, tuple[str, ...]]


def write_together(session: Session, new: Sequence[Row], note: tuple[str, str] | None = None) -> None:
    """Write new rows of the tables above and whatever changed in the session, in the caller's transaction.
    The new ones are not in the session and do not come into it. Raises StaleDataError when a changed row is
    gone. ``note``: what to tell whom (channel, text) on PostgreSQL when the transaction is committed.

    1. New rows. 2. Changes in the tables above: all rows in which the same columns changed at once.
    3. Whatever is rarer, as the session does it.
    """
    connection = session.connection()
    rows: dict[type, list[Values]] = {model: [] for model in NEW}
    for row in new:
        rows[type(row)].append(with_digests(_table(type(row)), _values(row), connection.dialect))
    changes = _changed(session)
    if connection.dialect.name == "postgresql":
        _write_at_once(connection, rows, changes, note)
    else:
        for model, made in rows.items():
            if made:
                connection.execute(_insert_each(_table(model), None), made)
        for (model, names), changed in changes.items():
            _update(connection, _table(model), names, changed)
    for (_, names), changed in changes.items():
        for row in changed:
            for name in names:
                set_committed_value(row, name, row.__dict__[name])
    session.flush()


def _write_at_once(
    connection: Connection, rows: dict[type, list[Values]], changes: Changes, note: tuple[str, str] | None
) -> None:
    """Everything in one statement. Tables without a new row are part of it too, so that it stays the same;
    keys to rows of other parts are checked when the whole statement is done."""
    news = tuple((_table(model), _columns(model)) for model in NEW)
    updates = tuple((_table(model), names) for model, names in changes)
    given = [rows[model] for model in NEW] + [_changes_of(*each) for each in changes.items()]
    parameters: Values = {
        f"rows{place}": _as_json(table, values, connection.dialect)
        for place, ((table, _), values) in enumerate(zip(news + updates, given, strict=True))
    }
    if note is not None:
        parameters |= {"channel": note[0], "note": note[1]}
    done = connection.execute(_all_at_once(news, updates, note is not None), parameters).one()
    for (table, _), changed, count in zip(updates, changes.values(), done, strict=False):
        _expect(table, len(changed), count)


def _changes_of(key: tuple[type, tuple[str, ...]], rows: Sequence[Any]) -> list[Values]:
    return [{name: row.__dict__[name] for name in ("id", *key[1])} for row in rows]


def _expect(table: Table, wanted: int, done: int) -> None:
    if done != wanted:
        raise StaleDataError(f"{wanted - done} of {wanted} rows of {table.name} are gone")


def insert(connection: Connection, table: Table, rows: Sequence[Values], unless: str | None = None) -> int:
    """Insert rows that have the same columns; hash columns fill themselves. Returns how many were new.

    ``unless``: a unique column; a row whose value of it is stored already is left out.
    """
    whole = [with_digests(table, row, connection.dialect) for row in rows]
    if connection.dialect.name == "postgresql":
        statement = _insert_together(table, tuple(whole[0]), unless)
        return connection.execute(statement, {"rows": _as_json(table, whole, connection.dialect)}).rowcount
    return connection.execute(_insert_each(table, unless), whole).rowcount


def _update(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Any]) -> None:
    renamed = [{f"new_{name}": row.__dict__[name] for name in ("id", *names)} for row in rows]
    _expect(table, len(rows), connection.execute(_update_each(table, names), renamed).rowcount)


def _changed(session: Session) -> Changes:
    """Changed rows by table and by the columns that changed. Not those that are found by what changed."""
    found: Changes = defaultdict(list)
    for row in session.dirty:
        if type(row) not in CHANGED:
            continue
        before = inspect(row).committed_state
        names = {name for name, old in before.items() if old != row.__dict__.get(name)}
        columns = _table(type(row)).c
        if names and not any(isinstance(columns[name].type, SealedLookup) for name in names):
            names |= WIDENED.get(type(row), frozenset())
            found[type(row), tuple(sorted(names))].append(row)
    return found


def _as_json(table: Table, rows: Sequence[Values], dialect: Dialect) -> str:
    """The rows as one parameter of a statement, each value as its column stores it."""
    kinds = _converted(table, tuple(rows[0])) if rows else []
    stored = [
        row | {name: kind.process_bind_param(row[name], dialect) for name, kind in kinds} for row in rows
    ]
    return json.dumps(stored, default=_as_text)


def _as_text(value: date) -> str:
    return value.isoformat()


def _values(row: Any) -> Values:
    return {name: row.__dict__[name] for name in _names(type(row))}


@cache
def _names(model: type) -> tuple[str, ...]:
    """The columns that are not filled by others."""
    table = _table(model)
    lookups = {f"{column.name}_hash" for column in table.c if isinstance(column.type, SealedLookup)}
    return tuple(column.name for column in table.c if column.name not in lookups)


@cache
def _columns(model: type) -> tuple[str, ...]:
    """All columns a new row is given, as ``_values`` and ``with_digests`` give them."""
    table = _table(model)
    return tuple(column.name for column in table.c)


@cache
def _converted(table: Table, names: tuple[str, ...]) -> list[tuple[str, TypeDecorator[Any]]]:
    """The columns whose values are stored otherwise than Python has them: sealed, or as UTC."""
    kinds = [(name, table.c[name].type) for name in names]
    unchanged = TypeDecorator.process_bind_param
    return [
        (name, kind)
        for name, kind in kinds
        if isinstance(kind, TypeDecorator) and type(kind).process_bind_param is not unchanged
    ]


@cache
def _table(model: type) -> Table:
    table: Any = inspect(model).local_table
    assert isinstance(table, Table)
    return table


@cache
def _insert_together(table: Table, names: tuple[str, ...], unless: str | None) -> TextClause:
    conflict = f" ON CONFLICT ({unless}) DO NOTHING" if unless else ""
    return text(_insertion(table, names, "rows") + conflict)


@cache
def _all_at_once(news: tuple[Part, ...], updates: tuple[Part, ...], tells: bool) -> TextClause:
    """Its one row: how many rows each update found."""
    parts, counts = list[str](), list[str]()
    for place, (table, names) in enumerate(news):
        parts.append(f"part{place} AS ({_insertion(table, names, f'rows{place}')})")
    for place, (table, names) in enumerate(updates, start=len(news)):
        parts.append(f"part{place} AS ({_change(table, names, f'rows{place}')} RETURNING 1)")
        counts.append(f"(SELECT count(*) FROM part{place})")
    results = [*counts, WAKE] if tells else counts or ["0"]
    return text(f"WITH {', '.join(parts)} SELECT {', '.join(results)}")


def _insertion(table: Table, names: tuple[str, ...], rows: str) -> str:
    listed = ", ".join(names)
    return f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {_given(table, rows)}"


def _change(table: Table, names: tuple[str, ...], rows: str) -> str:
    changes = ", ".join(f"{name} = given.{name}" for name in names)
    found = f"{_given(table, rows)} AS given WHERE {table.name}.id = given.id"
    return f"UPDATE {table.name} SET {changes} FROM {found}"


def _given(table: Table, rows: str) -> str:
    return f"json_populate_recordset(CAST(NULL AS {table.name}), CAST(:{rows} AS json))"


@cache
def _insert_each(table: Table, unless: str | None) -> Insert:
    statement = sqlite.insert(table)
    return statement.on_conflict_do_nothing(index_elements=[unless]) if unless else statement


@cache
def _update_each(table: Table, names: tuple[str, ...]) -> Update:
    wanted = table.c.id == bindparam("new_id")
    return table.update().where(wanted).values({name: bindparam(f"new_{name}") for name in names})
