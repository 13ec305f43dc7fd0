"""One engine per dialect, and bringing a database up to date.

SQLite: WAL, ``synchronous=FULL``, and every transaction begins IMMEDIATE: a deferred transaction that later
wants to write gets "database is locked" at once instead of waiting its turn.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, Connection, Engine, String, any_, bindparam, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlmodel import Session

from service.keyring import Keyring
from service.seals import Seals
from service.settings import SettingsError
from service.turns import Turns

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_MS = 10_000
CHECKPOINT_PAGES = 4000  # 16 MB: whoever commits past it copies them all back, so not at every few commits
CACHE_KIB = 16_000
TRUSTED_FOR = 1.0  # seconds that a connection may have been idle and is used unasked
# A statement or idle transaction that outlives these is a fault, not work: never let it hold rows for ever.
POSTGRES_OPTIONS = (
    "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000"
)


def make_engine(database_url: str, pool_size: int = 10, ring: Keyring | None = None) -> Engine:
    """An engine for SQLite (file) or PostgreSQL (``postgresql+psycopg://``), sealing with ``ring``.

    Raises SettingsError for anything else.
    """
    engine = _engine(database_url, pool_size)
    # Column types are given the dialect, which belongs to one engine: so two engines may have two rings.
    engine.dialect.seals = Seals(ring or Keyring(), engine)  # type: ignore[attr-defined]
    return engine


def _engine(database_url: str, pool_size: int) -> Engine:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise SettingsError(
            "AFTERCARE_DATABASE_URL is not a database address; "
            "use sqlite:///file.sqlite3 or postgresql+psycopg://user:password@host/name."
        ) from error
    if url.drivername == "postgresql+psycopg":
        engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=10,
            pool_use_lifo=True,  # the connection used last has its statements prepared
            hide_parameters=True,  # else an error's text quotes names, numbers and what patients wrote
            connect_args={"connect_timeout": 5, "options": POSTGRES_OPTIONS},
        )
        _ask_the_idle(engine)
        return engine
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise SettingsError(
            "AFTERCARE_DATABASE_URL must be an SQLite file (sqlite:///file.sqlite3) "
            "or PostgreSQL (postgresql+psycopg://user:password@host/name)."
        )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    _take_turns(engine)
    return engine


def _ask_the_idle(engine: Engine) -> None:
    """Before a connection that lay idle is used, ask the database whether it still lives; else it and all
    others are replaced. One in use a moment ago is trusted: asking would be a round trip each time."""

    def put_back(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = monotonic()

    def take_out(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get("idle_since")
        if since is None or monotonic() - since < TRUSTED_FOR:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("the database has dropped this connection") from error

    event.listen(engine, "checkin", put_back)
    event.listen(engine, "checkout", take_out)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"cache_size=-{CACHE_KIB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _take_turns(engine: Engine) -> None:
    """Begin IMMEDIATE, one writer of this process after the other; the turn ends with the connection's use.

    A turn that does not come in time is left to SQLite's own lock, which then says so.
    """
    turns = Turns()

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("read_only", False):
            connection.exec_driver_sql("BEGIN")
            return
        if not connection.info.get("has_turn"):
            connection.info["has_turn"] = turns.take(BUSY_TIMEOUT_MS / 1000)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def end(_connection: Any, record: Any) -> None:
        if record.info.pop("has_turn", False):
            turns.give()

    event.listen(engine, "begin", begin)
    event.listen(engine, "checkin", end)


@contextmanager
def session_on(engine: Engine) -> Iterator[Session]:
    """A session for one use case. Nothing is committed for you: use cases commit."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def session_for_one_statement(engine: Engine) -> Iterator[Session]:
    """A session that writes with a single statement: on PostgreSQL it is its own transaction, committed when
    it returns, without the trips for BEGIN and COMMIT. On SQLite like ``session_on``: commit all the same."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with session_on(engine) as session:
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only looks: on SQLite it does not queue behind writers."""
    with engine.connect().execution_options(read_only=True) as connection:
        with Session(bind=connection, expire_on_commit=False, autoflush=False) as session:
            yield session


def among(session: Session, column: Any, values: Collection[str]) -> Any:
    """``column IN values``. On PostgreSQL the values are one parameter: the statement is the same one for any
    number of them and stays prepared. Values for hash columns must be hashes already."""
    if session.get_bind().dialect.name != "postgresql":
        return column.in_(values)
    return column == any_(bindparam(None, list(values), ARRAY(String), unique=True))


def _alembic(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest revision. Safe to call again, and by several processes at once."""
    command.upgrade(_alembic(engine), "head")


def newest_revision() -> str | None:
    """The revision this code wants."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def knows_revision(revision: str) -> bool:
    """Whether this code has that revision; else a newer version used the database."""
    return any(known.revision == revision for known in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def out_of_reach(engine: Engine, error: Exception) -> str:
    """What to say and do when the database cannot be used at all. Names no password."""
    if engine.dialect.name == "sqlite":
        return (
            f"The database file {engine.url.database} cannot be used ({type(error).__name__}): is it the one "
            "AFTERCARE_DATABASE_URL should name? If it is damaged, restore a backup: aftercare restore FILE "
            "--replace."
        )
    return (
        f"The database cannot be reached ({type(error).__name__}): start it, or correct name, password, "
        "host and port in AFTERCARE_DATABASE_URL."
    )


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at; None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
