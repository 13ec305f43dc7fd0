"""A made-up clinic, played: nothing doubled, nothing lost, and the same seed plays the same course."""

import re

import pytest
from typer.testing import CliRunner

from jobs.scheduler import JOBS
from service.__main__ import app
from service.simulation import play


def figures(lines: list[str]) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def test_two_days_of_a_small_clinic_lose_and_double_nothing() -> None:
    lines = list(play([job.run for job in JOBS], patients=4, days=2, seed=7))
    assert lines[0] == "4 patients, 2 days, seed 7"
    found = figures(lines)
    assert (found["doubles"], found["lost"]) == ("0", "0")
    assert int(found["texts that reached a phone"]) > 20 and int(found["replies"]) > 5
    assert list(play([job.run for job in JOBS], patients=4, days=2, seed=7)) == lines


def test_the_command_prints_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERCARE_CARRIER", "twilio")  # whatever is set, no text leaves this machine
    done = CliRunner().invoke(app, ["simulate", "--patients", "2", "--days", "1", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert re.search(r"^doubles: 0$", done.stdout, re.MULTILINE)
    assert re.search(r"^lost: 0$", done.stdout, re.MULTILINE)
