"""Sending on both databases: each due text goes once, in its lane, or leaves a task that says why."""

from datetime import timedelta

from sqlmodel import Session, select

from service import dispatch, outbox
from service.db import session_on
from service.models import Escalation, OutboundMessage, PhoneState, SimulatedText
from service.runtime import Runtime
from tests.conftest import SetClock

PHONE = "+13125550100"


def planned(runtime: Runtime, key: str, kind: str = "notice", **values) -> str:
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        values = {"to_phone": PHONE, "body": f"text {key}", "expires_at": now + timedelta(hours=2)} | values
        message = outbox.queue(session, now=now, key=key, kind=kind, **values)
        session.commit()
        return message.id


def row(runtime: Runtime, message_id: str) -> OutboundMessage:
    with session_on(runtime.engine) as session:
        return session.get_one(OutboundMessage, message_id)


def on_phone(runtime: Runtime, phone: str = PHONE) -> list[str]:
    with session_on(runtime.engine) as session:
        return list(session.exec(select(SimulatedText.body).where(SimulatedText.phone == phone)))


def tasks(session: Session) -> list[Escalation]:
    return list(session.exec(select(Escalation)))


def test_nothing_due_nothing_sent(runtime: Runtime, clock: SetClock) -> None:
    assert dispatch.send_due(runtime, clock.now) == {}


def test_a_text_goes_when_due_and_once(runtime: Runtime, clock: SetClock) -> None:
    message_id = planned(runtime, "a", due_at=clock.now + timedelta(minutes=5))
    dispatch.send_due(runtime, clock.now)
    assert on_phone(runtime) == []
    clock.advance(minutes=5)
    assert dispatch.send_due(runtime, clock.now) == {"claimed": 1, "accepted": 1}
    assert dispatch.send_due(runtime, clock.now) == {}
    assert on_phone(runtime) == ["text a"]
    sent = row(runtime, message_id)
    assert (sent.status, sent.attempts, sent.fence) == ("accepted", 1, 1)
    assert sent.carrier_sid and sent.accepted_at == clock.now and sent.lease_until is None


def test_a_late_text_is_not_sent_and_becomes_a_task(runtime: Runtime, clock: SetClock) -> None:
    message_id = planned(runtime, "late", kind="notice")
    clock.advance(hours=3)
    assert dispatch.send_due(runtime, clock.now) == {"expired": 1}
    assert on_phone(runtime) == []
    assert row(runtime, message_id).status == "expired"
    with session_on(runtime.engine) as session:
        (task,) = tasks(session)
        assert task.reason == "late_text" and "useful time" in (task.summary or "")


def test_an_opted_out_phone_is_remembered(runtime: Runtime, clock: SetClock) -> None:
    message_id = planned(runtime, "stop", to_phone="+15005550004")
    assert dispatch.send_due(runtime, clock.now)["refused"] == 1
    failed = row(runtime, message_id)
    assert (failed.status, failed.error_code) == ("failed", "21610")
    with session_on(runtime.engine) as session:
        assert session.get_one(PhoneState, "+15005550004").opted_out_at == clock.now
        assert [task.reason for task in tasks(session)] == ["opt_out"]


def test_hundreds_go_in_one_call(runtime: Runtime, clock: SetClock) -> None:
    for number in range(250):
        planned(runtime, f"n{number}", to_phone=f"+1312555{number:04d}")
    assert dispatch.send_due(runtime, clock.now, limit=100)["accepted"] == 250
    with session_on(runtime.engine) as session:
        assert len(session.exec(select(SimulatedText.phone).distinct()).all()) == 250
