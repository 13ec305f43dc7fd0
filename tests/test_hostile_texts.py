"""Hostile words from phones, forms and programs: kept as they came, harmless wherever they are shown."""

import csv
import io
import re
from html import unescape
from urllib.parse import quote

from sqlmodel import select

from service.db import session_on
from service.models import Patient, Reply
from service.runtime import Runtime
from tests.api_client import PHONE, enroll, enrollment_body, problem, signed_client
from tests.conftest import SetClock
from tests.test_api_messages import text_from
from tests.test_routes import member_client

TEXTS = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7} <%= 7*7 %>",
    "\"><svg/onload=alert(1)>' onmouseover='alert(1)",
    "\u202egnp.exe\u202c \u200b\u200d \ufeff zero width",
    '=HYPERLINK("http://evil.example","x") +1 -1 @SUM(A1)',
    "line one\r\nSet-Cookie: x=y\r\n\r\n<html>",
    "' OR '1'='1'; DROP TABLE replies; --",
    "\x01\x02\x1b[31m bell \x07 tab\t",
    "a" * 1600,
    "ü" * 1600 + "👩‍👩‍👧‍👦",
    "&lt;b&gt; &amp; javascript:alert(1)",
    "   ",
    "😀" * 500,
    "\u0000NUL inside",
)


FIELDS = "name email role phone tier member starts_at body language timezone".split()


def test_every_text_is_kept_and_shown_as_text(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    patient = enroll(client, clock())["patient_id"]
    ids = [text_from(runtime, words, number=number) for number, words in enumerate(TEXTS, 1)]
    with session_on(runtime.engine) as session:
        stored = {row.id: row.body for row in session.exec(select(Reply))}
    assert len(stored) == len(TEXTS)
    for row_id, words in zip(ids, TEXTS, strict=True):
        assert stored[row_id].replace("\ufffd", "").replace("\0", "") == words.replace("\0", "")
    listed = client.get(f"/api/v1/patients/{patient}/messages?limit=1000").json()["items"]
    assert {item["body"] for item in listed if item["direction"] == "in"} == set(stored.values())

    browser, _csrf = member_client(runtime, "nurse")
    pages = [browser.get(f"/patients/{patient}"), browser.get("/")]
    pages += [
        browser.get(path) for path in set(re.findall(r'href="(/escalations/[0-9a-f]{32})"', pages[1].text))
    ]
    assert len(pages) >= 3
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "onerror=alert" not in re.sub(
            r"&lt;.*?&gt;", "", page.text
        )
        assert not re.search(r"<(svg/onload|img src=x)", page.text)
        assert "49 49" not in page.text and not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page.text)
    shown = unescape(pages[0].text)
    assert "<script>alert(1)</script>" in shown and "{{ 7 * 7 }}" in shown


def test_hostile_names_are_refused_or_shown_as_text(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    for number, words in enumerate(TEXTS):
        body = enrollment_body(clock(), patient__name=words[:120], patient__phone=f"+131255502{number:02d}")
        answer = client.post("/api/v1/enrollments", json=body)
        if answer.status_code != 201:
            assert set(problem(answer, 422)["errors"]) == {"patient.name"}
    with session_on(runtime.engine) as session:
        names = session.exec(select(Patient.name)).all()
    assert 4 <= len(names) < len(TEXTS)
    assert all(name.isprintable() for name in names)
    browser, _csrf = member_client(runtime, "nurse")
    page = browser.get("/patients")
    assert page.status_code == 200 and "<script>alert" not in page.text and "<svg/onload" not in page.text


def test_hostile_words_in_addresses_of_pages_are_never_a_fault(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    patient = enroll(client, clock())["patient_id"]
    reply = text_from(runtime, "hello", number=1)
    browser, csrf = member_client(runtime, "admin")
    for words in (*TEXTS[:8], "%00", "%ff%fe", "\ud83d", "..%2f..%2fetc%2fpasswd", "-1", "9" * 60):
        given = quote(words.encode("utf-8", "replace")) if not words.startswith("%") else words
        for path in (
            f"/patients?q={given}&page={given}",
            f"/?status={given}&urgency={given}&page={given}",
            f"/audit?q={given}&since={given}&page={given}",
            f"/audit?who={given}&what={given}&kind={given}&about={given}",
            f"/audit?from={given}&to={given}&before={given}",
            f"/audit/export?who={given}&about={given}&format=csv",
            f"/audit/export?format={given}",
            f"/replies/{reply}/redact?back={given}",
            f"/patients/{given}",
            f"/escalations/{given}",
            f"/protocols/{given}",
            f"/phones/{given}",
            f"/static/{given}",
            f"/sign-in?next={given}",
            f"/sign-in/new/{given}",
            f"/live?topic={given}&v={given}" if "%" in given else "/scoreboard?days=x",
            f"/scoreboard?days={given}&from={given}",
        ):
            with browser.stream("GET", path) as answer:
                assert answer.status_code < 500, (path, answer.status_code)
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    continue
                text = answer.read().decode()
            assert "<script>alert" not in text and "root:" not in text, path
        for path in (
            "/me",
            "/enroll",
            "/on-call",
            "/members",
            "/segments",
            f"/patients/{'0' * 32}/text",
            f"/patients/{patient}/hold",
            f"/replies/{reply}/redact",
        ):
            names = (
                "name",
                "email",
                "role",
                "phone",
                "tier",
                "member",
                "starts_at",
                "body",
                "language",
                "timezone",
            )
            answer = browser.post(
                path, data={"csrf": csrf, **dict.fromkeys(names, words.replace("\ud83d", "x"))}
            )
            assert answer.status_code < 500, (path, answer.status_code)


def test_hostile_reasons_of_holds_are_shown_as_text(runtime: Runtime, clock: SetClock) -> None:
    patient = enroll(signed_client(runtime), clock())["patient_id"]
    browser, csrf = member_client(runtime, "clinician")
    for words in TEXTS:
        held = browser.post(f"/patients/{patient}/hold", data={"csrf": csrf, "reason": words})
        assert held.status_code in (303, 422), held.status_code
        if held.status_code == 303:
            lifted = browser.post(f"/patients/{patient}/hold/lift", data={"csrf": csrf, "reason": words})
            assert lifted.status_code == 303
    page = browser.get(f"/patients/{patient}").text
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page and "<svg/onload" not in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", page)


def test_a_sign_in_with_hostile_words_is_refused_like_any_other(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for words in TEXTS:
        answer = client.post("/sign-in", data={"email": words, "password": words, "next": words})
        assert answer.status_code == (422 if "\0" in words else 401)
        assert "<script>alert" not in answer.text


def test_the_sample_file_holds_no_formula(runtime: Runtime) -> None:
    browser, _csrf = member_client(runtime, "nurse")
    rows = list(csv.reader(io.StringIO(browser.get("/enroll/sample.csv").text)))
    assert len(rows) >= 2
    assert not any(cell.startswith(("=", "@", "\t", "-")) for row in rows for cell in row)
    assert PHONE not in str(rows)
