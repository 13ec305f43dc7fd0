"""The record on its page: handing it out, holding it, redacting in it; and who may."""

import io
import json
from zipfile import ZipFile

import pytest

from service.models import AuditEvent, LegalHold, OutboundMessage, Redaction, Reply
from service.runtime import Runtime
from tests import clinic
from tests.care_teams import put_in, two_teams
from tests.test_redactions import own_text
from tests.web_clinic import browser_of, words_of

WORDS = "my left foot is numb and quixotic"


def test_a_clinician_downloads_the_record(runtime: Runtime) -> None:
    patient = clinic.enroll(runtime, name="Ana Doe").patient_id
    clinic.text(runtime, clinic.ANA, WORDS)
    browser = browser_of(runtime, role="clinician")
    assert "Download the record" in browser.text(f"/patients/{patient}")
    answer = browser.post(f"/patients/{patient}/export")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="aftercare-record-{patient}.zip"'
    assert "no-store" in answer.headers["cache-control"]
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read("record.json"))["tables"]["replies"][0]["body"] == WORDS
    (row,) = clinic.rows(runtime, AuditEvent, AuditEvent.action == "export patient record")
    assert (row.actor, row.subject_id) == (browser.member.email, patient) and row.address
    assert browser.post(f"/patients/{'0' * 32}/export").status_code == 404


def test_a_nurse_sees_no_such_buttons(runtime: Runtime) -> None:
    patient = clinic.enroll(runtime).patient_id
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    page = browser_of(runtime, role="nurse").text(f"/patients/{patient}")
    assert "Download the record" not in page and f"/replies/{reply.id}/redact" not in page


def test_a_hold_is_set_shown_and_lifted(runtime: Runtime) -> None:
    patient = clinic.enroll(runtime).patient_id
    browser = browser_of(runtime, role="admin")
    assert browser.post(f"/patients/{patient}/hold", reason=" ").status_code == 422
    done = browser.post(f"/patients/{patient}/hold", reason="claim <b>12</b>")
    assert done.status_code == 303 and done.headers["location"] == f"/patients/{patient}?done=hold"
    page = browser.text(f"/patients/{patient}")
    assert "claim &lt;b&gt;12" in page and "Legal hold" in words_of(page)
    assert browser.post(f"/patients/{patient}/hold", reason="again").status_code == 422
    assert browser.post(f"/patients/{patient}/hold/lift", reason="settled").status_code == 303
    (hold,) = clinic.rows(runtime, LegalHold)
    assert (hold.reason, hold.lifted_reason, hold.lifted_by) == (
        "claim <b>12</b>",
        "settled",
        browser.member.email,
    )
    assert "On hold from" in words_of(browser.text(f"/patients/{patient}"))
    assert browser.post(f"/patients/{patient}/hold/lift", reason="settled").status_code == 422


@pytest.mark.parametrize("kind", ["replies", "messages"])
def test_a_text_is_redacted_from_the_conversation(runtime: Runtime, kind: str) -> None:
    patient = clinic.enroll(runtime).patient_id
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    sent = own_text(runtime, patient)
    text_id, words = (reply.id, "quixotic") if kind == "replies" else (sent.id, "waterlily")
    browser = browser_of(runtime, role="clinician")
    path = f"/{kind}/{text_id}/redact"
    assert f"{path}?back=/patients/{patient}" in browser.text(f"/patients/{patient}")
    page = browser.text(f"{path}?back=/patients/{patient}")
    assert words in page and "AFTERCARE_CARRIER_REDACTION is off" in page
    assert words not in page.split("</title>")[0]
    assert browser.post(path, back=f"/patients/{patient}").status_code == 422  # no reason
    assert browser.post(path, why="because", back="/").status_code == 422
    done = browser.post(path, why="wrong_person", back=f"/patients/{patient}")
    assert done.status_code == 303 and done.headers["location"] == f"/patients/{patient}"
    page = browser.text(f"/patients/{patient}")
    assert words not in page and "redacted: written by somebody else" in words_of(page)
    assert path not in page and "redacted already" in browser.text(path)
    (row,) = clinic.rows(runtime, AuditEvent, AuditEvent.action == "redact text")
    assert row.actor == browser.member.email and row.address and words not in str(row.detail)
    assert len(clinic.rows(runtime, Redaction)) == 1
    assert len(clinic.rows(runtime, AuditEvent, AuditEvent.action == "view text")) >= 1


def test_after_redacting_nobody_is_sent_to_another_site(runtime: Runtime) -> None:
    clinic.enroll(runtime)
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    browser = browser_of(runtime, role="clinician")
    page = browser.text(f"/replies/{reply.id}/redact?back=//evil.example")
    assert "evil" not in page
    done = browser.post(f"/replies/{reply.id}/redact", why="other", back="https://evil.example/")
    assert done.headers["location"] == "/"


def test_what_cannot_be_redacted_says_why(runtime: Runtime) -> None:
    patient = clinic.enroll(runtime).patient_id
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    browser = browser_of(runtime, role="admin")
    browser.post(f"/patients/{patient}/hold", reason="claim")
    answer = browser.post(f"/replies/{reply.id}/redact", why="other", back="/")
    assert answer.status_code == 409 and "legal hold" in answer.text
    assert clinic.rows(runtime, Reply)[0].body == WORDS
    pages = clinic.rows(runtime, OutboundMessage, OutboundMessage.kind == "page")
    for page in pages:
        assert browser.get(f"/messages/{page.id}/redact").status_code == 404


def test_another_teams_record_is_like_one_that_does_not_exist(runtime: Runtime) -> None:
    both = two_teams(runtime)
    patient = both.ben.patient_id
    reply = clinic.text(runtime, clinic.BEN, WORDS)
    sent = own_text(runtime, patient)
    ours = browser_of(runtime, "Sue Spine", role="clinician")
    theirs = browser_of(runtime, "Kay Knee", role="clinician")
    put_in(runtime, ours.member, both.other.id)
    assert ours.get(f"/replies/{reply.id}/redact").status_code == 200
    for path in (f"/replies/{reply.id}/redact", f"/messages/{sent.id}/redact"):
        assert theirs.get(path).status_code == 404
        assert theirs.post(path, why="other").status_code == 404
    for act in ("export", "hold", "hold/lift"):
        answer = theirs.post(f"/patients/{patient}/{act}", reason="x")
        assert answer.status_code == 404
    assert clinic.rows(runtime, Redaction) == [] and clinic.rows(runtime, LegalHold) == []
