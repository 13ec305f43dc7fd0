"""Whole conversations, staff included, through the real signed webhook and a carrier that speaks Twilio."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from messages.triage.catalogue import catalogue
from service.runtime import Runtime, make_runtime
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import StandIn, settings_of
from tests.transcript import FOLDER, PUBLIC, Play, load

FILES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn().start()
    yield standin
    standin.stop()


@pytest.fixture
def live(database_url: str, standin: StandIn, clock: SetClock) -> Iterator[Runtime]:
    values = settings_of(standin) | {"public_url": PUBLIC, "pace": 0}
    runtime = make_runtime(settings_for(database_url, **values), clock=clock)
    yield runtime
    runtime.close()


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_transcript(path: Path, live: Runtime, standin: StandIn, clock: SetClock) -> None:
    Play(load(path), live, standin, clock).run()


def test_there_are_at_least_twenty_five_and_they_show_every_red_flag() -> None:
    assert len(FILES) >= 25
    shown: set[str] = set()
    for path in FILES:
        for step in tomllib.loads(path.read_text(encoding="utf-8"))["steps"]:
            shown.update(step.get("concepts", []))
    assert set(RED_FLAGS) - shown == set()


RED_FLAGS = sorted(catalogue().urgency_of)


@pytest.mark.parametrize("fault", ["urgncy = 'none'", "say = 'hello'"])
def test_a_transcript_with_a_misspelt_or_missing_expectation_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f"title = 'x'\nclock = '2027-03-01 10:00'\n[[steps]]\n{fault}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="wrong.toml"):
        load(path)
