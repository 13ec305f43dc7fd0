"""Counting what is sealed with which key, and sealing it all with the current one, while the service runs.

Rows are taken in batches along the primary key; each batch is a short transaction of its own. A value is
replaced only while it still is what was read, so nothing written meanwhile is lost; what is left to do is
seen from the values themselves, so an interrupted run simply goes on.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from service.keyring import MARK, PLAIN, VERBATIM, Keyring, Unreadable
from service.models import metadata
from service.sealed_columns import SealedJson, SealedText
from service.seals import of_dialect

BATCH = 200
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One column that is sealed, with what SQL needs to read and write it as it is stored."""

    table: str
    name: str
    keys: tuple[str, ...]
    is_json: bool

    @property
    def place(self) -> str:
        return f"{self.table}.{self.name}"

    @property
    def stored(self) -> str:
        return f"CAST({self.name} AS TEXT)"

    @property
    def begins(self) -> str:
        """What a sealed value begins with: in JSON it is a string in quotes."""
        return f'"{MARK}' if self.is_json else MARK


def sealed_columns() -> list[SealedColumn]:
    """Every sealed column of every table."""
    return [
        SealedColumn(
            table.name,
            column.name,
            tuple(key.name for key in table.primary_key.columns),
            isinstance(column.type, SealedJson),
        )
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, SealedText | SealedJson)
    ]


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many values lie there, by column and by the name of their key (``plain``: unsealed)."""
    found: Counter[tuple[str, str]] = Counter()
    for column in sealed_columns():
        rest = f"substr({column.stored}, {len(column.begins) + 1}, 17)"
        is_postgres = connection.dialect.name == "postgresql"
        ends = f"strpos({rest}, ':')" if is_postgres else f"instr({rest}, ':')"
        key = f"CASE WHEN {_has(column, 'begins')} THEN substr({rest}, 1, {ends} - 1) ELSE '-' END"
        there = f"FROM {column.table} WHERE {column.name} IS NOT NULL"
        rows = connection.execute(
            text(f"SELECT {key} AS key_id, count(*) {there} GROUP BY 1"), {"begins": column.begins}
        )
        for key_id, number in rows:
            found[column.place, PLAIN if key_id == "-" else key_id] += number
    return dict(found)


def _has(column: SealedColumn, start: str) -> str:
    """Begins with the parameter ``start``. Not LIKE: on SQLite that takes capital letters for small ones."""
    return f"substr({column.stored}, 1, length(:{start})) = :{start}"


def by_key(connection: Connection) -> dict[str, int]:
    """How many values were sealed with each key, ``plain`` among them."""
    found: Counter[str] = Counter()
    for (_place, key_id), number in counts(connection).items():
        found[key_id] += number
    return dict(found)


def reseal(engine: Engine, target: str | None, told: Told = lambda _number: None) -> tuple[int, int]:
    """Seal everything with key ``target`` of the engine's ring; None: lay everything open. Commits batches.

    Returns how many values were written and how many could not be read. ``told`` hears of every value looked
    at that was not as wanted.
    """
    ring = of_dialect(engine.dialect).ring
    written = unreadable = 0
    for column in sealed_columns():
        for rows in _batches(engine, column, target):
            changes = []
            for *key, old in rows:
                new = _resealed(ring, target, column, old)
                if new is None:
                    unreadable += 1
                else:
                    changes.append({f"k{n}": value for n, value in enumerate(key)} | {"old": old, "new": new})
            _write(engine, column, changes)
            written += len(changes)
            told(len(rows))
    return written, unreadable


def wipe(engine: Engine) -> bool:
    """Rewrite an SQLite file and empty its log, so that no freed page keeps what lay open. False when others
    held the file; True, with nothing done, on PostgreSQL, where only ``VACUUM FULL`` would."""
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("VACUUM")
        busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()


def _batches(engine: Engine, column: SealedColumn, target: str | None) -> Iterator[list[Any]]:
    """Values not as wanted, by primary key. A batch is read before it is written: no lock waits for us."""
    listed = ", ".join(column.keys)
    if target is None:
        wanted = f"{_has(column, 'begins')} AND NOT {_has(column, 'fine')}"
        given = {"begins": column.begins, "fine": f"{column.begins}-:"}
    else:
        wanted, given = f"NOT {_has(column, 'fine')}", {"fine": f"{column.begins}{target}:"}
    last: dict[str, Any] = {}
    while True:
        after = f"AND ({listed}) > ({', '.join(f':k{n}' for n in range(len(column.keys)))})" if last else ""
        with engine.connect().execution_options(read_only=True) as connection:
            rows = connection.execute(
                text(
                    f"SELECT {listed}, {column.stored} FROM {column.table} WHERE {column.name} IS NOT NULL "
                    f"AND {wanted} {after} ORDER BY {listed} LIMIT {BATCH}"
                ),
                given | last,
            ).all()
        if not rows:
            return
        yield list(rows)
        last = {f"k{n}": rows[-1][n] for n in range(len(column.keys))}


def _resealed(ring: Keyring, target: str | None, column: SealedColumn, old: str) -> str | None:
    """The stored value as wanted; None when it cannot be opened."""
    is_sealed = old.startswith(column.begins)
    stored = json.loads(old) if column.is_json and is_sealed else old
    plain = stored if column.is_json and not is_sealed else ring.unseal(stored, column.place)
    if isinstance(plain, Unreadable):
        return None
    if target is None:
        return VERBATIM + plain if plain.startswith(MARK) and not column.is_json else plain
    sealed = ring.seal_with(target, plain, column.place)
    return json.dumps(sealed) if column.is_json else sealed


def _write(engine: Engine, column: SealedColumn, changes: list[dict[str, Any]]) -> None:
    if not changes:
        return
    value = "CAST(:new AS JSON)" if column.is_json and engine.dialect.name == "postgresql" else ":new"
    where = " AND ".join(f"{name} = :k{n}" for n, name in enumerate(column.keys))
    statement = f"UPDATE {column.table} SET {column.name} = {value} WHERE {where} AND {column.stored} = :old"
    with engine.begin() as connection:
        connection.execute(text(statement), changes)
