"""PostgreSQL's own client tools, asked so that no password stands on a command line."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

ASIDE = "before_restore_"
NOT_OURS = (" SCHEMA - public ", " COMMENT - SCHEMA public ", " ACL - SCHEMA public ")


class ToolError(Exception):
    """A tool is missing, too old, or failed; the message says which and what to do."""


def _parts(database_url: str) -> tuple[dict[str, Any], str]:
    """Connection values without the password, and the password."""
    url = make_url(database_url)
    values = {
        "host": url.host, "port": url.port, "user": url.username, "dbname": url.database, **dict(url.query)
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}, str(url.password or "")


def connect(database_url: str) -> psycopg.Connection[Any]:
    """A connection without our time limits: a dump may take long."""
    values, password = _parts(database_url)
    return psycopg.connect(make_conninfo(**values, **({"password": password} if password else {})))


def tool(name: str, server: int) -> Path:
    """The newest ``pg_dump`` or ``pg_restore`` of this machine. Raises ToolError when none is new enough."""
    homes = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which(name)
    candidates = [*reversed(homes), *([Path(on_path)] if on_path else [])]
    if not candidates:
        raise ToolError(
            f"{name} is not on this machine: install PostgreSQL's client tools, version {server} or newer "
            f"(Debian: apt install postgresql-client-{server})."
        )
    newest = max(candidates, key=_major)
    if _major(newest) < server:
        raise ToolError(
            f"{name} is version {_major(newest)}, the server is version {server}: install the client tools "
            f"of version {server} or newer (Debian: apt install postgresql-client-{server})."
        )
    return newest


def _major(path: Path) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(?:\.\d+)?", said)
    return int(found[1]) if found else 0


def server_version(connection: psycopg.Connection[Any]) -> int:
    """The server's major version."""
    return connection.info.server_version // 10_000


def dump(database_url: str, payload: Path) -> dict[str, int]:
    """Dump to ``payload`` in the custom format; returns rows by table, counted in the very same snapshot."""
    try:
        with connect(database_url) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert found is not None
            run(
                tool("pg_dump", server_version(connection)),
                database_url,
                [
                    "--format=custom",
                    "--no-owner",
                    "--no-privileges",
                    "--lock-wait-timeout=10000",
                    f"--exclude-schema={ASIDE}*",
                    f"--snapshot={found[0]}",
                    f"--file={payload}",
                ],
            )
            return count_rows(connection)
    except psycopg.OperationalError as error:
        raise ToolError("The database cannot be reached: check AFTERCARE_DATABASE_URL.") from error


def count_rows(connection: psycopg.Connection[Any], schema: str = "public") -> dict[str, int]:
    """Rows by table."""
    names = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [schema]
    )
    counts = {}
    for (name,) in names.fetchall():
        found = connection.execute(
            psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(schema, name))
        ).fetchone()
        counts[name] = found[0] if found else 0
    return counts


def load(database_url: str, payload: Path, folder: Path) -> None:
    """Restore a dump into an empty schema ``public``, in one transaction: whole or not at all."""
    with connect(database_url) as connection:
        program = tool("pg_restore", server_version(connection))
    listed = subprocess.run([program, "--list", payload], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise ToolError("The dump cannot be read by pg_restore: it may come from a newer version.")
    wanted = folder / "list"
    lines = [line for line in listed.stdout.splitlines() if not any(part in line for part in NOT_OURS)]
    wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(
        program,
        database_url,
        ["--no-owner", "--no-privileges", "--single-transaction", f"--use-list={wanted}", str(payload)],
    )


def run(program: Path, database_url: str, arguments: Sequence[str]) -> None:
    """Run a tool on the database. Its own words are not repeated: they may quote rows. Raises ToolError."""
    with _connection_words(database_url) as words:
        done = subprocess.run(
            [program, f"--dbname={words}", *arguments], capture_output=True, text=True, check=False
        )
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line.lower()), "")
        known = re.search(
            r"(permission denied|does not exist|already exists|No space left|connection)", first
        )
        raise ToolError(f"{program.name} failed ({known[1] if known else f'status {done.returncode}'}).")


@contextmanager
def _connection_words(database_url: str) -> Iterator[str]:
    """What a tool is told of the connection: the password stands in a file only we can read."""
    values, password = _parts(database_url)
    if not password:
        yield make_conninfo(**values)
        return
    with TemporaryDirectory(prefix="aftercare-") as folder:
        file = Path(folder) / "pgpass"
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        file.touch(mode=0o600)
        file.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
        yield make_conninfo(**values, passfile=str(file))


@contextmanager
def set_aside(database_url: str, stamp: str) -> Iterator[str]:
    """Move what is in the database to a schema of its own while a restore is tried; it comes back when the
    restore fails, and stays there when it does not. Yields the schema's name."""
    name = f"{ASIDE}{stamp}"
    aside = psycopg.sql.Identifier(name)
    with connect(database_url) as connection:
        connection.execute(psycopg.sql.SQL("ALTER SCHEMA public RENAME TO {}").format(aside))
        connection.execute("CREATE SCHEMA public")
    try:
        yield name
    except BaseException:
        with connect(database_url) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute(psycopg.sql.SQL("ALTER SCHEMA {} RENAME TO public").format(aside))
        raise
