"""Real parts for every test: a fresh database (SQLite and PostgreSQL), a clock that only moves when told."""

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from service.db import make_engine, upgrade
from service.index_keys import adopt
from service.keyring import Keyring, new_key_line
from service.runtime import Runtime, make_runtime
from service.settings import Settings

MONDAY_MORNING = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)  # 10:00 in Chicago
SECRET = "0123456789abcdef" * 4


class SetClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = MONDAY_MORNING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        self.now += timedelta(**duration)
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


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
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "check": True}
    subprocess.run(
        [*as_owner, binaries / "initdb", "-D", data, "-U", "app", "--auth=trust", "-E", "UTF8", "--no-sync"],
        **quiet,
    )
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    control = [*as_owner, binaries / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://app@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def _admin(server: str, statement: str) -> None:
    with psycopg.connect(server.replace("+psycopg", "") + "/postgres", autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    _admin(postgres_server, "CREATE DATABASE template_aftercare")
    engine = make_engine(f"{postgres_server}/template_aftercare")
    upgrade(engine)
    engine.dispose()
    return "template_aftercare"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite database."""
    path = tmp_path / "aftercare.sqlite3"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    _admin(postgres_server, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield f"{postgres_server}/{name}"
    _admin(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


# Whole courses that must go the same way when the database is sealed: they run a third time with a keyring.
SEALED_TOO = {
    "test_transcripts",
    "test_inbox",
    "test_escalations",
    "test_enrollments",
    "test_plan",
    "test_paging",
    "test_reconcile",
    "test_receipts",
    "test_api_escalations",
    "test_api_enrollments",
    "test_api_messages",
    "test_web_patients",
    "test_web_phones",
    "test_web_queue",
    "test_web_escalation",
    "test_web_webhooks",
    "test_leaks",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        kinds = ["sqlite", "postgresql"]
        kinds += ["sqlite-sealed"] if metafunc.module.__name__.rpartition(".")[2] in SEALED_TOO else []
        metafunc.parametrize("database_url", kinds, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs on SQLite, on PostgreSQL and, where it is a course, sealed."""
    kind, _, is_sealed = request.param.partition("-")
    url = str(request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url"))
    if is_sealed:
        seal(url, request.getfixturevalue("monkeypatch"))
    return url


def seal(database_url: str, monkeypatch: pytest.MonkeyPatch, line: str = "") -> str:
    """Switch encryption on, for this database and for whatever reads its settings in this test."""
    line = line or new_key_line("t1")
    monkeypatch.setenv("AFTERCARE_ENCRYPTION_KEYS", line)
    engine = make_engine(database_url, ring=Keyring.parse(line))
    adopt(engine, MONDAY_MORNING)
    engine.dispose()
    return line


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url, ring=settings_for(database_url).keyring)
    yield engine
    engine.dispose()


def settings_for(database_url: str, **values: object) -> Settings:
    """Settings of a small clinic on the simulator, read from nowhere but these values."""
    defaults: dict[str, object] = {
        "database_url": database_url,
        "secret_key": SECRET,
        "clinic_name": "Lakeside Spine Center",
        "clinic_phone": "312-555-0142",
        "timezone": "America/Chicago",
        "public_url": "http://127.0.0.1:8000",
        "allowed_hosts": "testserver",
    }
    return Settings(_env_file=None, **(defaults | values))


@pytest.fixture
def runtime(database_url: str, clock: SetClock) -> Iterator[Runtime]:
    """A whole process on the simulator, with the clock of the test."""
    runtime = make_runtime(settings_for(database_url), clock=clock)
    yield runtime
    runtime.close()
