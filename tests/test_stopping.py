"""Real processes asked to stop: texts in hand are finished, claims given back, and no stream holds them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest
from sqlmodel import select

from service import outbox
from service.accounts import add_member
from service.db import session_on
from service.models import OutboundMessage
from service.runtime import Runtime, make_runtime
from tests.conftest import SECRET, settings_for
from tests.databases import free_port
from tests.standin_carrier import StandIn, settings_of

REPOSITORY = Path(__file__).parent.parent
PASSWORD = "a long good passphrase 7"
TEXTS = 60


@pytest.fixture
def slow() -> Iterator[StandIn]:
    standin = StandIn(rates={"slow": 1.0}, slow_seconds=0.3, receipts=()).start()
    yield standin
    standin.stop()


def start(database_url: str, log: Path, *arguments: str, **values: str) -> "subprocess.Popen[bytes]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("AFTERCARE_")}
    given = {"database_url": database_url, "secret_key": SECRET, "pace": "0"} | values
    env |= {f"AFTERCARE_{name.upper()}": value for name, value in given.items()}
    with log.open("ab") as output:
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=output, stderr=output)


def until(condition, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 60) -> None:
    patience, end = Event(), time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
        patience.wait(0.01)


def queue(runtime: Runtime) -> None:
    with session_on(runtime.engine) as session:
        for number in range(TEXTS):
            outbox.queue(
                session, now=runtime.clock(), key=f"{number}", kind="notice",
                to_phone=f"+1312555{number:04d}", body=f"Text {number}",
                expires_at=runtime.clock() + timedelta(hours=1),
            )  # fmt: skip
        session.commit()


def test_a_worker_that_is_asked_to_stop_finishes_what_it_holds(
    database_url: str, slow: StandIn, tmp_path: Path
) -> None:
    runtime, log = make_runtime(settings_for(database_url)), tmp_path / "work.log"
    queue(runtime)
    process = start(database_url, log, "work", **settings_of(slow))
    until(lambda: len(slow.texts()) >= 3, process, log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log.read_text()[-2000:]
    with session_on(runtime.engine) as session:
        rows = session.exec(select(OutboundMessage)).all()
    states = {state: sum(row.status == state for row in rows) for state in ("planned", "claimed", "accepted")}
    got = slow.texts()
    assert states == {"planned": TEXTS - len(got), "claimed": 0, "accepted": len(got)}
    assert set(got.values()) == {1} and len(got) < TEXTS, "it did not send them all first"
    assert all(row.attempts == 0 for row in rows if row.status == "planned"), "never offered"
    runtime.close()


def test_an_open_stream_does_not_hold_the_stop_of_the_web(sqlite_url: str, tmp_path: Path) -> None:
    runtime, log, port = make_runtime(settings_for(sqlite_url)), tmp_path / "web.log", free_port()
    with session_on(runtime.engine) as session:
        who = {"email": "kim@clinic.example", "name": "Kim", "role": "nurse", "phone": None}
        add_member(session, now=runtime.clock(), password=PASSWORD, **who)
    runtime.close()
    address = f"http://127.0.0.1:{port}"
    process = start(sqlite_url, log, "web", "--port", str(port), public_url=address)

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, process, log)
    with httpx.Client(base_url=address, timeout=20) as kim:
        kim.post("/sign-in", data={"email": "kim@clinic.example", "password": PASSWORD, "next": "/"})
        with kim.stream("GET", "/live", params={"topic": "queue"}) as stream:
            lines = stream.iter_lines()
            assert any(line == "event: state" for line in lines)
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for _ in lines:
                pass  # the stream ends by itself
    process.wait(20)
    assert time.monotonic() - asked < 15
    assert "Traceback" not in log.read_text()
