"""Real parts for every test: a fresh database (SQLite and PostgreSQL), a clock that only moves when told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from xdist.scheduler.loadscope import LoadScopeScheduling

from service.db import make_engine
from service.index_keys import adopt
from service.keyring import Keyring, new_key_line
from service.runtime import Runtime, make_runtime
from service.settings import Settings
from tests import dialects, spared
from tests.databases import (
    postgres_databases,
    postgres_server,
    postgres_url,
    sqlite_folder,
    sqlite_template,
    sqlite_url,
)
from tests.spared import one_event_loop

__all__ = [  # fixtures of other files are everybody's
    "one_event_loop",
    "postgres_databases",
    "postgres_server",
    "postgres_url",
    "sqlite_folder",
    "sqlite_template",
    "sqlite_url",
]

dialects.keep_dialects()
spared.spare_passwords()

MONDAY_MORNING = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)  # 10:00 in Chicago
SECRET = "0123456789abcdef" * 4


# A browser or a played clinic is made once for each of these: one worker takes all of it, before the rest.
WHOLE = ("test_demo.py", "test_web_axe.py", "test_web_browser.py", "test_web_night.py")


class InTurn(LoadScopeScheduling):
    """Each test to whichever worker is free. (The marker ``xdist_group`` does nothing under pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(WHOLE) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return InTurn(config, log)


class SetClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now: datetime = MONDAY_MORNING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        self.now += timedelta(**duration)
        return self.now


@pytest.fixture(autouse=True)
def _learnt_statements() -> Iterator[None]:
    """Around everything else of a test: its engines are let go of when the rest of it is done."""
    with dialects.lending():
        yield


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


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
