"""Sending on both databases: each due text goes once, in its lane, or leaves a task that says why."""

from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from threading import Event, Thread, Timer
from typing import Any

import pytest
from sqlmodel import Session, select

from jobs import settle_unknown
from messages.urgency import Urgency
from service import dispatch, outbox
from service.carriers import Accepted, LoggedMessage, Sending
from service.carriers.twilio_codes import lookup
from service.db import session_on
from service.escalations import open_escalation
from service.models import Enrollment, Escalation, OutboundMessage, PhoneState, PlanItem, SimulatedText
from service.runtime import Runtime, make_runtime
from tests import clinic
from tests.conftest import SetClock, settings_for

PHONE = "+13125550100"


def planned(runtime: Runtime, key: str, kind: str = "notice", **values: Any) -> str:
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


class SlowCarrier:
    """Accepts everything; texts to ``slow`` wait until they are let go."""

    name = "slow"
    sender = "+13125550000"

    def __init__(self, slow: str) -> None:
        self.slow, self.let_go, self.taken = slow, Event(), SimpleQueue[str]()

    def send(self, sending: Sending) -> Accepted:
        if sending.to_phone == self.slow:
            self.let_go.wait(20)
        self.taken.put(sending.body)
        return Accepted("SM" + sending.message_id)

    def log(self, **_: object) -> list[LoggedMessage]:
        return []

    def close(self) -> None:
        self.let_go.set()


def slow_runtime(database_url: str, clock: SetClock) -> tuple[Runtime, SlowCarrier]:
    carrier = SlowCarrier("+13125550666")
    return make_runtime(settings_for(database_url), clock=clock, carrier=carrier), carrier


def test_a_slow_batch_of_check_ins_does_not_hold_up_a_safety_answer(
    database_url: str, clock: SetClock
) -> None:
    runtime, carrier = slow_runtime(database_url, clock)
    for number in range(12):
        planned(runtime, f"n{number}", priority=5, to_phone=carrier.slow)
    busy = Thread(target=dispatch.send_due, args=(runtime, clock.now))
    busy.start()
    while not runtime.lanes.get("routine") or not runtime.lanes["routine"].in_hand:
        busy.join(0.01)
    planned(runtime, "call 911", kind="safety")
    assert dispatch.send_urgent(runtime, clock.now)["accepted"] == 1
    assert carrier.taken.get_nowait() == "text call 911"
    carrier.let_go.set()
    busy.join(20)
    assert carrier.taken.qsize() == 12
    runtime.close()


def test_one_slow_safety_answer_does_not_hold_up_the_next(database_url: str, clock: SetClock) -> None:
    runtime, carrier = slow_runtime(database_url, clock)
    first = planned(runtime, "first", kind="safety", to_phone=carrier.slow)
    assert dispatch.send_urgent(runtime, clock.now, seconds=0.05) == {"claimed": 1}
    planned(runtime, "second", kind="safety")
    dispatch.send_urgent(runtime, clock.now, seconds=0.5)
    assert carrier.taken.get_nowait() == "text second"
    carrier.let_go.set()
    dispatch.send_urgent(runtime, clock.now)
    assert row(runtime, first).status == "accepted"
    runtime.close()


def test_closing_waits_for_the_texts_in_hand(database_url: str, clock: SetClock) -> None:
    runtime, carrier = slow_runtime(database_url, clock)
    message_id = planned(runtime, "last words", to_phone=carrier.slow)
    dispatch.send_urgent(runtime, clock.now, seconds=0.05)
    assert row(runtime, message_id).status == "claimed"
    Timer(0.2, carrier.let_go.set).start()
    runtime.lanes["urgent"].close()
    assert row(runtime, message_id).status == "accepted"
    runtime.close()


def test_a_safety_answer_that_can_never_arrive_is_noted_on_its_escalation(
    runtime: Runtime, clock: SetClock
) -> None:
    with session_on(runtime.engine) as session:
        escalation = open_escalation(
            session,
            now=clock.now,
            site=runtime.site,
            reason="red_flag",
            urgency=Urgency.EMERGENCY,
            phone="+15005550004",
        )
        session.commit()
    planned(runtime, "s", kind="safety", to_phone="+15005550004", escalation_id=escalation.id)
    dispatch.send_urgent(runtime, clock.now)
    with session_on(runtime.engine) as session:
        (only,) = tasks(session)
        assert only.cannot_be_texted


@pytest.mark.parametrize(("phone", "code"), [("+15005550001", "21211"), ("+15005550009", "21614")])
def test_a_phone_that_cannot_receive_is_marked_and_becomes_a_task(
    runtime: Runtime, clock: SetClock, phone: str, code: str
) -> None:
    planned(runtime, "x", to_phone=phone)
    dispatch.send_due(runtime, clock.now)
    with session_on(runtime.engine) as session:
        assert session.get_one(PhoneState, phone).unreachable_at == clock.now
        (task,) = tasks(session)
        assert task.reason == "undeliverable" and lookup(code).meaning in (task.summary or "")


def test_an_undelivered_text_is_reported_by_the_simulated_carrier_later(
    runtime: Runtime, clock: SetClock
) -> None:
    good, bad = planned(runtime, "good"), planned(runtime, "bad", to_phone="+15005550006")
    dispatch.send_due(runtime, clock.now)
    assert row(runtime, bad).status == "accepted"
    assert settle_unknown.run(runtime, clock.now) == {"receipts": 2}
    assert settle_unknown.run(runtime, clock.now) == {}
    assert (row(runtime, good).status, row(runtime, bad).status) == ("delivered", "undelivered")


def test_four_workers_send_each_text_once(database_url: str, clock: SetClock) -> None:
    workers = [make_runtime(settings_for(database_url), clock=clock) for _ in range(4)]
    for number in range(120):
        planned(workers[0], f"n{number}", to_phone=f"+1312555{number:04d}")
    threads = [Thread(target=dispatch.send_due, args=(worker, clock.now)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with session_on(workers[0].engine) as session:
        phones = session.exec(select(SimulatedText.phone)).all()
    assert len(phones) == len(set(phones)) == 120
    for worker in workers:
        worker.close()


def test_a_welcome_goes_through_the_plan_and_opens_its_question(runtime: Runtime, clock: SetClock) -> None:
    enrollment = clinic.enroll(runtime, days=0.01)
    dispatch.send_due(runtime, clock.now)
    (welcome,) = on_phone(runtime, clinic.ANA)
    assert "911" in welcome
    with session_on(runtime.engine) as session:
        sent = session.exec(
            select(PlanItem).where(PlanItem.enrollment_id == enrollment.id, PlanItem.status == "sent")
        ).all()
    assert len(sent) == 1 and sent[0].sent_at == clock.now


def test_a_plan_that_cannot_be_read_stops_nobody_else(runtime: Runtime, clock: SetClock) -> None:
    broken = clinic.enroll(runtime, days=0.01)
    clinic.enroll(runtime, clinic.BEN, "Ben Doe", days=0.01)
    with session_on(runtime.engine) as session:
        row = session.get_one(Enrollment, broken.id)
        row.version = 999
        session.add(row)
        session.commit()
    dispatch.send_due(runtime, clock.now)
    assert on_phone(runtime, clinic.ANA) == []
    assert len(on_phone(runtime, clinic.BEN)) == 1


def test_the_same_key_is_one_text(runtime: Runtime) -> None:
    assert planned(runtime, "same") == planned(runtime, "same")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "letter"}, "not a kind"),
        ({"body": " \u200b "}, "empty"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "before it is due"),
        ({"priority": 3}, "no lane"),
    ],
)
def test_a_text_that_makes_no_sense_is_refused_with_a_reason(
    runtime: Runtime, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        planned(runtime, "odd", **values)


def test_cancelling_needs_somebody_to_cancel_for(runtime: Runtime, clock: SetClock) -> None:
    planned(runtime, "a", priority=5, due_at=clock.now + timedelta(minutes=1))
    with session_on(runtime.engine) as session:
        with pytest.raises(ValueError, match="plan_item_ids or a to_phone"):
            outbox.cancel_planned(session, now=clock.now, why="test")
        counted = outbox.cancel_planned(session, now=clock.now, why="test", to_phone=PHONE, kinds=("notice",))
        session.commit()
    assert counted == []  # it was no question of a plan
    assert dispatch.send_due(runtime, clock.advance(minutes=2)) == {}
