"""Engines of tests that come after one another share what SQLAlchemy has compiled.

A test makes engines of its own on a database of its own. What an engine learns of our statements (how each
is written for its database) hangs on its dialect and is the same for every test; learning it anew was a
third of the suite's time. So a dialect of a test that is over is taken for an engine of the next one. Never
do two engines have one dialect at the same time, for a dialect also holds the engine's sealing keys.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

import service.db

STATEMENTS = 1500  # as many as the suite knows; an engine of the service keeps 500


class _Kept:
    """A dialect that is taken from the shelf when it has been in use before."""

    supports_statement_cache = True
    idle: "list[Any]"
    lent: "list[Any] | None" = None  # None: outside of a test's own time every engine has a new one

    def __new__(cls, **values: Any) -> Any:
        if cls.lent is None:
            return super().__new__(cls)
        try:  # not asked first: threads of one test make engines at the same time
            taken = cls.idle.pop()
        except IndexError:
            taken = super().__new__(cls)
        cls.lent.append(taken)
        return taken

    def __init__(self, **values: Any) -> None:
        if not hasattr(self, "statements"):
            super().__init__(**values)
            self.statements: Any = LRUCache(STATEMENTS)


class KeptSQLite(_Kept, SQLiteDialect_pysqlite):
    supports_statement_cache = True
    idle: "list[Any]" = []


class KeptPostgreSQL(_Kept, PGDialect_psycopg):
    supports_statement_cache = True
    idle: "list[Any]" = []


KINDS = (KeptSQLite, KeptPostgreSQL)


def _create_engine(url: Any, **values: Any) -> Engine:
    engine = sqlalchemy.create_engine(url, **values)
    engine._compiled_cache = engine.dialect.statements  # type: ignore[attr-defined]
    return engine


def keep_dialects() -> None:
    """Once per process, before the first engine is made."""
    registry.register("sqlite", __name__, "KeptSQLite")
    registry.register("postgresql.psycopg", __name__, "KeptPostgreSQL")
    service.db.create_engine = _create_engine  # type: ignore[attr-defined]


@contextmanager
def lending() -> Iterator[None]:
    """The time of one test. The engines it made are done with afterwards."""
    for kind in KINDS:
        kind.lent = []
    try:
        yield
    finally:
        for kind in KINDS:
            kind.idle += kind.lent or ()
            kind.lent = None
