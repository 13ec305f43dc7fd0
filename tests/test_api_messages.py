"""The conversation through the API, and a member's own text."""

from datetime import datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient
from sqlmodel import select

from service.accounts import add_member
from service.db import session_on
from service.inbox import receive, triage_reply
from service.models import OutboundMessage, PhoneState
from service.runtime import Runtime
from tests.api_client import PHONE, enroll, problem, signed_client
from tests.conftest import SetClock

MESSAGE_STATES = {
    "planned", "claimed", "accepted", "sent", "delivered", "undelivered", "failed", "unknown", "expired",
    "cancelled",
}  # fmt: skip


def text_from(runtime: Runtime, body: str, phone: str = PHONE, number: int = 1) -> str:
    """A text from a phone, stored and triaged; its reply id."""
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        reply, _new = receive(
            session,
            now=now,
            carrier_sid=f"SM{number:032x}",
            from_phone=phone,
            to_phone="+13125550100",
            body=body,
        )
    triage_reply(runtime, reply.id, now)
    return reply.id


def everything(client: TestClient, path: str, limit: int) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(200):
        page = client.get(f"{path}?limit={limit}{cursor}").json()
        assert len(page["items"]) <= limit and set(page) == {"items", "next"}
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"&cursor={page['next']}"
    raise AssertionError("the list never ends")


def test_the_conversation_holds_both_sides_oldest_first(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    clock.advance(minutes=1)
    text_from(runtime, "hello <b>there</b> {{ 7 * 7 }} ñ 👍")
    path = f"/api/v1/patients/{item['patient_id']}/messages"
    items = client.get(path).json()["items"]
    got = [entry for entry in items if entry["direction"] == "in"]
    assert [entry["body"] for entry in got] == ["hello <b>there</b> {{ 7 * 7 }} ñ 👍"]
    assert (got[0]["status"], got[0]["carrier_sid"]) == ("received", f"SM{1:032x}")
    assert got[0]["urgency"] in ("none", "routine", "urgent", "emergency")
    at = [datetime.fromisoformat(entry["at"]) for entry in items]
    assert at == sorted(at) and all(entry["at"].endswith("Z") for entry in items)
    assert {entry["status"] for entry in items if entry["direction"] == "out"} <= MESSAGE_STATES
    assert any("911" in entry["body"] for entry in items if entry["direction"] == "out")


def test_pages_show_every_text_once(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    patient = enroll(client, clock())["patient_id"]
    for number in range(1, 8):
        text_from(runtime, f"text {number}", number=number)  # all at the same instant
    path = f"/api/v1/patients/{patient}/messages"
    whole = everything(client, path, 1000)
    for limit in (1, 2, 7):
        assert everything(client, path, limit) == whole
    assert len({entry["id"] for entry in whole}) == len(whole) > 15


def test_a_members_text_waits_for_no_quiet_hours(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    patient = enroll(client, clock())["patient_id"]
    clock.now = clock.now.replace(hour=8)  # 2 at night in Chicago
    clock.advance(days=1)
    sent = client.post(f"/api/v1/patients/{patient}/messages", json={"body": "We call you now. Kim"})
    assert sent.status_code == 202
    assert sent.json()["body"] == "We call you now. Kim" and sent.json()["direction"] == "out"
    with session_on(runtime.engine) as session:
        row = session.exec(select(OutboundMessage).where(OutboundMessage.kind == "member")).one()
    assert row.due_at == clock() and row.author == "hospital system"
    assert runtime.wake.is_set()


def test_a_text_may_be_sent_in_the_name_of_a_member(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/patients/{enroll(client, clock())['patient_id']}/messages"
    with session_on(runtime.engine) as session:
        add_member(session, now=clock(), email="kim@clinic.example", name="Kim", role="nurse")
    body = {"body": "Hello", "member": "Kim@Clinic.example"}
    assert client.post(path, json=body).status_code == 202
    with session_on(runtime.engine) as session:
        row = session.exec(select(OutboundMessage).where(OutboundMessage.kind == "member")).one()
    assert row.author == "kim@clinic.example"
    nobody = client.post(path, json={"body": "Hello", "member": "nobody@clinic.example"})
    assert "member" in problem(nobody, 422)["errors"]


def test_a_repeat_with_the_same_key_texts_once(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/patients/{enroll(client, clock())['patient_id']}/messages"
    key = {"Idempotency-Key": "text-1"}
    first = client.post(path, json={"body": "Hello"}, headers=key)
    again = client.post(path, json={"body": "Hello"}, headers=key)
    assert (first.status_code, again.status_code) == (202, 202) and first.json() == again.json()
    client.post(path, json={"body": "Hello"})  # without a key it is another text
    with session_on(runtime.engine) as session:
        assert len(session.exec(select(OutboundMessage).where(OutboundMessage.kind == "member")).all()) == 2


def test_a_phone_that_cannot_be_texted_is_refused_with_the_reason(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/patients/{enroll(client, clock())['patient_id']}/messages"
    for state in ({"opted_out_at": clock()}, {"unreachable_at": clock(), "code": "30006"}):
        with session_on(runtime.engine) as session:
            known = session.get(PhoneState, PHONE) or PhoneState(phone=PHONE)
            known.sqlmodel_update({"opted_out_at": None, "unreachable_at": None} | state)
            session.add(known)
            session.commit()
        assert "call the patient" in problem(client.post(path, json={"body": "Hello"}), 409)["detail"]


def test_texts_that_cannot_be_are_named(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/patients/{enroll(client, clock())['patient_id']}/messages"
    for body in ({}, {"body": ""}, {"body": "   "}, {"body": "x" * 1601}, {"body": 5}, {"body": "a\0b"}):
        assert list(problem(client.post(path, json=body), 422)["errors"]) == ["body"]
    assert set(problem(client.post(path, json={"text": "x"}), 422)["errors"]) == {"body", "text"}
    problem(client.post(f"/api/v1/patients/{'0' * 32}/messages", json={"body": "x"}), 404)
    problem(client.get(f"/api/v1/patients/{'0' * 32}/messages"), 404)


def test_the_longest_page_holds_a_thousand_texts(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    patient = enroll(client, clock())["patient_id"]
    with session_on(runtime.engine) as session:
        session.add_all(
            OutboundMessage(
                key=f"bulk {number}",
                kind="member",
                to_phone=PHONE,
                body="x",
                patient_id=patient,
                created_at=clock(),
                due_at=clock(),
                expires_at=clock() + timedelta(hours=1),
                status="cancelled",
            )
            for number in range(1200)
        )
        session.commit()
    page = client.get(f"/api/v1/patients/{patient}/messages?limit=1000").json()
    assert len(page["items"]) == 1000 and page["next"]
