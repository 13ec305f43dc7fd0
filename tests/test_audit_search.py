"""The audit trail is searched and handed out, and whoever takes it is in it too."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service import audit, audit_search
from service.__main__ import app
from service.audit_search import Wanted
from service.db import session_on
from service.models import AuditEvent
from service.runtime import Runtime
from tests import clinic
from tests.conftest import SECRET, SetClock
from tests.web_clinic import browser_of, words_of


def write(runtime: Runtime, action: str, actor: str = "kim", **values: str) -> None:
    with session_on(runtime.engine) as session:
        audit.record(session, now=runtime.clock(), actor=actor, action=action, **values)
        session.commit()


def found(runtime: Runtime, **values: object) -> set[str]:
    with session_on(runtime.engine) as session:
        where = audit_search.condition(Wanted(**values))  # type: ignore[arg-type]
        return {row.action for row in audit_search.newest(session, where, 100)}


def test_every_part_of_the_search(runtime: Runtime, clock: SetClock) -> None:
    write(runtime, "one", "kim@clinic.example", subject_kind="member", subject_id="m1")
    clock.advance(hours=1)
    write(runtime, "two 50%_x", "hospital", subject_kind="token", subject_id="t1")
    clock.advance(hours=1)
    write(runtime, "three", "KIM@clinic.example")
    now = clock()
    assert found(runtime) == {"one", "two 50%_x", "three"}
    assert found(runtime, who="kim@") == {"one", "three"}
    assert found(runtime, what="50%_") == {"two 50%_x"} and found(runtime, what="5_%") == set()
    assert found(runtime, kind="member") == {"one"} and found(runtime, about="t1") == {"two 50%_x"}
    assert found(runtime, since=now) == {"three"}
    assert found(runtime, until=now) == {"one", "two 50%_x"}
    assert found(runtime, since=now - timedelta(hours=1), until=now) == {"two 50%_x"}


def test_a_patients_id_finds_what_is_theirs(runtime: Runtime) -> None:
    ana, ben = clinic.enroll(runtime), clinic.enroll(runtime, clinic.BEN, "Ben Roe")
    clinic.text(runtime, clinic.ANA, "my left foot is numb")
    row = clinic.the_escalation(runtime, patient_id=ana.patient_id)
    write(runtime, "look at ana", subject_kind="patient", subject_id=ana.patient_id)
    write(runtime, "look at her alarm", subject_kind="escalation", subject_id=row.id)
    write(runtime, "look at ben", subject_kind="patient", subject_id=ben.patient_id)
    seen = found(runtime, about=ana.patient_id)
    assert {"look at ana", "look at her alarm", "enroll patient"} <= seen and "look at ben" not in seen


def test_the_page_finds_pages_through_and_exports(runtime: Runtime, clock: SetClock) -> None:
    browser = browser_of(runtime, role="admin")
    for number in range(130):
        write(runtime, f"act {number:03d}", "=kim" if number % 2 else "lee")
        clock.advance(seconds=1)
    page = browser.text("/audit?what=act")
    assert "act 129" in page and "act 000" not in page
    older = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "act 000" in browser.text(older) and "act 129" not in browser.text(older)
    lines = list(csv.DictReader(io.StringIO(browser.text("/audit/export?what=act&who=kim&format=csv"))))
    assert [line["action"] for line in lines] == [f"act {number:03d}" for number in range(1, 130, 2)]
    assert {line["actor"] for line in lines} == {"'=kim"}
    answer = browser.get("/audit/export?what=act&format=jsonl")
    assert "attachment" in answer.headers["content-disposition"]
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 130 and rows[1]["actor"] == "=kim"
    assert browser.get("/audit/export?format=xml").status_code == 404
    said = clinic.rows(runtime, AuditEvent, AuditEvent.action == "export audit trail")
    assert [(row.actor, row.detail["format"]) for row in said] == [
        (browser.member.email, "csv"),
        (browser.member.email, "jsonl"),
    ]
    assert said[0].detail["who"] == "given"  # what was typed may be anything


@pytest.mark.parametrize("query", ["from=x", "to=2027-13-01", "to=9999-12-31", "from=2027-03-01T00:00"])
def test_a_day_that_is_none_is_said(runtime: Runtime, query: str) -> None:
    answer = browser_of(runtime, role="admin").get(f"/audit?{query}")
    assert answer.status_code == 422 and "2027-03-12" in words_of(answer.text)


def test_days_are_the_clinics_own_and_the_last_is_included(runtime: Runtime, clock: SetClock) -> None:
    browser = browser_of(runtime, role="admin")
    clock.now = clock.now.replace(month=3, day=3, hour=5, minute=30)  # the evening of the 2nd in Chicago
    write(runtime, "late act")
    assert "late act" in browser_of(runtime, "Lee Admin", role="admin").text(
        "/audit?from=2027-03-02&to=2027-03-02"
    )
    third = browser_of(runtime, "Sam Admin", role="admin").text("/audit?from=2027-03-03")
    assert "late act" not in third
    assert browser.get("/audit").status_code == 303  # and that one has gone home


def test_more_than_a_batch_is_exported_whole(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_search, "BATCH", 7)
    for number in range(30):  # all of one moment: only the id tells them apart
        write(runtime, f"act {number}")
    lines = "".join(audit_search.export(runtime, audit_search.condition(Wanted()), "jsonl")).splitlines()
    assert sorted(json.loads(line)["action"] for line in lines) == sorted(f"act {n}" for n in range(30))


def test_the_command(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", database_url)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", SECRET)
    run = CliRunner()
    assert run.invoke(app, ["token", "add", "=cmd"]).exit_code == 0
    first = run.invoke(app, ["audit", "export"])
    rows = [json.loads(line) for line in first.stdout.splitlines()]
    assert {row["action"] for row in rows} >= {"export audit trail"}
    table = run.invoke(app, ["audit", "export", "--format", "csv"])
    assert table.stdout.startswith('"at","actor"')
    assert run.invoke(app, ["audit", "export", "--since", "2100-01-01"]).stdout == ""
    assert run.invoke(app, ["audit", "export", "--since", "soon"]).exit_code == 2
    assert run.invoke(app, ["audit", "export", "--format", "xml"]).exit_code == 2
