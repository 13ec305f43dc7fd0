"""Marked names, numbers and words go through the whole service; where they must not be is searched for them.

Patient detail may stand on signed-in pages, in the API's answers to a token, and in texts to the patient. It
may not stand in logs, figures, errors, addresses, page titles, texts to staff or the audit trail.
"""

import json
import logging
import re
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlmodel import Session, col, select
from typer.testing import CliRunner

from jobs.scheduler import JOBS, tick
from service.__main__ import app
from service.accounts import add_member
from service.db import session_on
from service.logs import QUIET, JsonLines, PlainLines
from service.models import AuditEvent, Escalation, IdempotencyKey, Mark, OutboundMessage, Reply, SignInAttempt
from service.runtime import Runtime, make_runtime
from tests.api_client import bearer, client_of, enroll, enrollment_body, token_for
from tests.conftest import SECRET, SetClock, settings_for
from tests.standin_carrier import StandIn, inbound_form, settings_of, sign

NAME, PHONE, CAREGIVER = "Zebulonia Markwart", "+13125550187", "+13125550188"
WORDS = "I have chest pain, quixotic xylograph"
NOTE = "ventriloquist said so"
MARKS = ("zebulonia", "markwart", "5550187", "5550188", "quixotic", "xylograph", "ventriloquist")
PASSWORD = "a long pass phrase 7"
BASE = "http://127.0.0.1:8000"


class Outputs:
    """Everything that came out, by kind; each is searched for every mark."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    def add(self, kind: str, *words: str) -> None:
        self.found.setdefault(kind, []).extend(words)

    def leaks(self) -> list[str]:
        return [
            f"{kind}: {mark} in {word[:200]}"
            for kind, words in self.found.items()
            for word in words
            for mark in MARKS
            if mark in word.lower()
        ]


class Both(logging.Handler):
    """Every record in both forms in which the service can log."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__(logging.DEBUG)
        self.outputs, self.forms = outputs, (JsonLines(), PlainLines())

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("httpx"):  # the tests' own client
            return
        self.outputs.add("log lines", *(form.format(record) for form in self.forms))


@pytest.fixture
def outputs() -> Iterator[Outputs]:
    outputs = Outputs()
    listener = Both(outputs)
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)  # as start_logging does
    root.addHandler(listener)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    yield outputs
    root.removeHandler(listener)
    root.setLevel(before)


@pytest.fixture
def live(database_url: str, clock: SetClock) -> Iterator[tuple[Runtime, StandIn]]:
    standin = StandIn().start()
    runtime = make_runtime(settings_for(database_url, pace=0, **settings_of(standin)), clock=clock)
    yield runtime, standin
    runtime.close()
    standin.stop()


def test_no_mark_comes_out_anywhere(
    live: tuple[Runtime, StandIn],
    clock: SetClock,
    outputs: Outputs,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", live[0].settings.database_url)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", SECRET)
    runtime, standin = live
    program, browser = client_of(runtime), client_of(runtime)
    program.headers.update(bearer(token_for(runtime)))
    csrf = _sign_in(runtime, browser)
    patient = enroll(
        program, clock(), patient__name=NAME, patient__phone=PHONE, patient__caregiver_phone=CAREGIVER,
        patient__caregiver_consent=True,
    )["patient_id"]  # fmt: skip
    _tick(runtime, clock)
    for phone, words in ((PHONE, WORDS), (CAREGIVER, f"she is worse, {WORDS}"), ("+13125550999", WORDS)):
        assert _text(program, standin, phone, words) == 200
    _refused_webhooks(program, standin)
    _tick(runtime, clock)
    _act(program, browser, csrf, runtime, patient)
    _look(browser, outputs, patient, runtime)
    _hand_out(browser, csrf, outputs, patient, runtime)
    _run_commands(runtime, outputs, patient, folder)
    _wrong_requests(program, outputs, patient, clock)
    _break(runtime, program, standin, clock, outputs)
    _stored(runtime, outputs, standin)
    runtime.bound_host = "127.0.0.1"
    counts = {kind: len(words) for kind, words in outputs.found.items()}
    assert set(counts) >= {
        "log lines", "titles", "addresses", "errors", "audit", "texts to staff", "notifications",
        "audit files", "file names", "commands", "manifests", "redacted texts",
    }  # fmt: skip
    assert sum(counts.values()) > 1200 and counts["log lines"] > 60 and min(counts.values()) > 0, counts
    assert outputs.leaks() == []
    with capsys.disabled():
        print(f" [{sum(counts.values())} outputs searched: {counts}] ", end="")  # noqa: T201


def _sign_in(runtime: Runtime, browser: TestClient) -> str:
    with session_on(runtime.engine) as session:
        add_member(
            session, now=runtime.clock(), email="kim@clinic.example", name="Kim", role="admin",
            phone="+13125550190", password=PASSWORD, on_call=1,
        )  # fmt: skip
    browser.post("/sign-in", data={"email": "kim@clinic.example", "password": PASSWORD})
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/me").text)
    assert found
    return found[1]


def _tick(runtime: Runtime, clock: SetClock) -> None:
    for job in JOBS:
        tick(runtime, job, {})
    clock.advance(seconds=30)
    for job in JOBS:
        tick(runtime, job, {})


def _text(client: TestClient, standin: StandIn, phone: str, words: str) -> int:
    form = inbound_form(standin.write(phone, words))
    answer = client.post("/twilio/inbound", data=form, headers=sign(f"{BASE}/twilio/inbound", form))
    return answer.status_code


def _refused_webhooks(client: TestClient, standin: StandIn) -> None:
    form = inbound_form(standin.write(PHONE, WORDS))
    assert client.post("/twilio/inbound", data=form).status_code == 403
    shifted = sign(f"{BASE}/twilio/inbound", form)
    assert (
        client.post("/twilio/inbound", data={**form, "AccountSid": "x"}, headers=shifted).status_code == 403
    )
    assert client.post("/twilio/inbound", content=f"Body={WORDS}&{'x' * 70_000}").status_code in (403, 413)


def _act(program: TestClient, browser: TestClient, csrf: str, runtime: Runtime, patient: str) -> None:
    with session_on(runtime.engine) as session:
        row = session.exec(select(Escalation.id).where(Escalation.patient_id == patient)).first()
    assert row is not None
    assert program.post(f"/api/v1/escalations/{row}/acknowledge", json={}).status_code == 200
    contact = {"method": "phone", "note": NOTE}
    assert program.post(f"/api/v1/escalations/{row}/contact", json=contact).status_code == 200
    key = {"Idempotency-Key": "a key"}
    sent = program.post(f"/api/v1/patients/{patient}/messages", json={"body": f"{NAME}: {NOTE}"}, headers=key)
    assert sent.status_code == 202
    for act in ("note", "text"):
        browser.post(f"/escalations/{row}/{act}", data={"csrf": csrf, "note": NOTE, "body": NOTE})


def _look(browser: TestClient, outputs: Outputs, patient: str, runtime: Runtime) -> None:
    """Every page a member sees: its title and every address on it, and the figures."""
    seen, ahead = set(), ["/", f"/patients/{patient}", "/audit", "/scoreboard", f"/patients?q={patient[:4]}"]
    while ahead and len(seen) < 60:
        path = ahead.pop(0)
        if path in seen:
            continue
        seen.add(path)
        page = browser.get(path)
        outputs.add("addresses", path, page.headers.get("location", ""), str(page.headers))
        if not page.headers.get("content-type", "").startswith("text/html"):
            continue
        outputs.add("titles", *re.findall(r"<title>(.*?)</title>", page.text, re.DOTALL))
        places = re.findall(r'(?:href|src|action|hx-[a-z]+)="(/[^"]*)"', page.text)
        outputs.add("addresses", *places)
        ahead += [place for place in places if not place.startswith(("/static", "/sign", "/live"))]
    assert len(seen) > 10
    runtime.bound_host = "127.0.0.1"
    outputs.add("figures", browser.get("/metrics").text, browser.get("/readyz").text)
    runtime.bound_host = ""


def _hand_out(browser: TestClient, csrf: str, outputs: Outputs, patient: str, runtime: Runtime) -> None:
    """Files members take, a hold with its reason, a redacted text: names and notes of these say nothing."""
    fields = {"csrf": csrf, "reason": NOTE}
    record = browser.post(f"/patients/{patient}/export", data=fields)
    assert record.status_code == 200
    with ZipFile(BytesIO(record.content)) as archive:
        outputs.add("file names", *archive.namelist())
    for path in ("/audit/export?format=csv", f"/audit/export?format=jsonl&about={patient}&who={NAME}"):
        taken = browser.get(path)
        outputs.add("audit files", *taken.text.splitlines())
        record.headers.update({f"x-{len(path)}": taken.headers["content-disposition"]})
    outputs.add("file names", *record.headers.values())
    assert browser.post(f"/patients/{patient}/hold", data=fields).status_code == 303
    outputs.add("addresses", str(browser.post(f"/patients/{patient}/hold", data=fields).headers))
    assert browser.post(f"/patients/{patient}/hold/lift", data=fields).status_code == 303
    with session_on(runtime.engine) as session:
        texts = session.exec(select(Reply).where(Reply.from_phone == "+13125550999")).all()
    for text_ in texts:
        asked = browser.get(f"/replies/{text_.id}/redact")
        outputs.add("titles", *re.findall(r"<title>(.*?)</title>", asked.text, re.DOTALL))
        done = browser.post(f"/replies/{text_.id}/redact", data={"csrf": csrf, "why": "wrong_person"})
        assert done.status_code == 303
        outputs.add("addresses", str(done.headers))
        outputs.add("redacted texts", browser.get(f"/replies/{text_.id}/redact").text)
    page = browser.get("/").text  # what a desktop notification says stands on the page, for every page alike
    outputs.add("notifications", *re.findall(r"data-words=\"([^\"]*)\"", page))


def _run_commands(runtime: Runtime, outputs: Outputs, patient: str, folder: Path) -> None:
    """What operators see on their terminals, and what a backup says of itself."""
    runtime.engine.dispose()
    root = logging.getLogger()
    handlers = root.handlers[:]
    file = str(folder / "one.aftercare-backup")
    for words in (
        ["retention", "preview"], ["retention", "run"], ["patient", "export", patient], ["hold", "list"],
        ["audit", "export"], ["audit", "verify"], ["backup", file], ["restore", file],
    ):  # fmt: skip
        said = CliRunner().invoke(app, words)
        outputs.add("commands", said.output)
        root.handlers[:] = handlers  # each command sets up logging of its own, to its standard error
    with tarfile.open(file) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        outputs.add("manifests", manifest.read().decode())
        outputs.add("file names", *archive.getnames(), *(path.name for path in folder.iterdir()))


def _wrong_requests(program: TestClient, outputs: Outputs, patient: str, clock: SetClock) -> None:
    """Faults name the field, never what was in it."""
    wrong = enrollment_body(clock(), patient__name=NAME, patient__phone=PHONE + "9" * 9, baseline_pain=WORDS)
    for method, path, body in (
        ("POST", "/api/v1/enrollments", wrong),
        ("POST", "/api/v1/enrollments", enrollment_body(clock(), patient__name=NAME, patient__phone=PHONE)),
        ("POST", "/api/v1/enrollments", {"patient": f"{NAME} {PHONE}"}),
        ("PATCH", f"/api/v1/enrollments/{patient}", {"procedure_at": WORDS}),
        ("POST", f"/api/v1/patients/{patient}/messages", {"body": [WORDS], "member": NAME}),
        ("GET", f"/api/v1/audit?since={NAME}", None),
        ("GET", f"/api/v1/escalations?status={NAME}", None),
    ):
        answer = program.request(method, path, json=body)
        assert 400 <= answer.status_code < 500, answer.text
        outputs.add("errors", answer.text, str(answer.headers))


def _break(
    runtime: Runtime, program: TestClient, standin: StandIn, clock: SetClock, outputs: Outputs
) -> None:
    """Faults of our own, whose exceptions hold what patients wrote: a table is gone in the middle of work."""
    for table in ("assessments", "plan_items", "audit_events", "replies"):
        with runtime.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {table}_gone"))
        status = _text(program, standin, PHONE, WORDS)
        assert status == 503 if table == "replies" else status in (200, 503)
        _tick(runtime, clock)
        body = enrollment_body(clock(), patient__name=f"{NAME} {table}", patient__phone=PHONE)
        answer = program.post("/api/v1/enrollments", json=body)
        outputs.add("errors", answer.text, str(answer.headers))
        with runtime.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table}_gone RENAME TO {table}"))
    assert any("error_id" in word for word in outputs.found["errors"])


def _stored(runtime: Runtime, outputs: Outputs, standin: StandIn) -> None:
    with session_on(runtime.engine) as session:
        outputs.add("audit", *(json.dumps(row) for row in _rows(session, AuditEvent)))
        outputs.add("marks", *(json.dumps(row) for row in _rows(session, Mark)))
        outputs.add("sign-ins", *(json.dumps(row) for row in _rows(session, SignInAttempt)))
        outputs.add("keys of repeats", *(row.key for row in session.exec(select(IdempotencyKey))))
        pages = select(OutboundMessage.body).where(col(OutboundMessage.kind) == "page")
        outputs.add("texts to staff", *session.exec(pages))
    outputs.add("texts to staff", *standin.got("+13125550190"))


def _rows(session: Session, table: Any) -> list[Any]:
    return [row.model_dump(mode="json") for row in session.exec(select(table))]
