"""The commands about what is kept: retention, holds, backup and restore, as an operator calls them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.runtime import make_runtime
from tests import clinic
from tests.conftest import SECRET, SetClock, settings_for


@pytest.fixture
def called(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", database_url)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", SECRET)
    return CliRunner()


def test_preview_and_run(called: CliRunner) -> None:
    shown = called.invoke(app, ["retention", "preview"])
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert "kept for ever" in lines["patients"] and "kept 90 days" in lines["carrier_log"]
    done = called.invoke(app, ["retention", "run"])
    assert done.exit_code == 0 and "Nothing to delete." in done.stdout


def test_holds(called: CliRunner, database_url: str, clock: SetClock) -> None:
    runtime = make_runtime(settings_for(database_url), clock=clock)
    patient = clinic.enroll(runtime).patient_id
    runtime.close()
    assert called.invoke(app, ["hold", "set", "nobody", "--reason", "x"]).exit_code == 1
    assert called.invoke(app, ["hold", "set", patient]).exit_code == 2
    assert called.invoke(app, ["hold", "set", patient, "--reason", " "]).exit_code == 1
    assert called.invoke(app, ["hold", "set", patient, "--reason", "claim 12"]).exit_code == 0
    again = called.invoke(app, ["hold", "set", patient, "--reason", "claim 13"])
    assert again.exit_code == 1 and "already" in again.output
    assert "claim 12" in called.invoke(app, ["hold", "list"]).stdout
    assert called.invoke(app, ["hold", "lift", patient, "--reason", "settled"]).exit_code == 0
    assert called.invoke(app, ["hold", "list"]).stdout == ""


def test_backup_and_restore(called: CliRunner, tmp_path: Path) -> None:
    assert called.invoke(app, ["retention", "preview"]).exit_code == 0  # makes the database
    file = str(tmp_path / "friday.aftercare-backup")
    made = called.invoke(app, ["backup", file])
    assert made.exit_code == 0 and "SHA-256" in made.stdout, made.output
    assert called.invoke(app, ["backup", file]).exit_code == 1
    refused = called.invoke(app, ["restore", file])
    assert refused.exit_code == 1 and "--replace" in refused.output
    done = called.invoke(app, ["restore", file, "--replace"])
    assert done.exit_code == 0 and "every check passed" in done.stdout, done.output
    assert "nothing is sent twice" in done.stdout
    assert called.invoke(app, ["audit", "verify"]).exit_code == 0
    assert called.invoke(app, ["restore", str(tmp_path / "none")]).exit_code == 1
