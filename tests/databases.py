"""Where a test gets its database: a migrated, empty one of its own, made ready in a few milliseconds.

SQLite: a copy of a migrated file, in memory where the machine has room there (waiting for a disk proves
nothing). PostgreSQL: a server of our own; a database that an earlier test has used is emptied and given
another name, so that whoever still knows it by its old name is refused, or made anew when it cannot be.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import Error

from service.db import make_engine, upgrade

MEMORY = Path("/dev/shm")
ROOM_IN_MEMORY = 512 * 2**20  # what must be free there: the files of one test are a few megabytes
REST = 2  # so many tests pass before a database is used again: its connections have ended by then
USES = 60  # a database often emptied holds many dead rows
SERVER_OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off -c synchronous_commit=off "
    "-c full_page_writes=off -c autovacuum=off -c wal_level=minimal -c max_wal_senders=0"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).parent
    raise RuntimeError(
        "PostgreSQL's server programs (initdb, pg_ctl) are missing: run make test, which installs them "
        "on Debian as root, or set TEST_DATABASE_URL to a PostgreSQL whose user may create databases."
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, without a database name at its end."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given.rsplit("/", 1)[0]
        return
    binaries = postgres_binaries()
    folder = Path("/tmp") / f"aftercare-test-pg-{uuid.uuid4().hex[:8]}"  # a socket path must stay short
    as_owner: list[str] = []
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    data, port = folder / "data", free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "check": True}
    subprocess.run(
        [*as_owner, binaries / "initdb", "-D", data, "-U", "app", "--auth=trust", "-E", "UTF8", "--no-sync"],
        **quiet,
    )
    control = [*as_owner, binaries / "pg_ctl", "-D", data, "-w"]
    options = f"-p {port} -k {folder} {SERVER_OPTIONS}"
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://app@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


# What a database is built of, as one short word: it changes with every table, column, trigger, function or
# schema that comes, goes or becomes another, and a copy of a database has the same.
_BUILT_OF = " || ' ' || ".join(
    f"(SELECT count(*) || '.' || max(xmin::text::bigint) FROM {catalogue})"
    for catalogue in ("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_trigger", "pg_proc",
                      "pg_namespace", "pg_type", "pg_index")
)  # fmt: skip


class PostgresDatabases:
    """The databases of one server: one for each test, emptied ones again and again."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._admin = self._connect("postgres")
        self._template = f"template_{uuid.uuid4().hex[:8]}"
        self._used: deque[tuple[str, int]] = deque()
        self._run(f"CREATE DATABASE {self._template}")
        engine = make_engine(f"{server}/{self._template}")
        upgrade(engine)
        engine.dispose()
        with self._connect(self._template) as template:
            self._learn(template)
        # Copying files is twice as fast as writing every page to the log; before version 15 nothing else is.
        self._copied = " STRATEGY=FILE_COPY" if self._admin.info.server_version >= 150000 else ""

    def _learn(self, template: psycopg.Connection) -> None:
        """What an empty database is built of, and the rows that its migrations put there."""
        tables = template.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        self._tables = sorted(name for (name,) in tables)
        (self._built_of,) = template.execute(f"SELECT {_BUILT_OF}").fetchone() or ("",)
        (filled,) = template.execute(self._which(self._tables)).fetchone() or ([],)
        self._first_rows = {}
        for name in filled:
            with template.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as rows:
                self._first_rows[name] = b"".join(bytes(part) for part in rows)

    @staticmethod
    def _which(tables: list[str]) -> Any:
        """Which of these tables hold a row."""
        asked = ", ".join(f"CASE WHEN EXISTS (SELECT FROM {name}) THEN '{name}' END" for name in tables)
        return f"SELECT array_remove(ARRAY[{asked}], NULL)"

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(f"{self.server.replace('+psycopg', '')}/{name}", autocommit=True)

    def _run(self, statement: Any) -> None:
        self._admin.execute(statement)

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The address of a database of one's own."""
        name, uses = self._ready() or (self._new(), 1)
        try:
            yield f"{self.server}/{name}"
        finally:
            self._used.append((name, uses))

    def _new(self) -> str:
        name = f"t_{uuid.uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template}{self._copied}")
        return name

    def _ready(self) -> tuple[str, int] | None:
        """A database that was used before, empty and under a new name."""
        if len(self._used) <= REST:
            return None
        old, uses = self._used.popleft()
        name = f"t_{uuid.uuid4().hex[:12]}"
        if uses < USES:
            try:
                self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'")
                self._run(f"ALTER DATABASE {old} RENAME TO {name}")
                old = name
                if self._emptied(name):
                    return name, uses + 1
            except Error:  # a test dropped it, somebody clings to it, or this user may not do as much
                pass
        self._run(f"DROP DATABASE IF EXISTS {old} WITH (FORCE)")
        return None

    def _emptied(self, name: str) -> bool:
        """Whether it is as a new one now; not when a test has changed what it is built of."""
        with self._connect(name) as connection:
            if connection.execute(f"SELECT {_BUILT_OF}").fetchone() != (self._built_of,):
                return False
            (filled,) = connection.execute(self._which(self._tables)).fetchone() or ([],)
            with connection.transaction():
                # No triggers: the audit trail takes nothing back, and foreign keys would ask for an order.
                connection.execute("SET LOCAL session_replication_role = replica")
                for table in {*filled, *self._first_rows}:
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
                for table, rows in self._first_rows.items():
                    back = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                    with connection.cursor().copy(back) as copy:
                        copy.write(rows)
        return True

    def close(self) -> None:
        for name, _ in self._used:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._run(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")
        self._admin.close()


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(postgres_server)
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(postgres_databases: PostgresDatabases) -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    with postgres_databases.lend() as url:
        yield url


def _roomy() -> bool:
    try:
        return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM_IN_MEMORY
    except OSError:
        return False


@pytest.fixture(scope="session")
def sqlite_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where SQLite's files of tests lie."""
    folder = Path(tempfile.mkdtemp(prefix="aftercare-test-", dir=MEMORY if _roomy() else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(sqlite_folder: Path) -> Path:
    path = sqlite_folder / "template.sqlite3"
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, sqlite_folder: Path) -> Iterator[str]:
    """A migrated, empty SQLite database, alone in its folder."""
    own = Path(tempfile.mkdtemp(dir=sqlite_folder))
    path = own / "aftercare.sqlite3"
    shutil.copy(sqlite_template, path)
    yield f"sqlite:///{path}"
    shutil.rmtree(own, ignore_errors=True)
