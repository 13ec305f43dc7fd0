"""Short form of ``make chaos``: real workers killed with kill -9 in the middle of sending, then a count."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from threading import Event

import pytest
from sqlmodel import select

from service import dispatch, outbox, reconcile
from service.db import session_on
from service.models import OutboundMessage
from service.runtime import Runtime, make_runtime
from tests.conftest import SECRET, SetClock, settings_for
from tests.standin_carrier import StandIn, settings_of

REPOSITORY = Path(__file__).parent.parent
TEXTS, KILLS = 48, 2


@pytest.fixture
def untidy() -> Iterator[StandIn]:
    """A carrier with every fault at once, and slow enough to be caught in the middle."""
    rates = {"429": 0.05, "503": 0.03, "accept_500": 0.03, "accept_drop": 0.03, "drop": 0.03, "slow": 0.5}
    standin = StandIn(rates=rates, slow_seconds=0.1, retry_after="0.1").start()
    yield standin
    standin.stop()


def worker(database_url: str, standin: StandIn, log: Path) -> "subprocess.Popen[bytes]":
    values = {"database_url": database_url, "secret_key": SECRET, "pace": "0"} | settings_of(standin)
    env = {name: value for name, value in os.environ.items() if not name.startswith("AFTERCARE_")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # each start would compile everything anew
    env["PYTHONPYCACHEPREFIX"] = str(Path(gettempdir()) / "aftercare-bytecode")
    env |= {f"AFTERCARE_{name.upper()}": value for name, value in values.items()}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "service", "work"], cwd=REPOSITORY, env=env, stdout=output, stderr=output
        )


def kill_in_the_middle(database_url: str, standin: StandIn, log: Path) -> None:
    """Let a worker send a few texts, then take it away without a word."""
    before = sum(standin.posts.values())
    process, patience = worker(database_url, standin, log), Event()
    for _ in range(3000):
        if sum(standin.posts.values()) >= before + 6 or process.poll() is not None:
            break
        patience.wait(0.01)
    assert process.poll() is None, log.read_text()
    process.kill()
    process.wait()


def unsettled(runtime: Runtime) -> int:
    with session_on(runtime.engine) as session:
        states = session.exec(select(OutboundMessage.status)).all()
    return sum(state not in ("accepted", "sent", "delivered") for state in states)


def test_each_phone_gets_each_text_exactly_once_whoever_dies(
    database_url: str, untidy: StandIn, tmp_path: Path
) -> None:
    settings = settings_for(database_url, pace=0, **settings_of(untidy))
    real = make_runtime(settings)
    now = real.clock()
    with session_on(real.engine) as session:
        for number in range(TEXTS):
            outbox.queue(
                session,
                now=now,
                key=f"{number}",
                kind=("notice", "safety", "member")[number % 3],
                to_phone=f"+1312555{number:04d}",
                body=f"Text {number}",
                expires_at=now + timedelta(hours=6),
            )
        session.commit()
    for _ in range(KILLS):
        kill_in_the_middle(database_url, untidy, tmp_path / "work.log")
    clock = SetClock(real.clock())
    real.close()
    after = make_runtime(settings, clock=clock)  # the next start; its minute passes in no time
    for _ in range(40):
        reconcile.settle(after, clock.advance(seconds=2))
        dispatch.send_due(after, clock.now)
    assert unsettled(after) == 0
    assert len(untidy.texts()) == TEXTS and set(untidy.texts().values()) == {1}
    after.close()
