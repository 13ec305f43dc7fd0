"""Every route of the table, with real ids: who is shown patient data, or acts, is in the audit trail."""

import re

import pytest

from service.models import AuditEvent, OutboundMessage
from service.runtime import Runtime
from tests import clinic
from tests.api_client import signed_client
from tests.conftest import SetClock
from tests.test_redactions import own_text
from tests.test_routes import ADMIN, CARE, DECIDE, MEMBER, PHONES, TABLE, TOKEN
from tests.web_clinic import SignedIn, browser_of

NAME, PHONE, WORDS = "Zebulonia Markwart", "+13125550187", "my left foot is numb, quixotic"
MARKS = ("zebulonia", "5550187", "555-0187", "quixotic", "waterlily")
# Acts of one's own, on no patient, or that only count how a text would travel.
NO_PATIENT = {"POST /segments"}
WITHOUT_DATA = {"GET /live"}  # a stream; what it shows is what the page before it showed


class Ground:
    """A patient with everything a route could ask for, and the addresses of the table filled in."""

    def __init__(self, runtime: Runtime) -> None:
        course = clinic.enroll(runtime, PHONE, NAME)
        media = [{"url": "https://api.example.test/ME1", "type": "image/jpeg"}]
        reply = clinic.text(runtime, PHONE, WORDS, media=media)
        sent = own_text(runtime, course.patient_id)
        row = clinic.the_escalation(runtime, patient_id=course.patient_id, reason="red_flag")
        self.runtime = runtime
        self.ids = {
            "patient_id": course.patient_id, "enrollment_id": course.id, "escalation_id": row.id,
            "reply_id": reply.id, "message_id": sent.id, "phone": PHONE, "place": "0",
            "name": "vertebroplasty",
        }  # fmt: skip
        self.api_ids = {"enrollments": course.id, "patients": course.patient_id, "escalations": row.id}

    def path(self, pattern: str) -> str:
        if "{id}" in pattern:
            kind = pattern.removeprefix("/api/v1/").split("/")[0]
            return pattern.replace("{id}", self.api_ids[kind])
        return re.sub(r"\{(\w+)\}", lambda found: self.ids.get(found[1], "0" * 32), pattern)

    def trail(self) -> list[AuditEvent]:
        return clinic.rows(self.runtime, AuditEvent)


def shows(text: str) -> bool:
    return any(mark in text.lower() for mark in MARKS)


def lines(*who: str, method: str) -> list[tuple[str, str]]:
    return [
        (line, line.split(" ", 1)[1]) for line, may in TABLE.items() if may in who and line.startswith(method)
    ]


def test_every_look_at_patient_data_is_in_the_trail(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    ground = Ground(runtime)
    browser = browser_of(runtime, role="admin")
    program = signed_client(runtime)
    shown, silent = [], []
    for line, pattern in lines(MEMBER, DECIDE, ADMIN, PHONES, TOKEN, method="GET "):
        if line in WITHOUT_DATA:
            continue
        path = ground.path(pattern) + ("?status=all" if pattern == "/patients" else "")
        before = len(ground.trail())
        client = program if TABLE[line] == TOKEN else browser.client
        answer = client.get(path)
        assert answer.status_code < 500 or "pictures" in line, line  # the carrier has no such picture
        if not shows(answer.text):
            continue
        fresh = ground.trail()[before:]
        actor = "hospital system" if TABLE[line] == TOKEN else browser.member.email
        (shown if any(row.actor == actor for row in fresh) else silent).append(line)
    assert silent == []
    assert len(shown) >= 11, shown
    with capsys.disabled():
        print(f" [{len(shown)} kinds of looks show patient data, each in the trail] ", end="")  # noqa: T201


FIELDS = {
    "body": "hello there", "reason": "a reason", "note": "a note", "method": "phone", "why": "other",
    "disposition": "sent_to_ed", "should_be": "none", "member": "kim@clinic.example",
}  # fmt: skip
JSON = {
    "/messages": {"body": "hello"}, "/acknowledge": {}, "/contact": {"method": "phone"}, "/reopen": {},
    "/resolve": {"disposition": "sent_to_ed", "note": "went"}, "/withdraw": {},
}  # fmt: skip


def test_every_act_on_a_patient_is_in_the_trail(
    runtime: Runtime, clock: SetClock, capsys: pytest.CaptureFixture[str]
) -> None:
    ground = Ground(runtime)
    for row in clinic.rows(runtime, OutboundMessage, OutboundMessage.kind == "page"):
        assert not shows(row.body)
    browser = browser_of(runtime, role="admin")
    acted, silent = [], []
    ordered = sorted(
        lines(CARE, DECIDE, method="POST "), key=lambda line: ("redact" in line[0], "/hold" in line[0], line)
    )
    for line, pattern in ordered:
        if line in NO_PATIENT or "{patient_id}" not in line and "{e" not in line and "redact" not in line:
            continue
        clock.advance(seconds=1)
        before = len(ground.trail())
        answer = browser.post(ground.path(pattern), **FIELDS, key=f"{before}")
        assert answer.status_code < 500, (line, answer.text[:200])
        if answer.status_code >= 400 and not shows(answer.text):
            continue
        fresh = ground.trail()[before:]
        (acted if any(row.actor == browser.member.email for row in fresh) else silent).append(line)
    assert silent == []
    assert len(acted) >= 14, acted
    with capsys.disabled():
        print(f" [{len(acted)} kinds of acts, each in the trail] ", end="")  # noqa: T201


def test_every_act_of_a_program_is_in_the_trail(runtime: Runtime, clock: SetClock) -> None:
    ground = Ground(runtime)
    program = signed_client(runtime)
    acted = []
    for line, pattern in lines(TOKEN, method="POST ") + lines(TOKEN, method="PATCH "):
        end = "/" + pattern.rsplit("/", 1)[1]
        body = JSON.get(end, {"follow_up_on": "2027-04-01"})
        before = len(ground.trail())
        answer = program.request(line.split()[0], ground.path(pattern), json=body)
        if answer.status_code >= 400:
            continue
        fresh = ground.trail()[before:]
        assert any(row.actor == "hospital system" for row in fresh), line
        acted.append(line)
    assert len(acted) >= 6, acted


def test_a_page_that_refreshes_itself_is_no_look(runtime: Runtime) -> None:
    ground = Ground(runtime)
    browser: SignedIn = browser_of(runtime, role="nurse")
    before = len(ground.trail())
    answer = browser.get(f"/patients/{ground.ids['patient_id']}", **{"X-Live": "1"})
    assert shows(answer.text) and len(ground.trail()) == before
