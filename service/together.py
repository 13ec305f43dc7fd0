"""Rows written together: one statement for each table, where a flush would take one for each row.

What follows from the replies of one moment is a hundred rows of eight tables. PostgreSQL gets the rows of a
table as one JSON value, so the statement is always the same and stays prepared; SQLite runs one statement
over all of them.
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
Values = dict[str, Any]


def write_together(session: Session, new: Sequence[Row]) -> None:
    """Write new rows of the tables above and whatever changed in the session, in the caller's transaction.
    The new ones are not in the session and do not come into it. Raises StaleDataError when a changed row is
    gone.

    1. New rows, each table in one statement. 2. Changes in the tables above, one statement for all rows in
    which the same columns changed. 3. Whatever is rarer, as the session does it.
    """
    connection = session.connection()
    rows: dict[type, list[Row]] = {model: [] for model in NEW}
    for row in new:
        rows[type(row)].append(row)
    for model, made in rows.items():
        if made:
            insert(connection, _table(model), [_values(row) for row in made])
    for (model, names), changed in _changed(session).items():
        _update(connection, _table(model), names, changed)
        for row in changed:
            for name in names:
                set_committed_value(row, name, row.__dict__[name])
    session.flush()


def insert(connection: Connection, table: Table, rows: Sequence[Values], unless: str | None = None) -> int:
    """Insert rows that have the same columns; hash columns fill themselves. Returns how many were new.

    ``unless``: a unique column; a row whose value of it is stored already is left out.
    """
    whole = [with_digests(table, row, connection.dialect) for row in rows]
    if connection.dialect.name == "postgresql":
        statement = _insert_together(table, tuple(whole[0]), unless)
        return connection.execute(statement, _as_json(table, whole, connection.dialect)).rowcount
    return connection.execute(_insert_each(table, unless), whole).rowcount


def _update(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Any]) -> None:
    values = [{name: row.__dict__[name] for name in ("id", *names)} for row in rows]
    if connection.dialect.name == "postgresql":
        parameters = _as_json(table, values, connection.dialect)
        done = connection.execute(_update_together(table, names), parameters)
    else:
        renamed = [{f"new_{name}": value for name, value in each.items()} for each in values]
        done = connection.execute(_update_each(table, names), renamed)
    if done.rowcount != len(rows):
        raise StaleDataError(f"{len(rows) - done.rowcount} of {len(rows)} rows of {table.name} are gone")


def _changed(session: Session) -> dict[tuple[type, tuple[str, ...]], list[Any]]:
    """Changed rows by table and by the columns that changed. Not those that are found by what changed."""
    found: dict[tuple[type, tuple[str, ...]], list[Any]] = defaultdict(list)
    for row in session.dirty:
        if type(row) not in CHANGED:
            continue
        before = inspect(row).committed_state
        names = tuple(sorted(name for name, old in before.items() if old != row.__dict__.get(name)))
        columns = _table(type(row)).c
        if names and not any(isinstance(columns[name].type, SealedLookup) for name in names):
            found[type(row), names].append(row)
    return found


def _as_json(table: Table, rows: Sequence[Values], dialect: Dialect) -> dict[str, str]:
    """The rows as the one parameter of a statement, each value as its column stores it."""
    kinds = _converted(table, tuple(rows[0]))
    stored = [
        row | {name: kind.process_bind_param(row[name], dialect) for name, kind in kinds} for row in rows
    ]
    return {"rows": json.dumps(stored, default=_as_text)}


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
    listed = ", ".join(names)
    conflict = f" ON CONFLICT ({unless}) DO NOTHING" if unless else ""
    return text(f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {_given(table)}{conflict}")


@cache
def _update_together(table: Table, names: tuple[str, ...]) -> TextClause:
    changes = ", ".join(f"{name} = given.{name}" for name in names)
    return text(
        f"UPDATE {table.name} SET {changes} FROM {_given(table)} AS given WHERE {table.name}.id = given.id"
    )


def _given(table: Table) -> str:
    return f"json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json))"


@cache
def _insert_each(table: Table, unless: str | None) -> Insert:
    statement = sqlite.insert(table)
    return statement.on_conflict_do_nothing(index_elements=[unless]) if unless else statement


@cache
def _update_each(table: Table, names: tuple[str, ...]) -> Update:
    wanted = table.c.id == bindparam("new_id")
    return table.update().where(wanted).values({name: bindparam(f"new_{name}") for name in names})
