"""A phone that is off for now: one second try inside the text's useful time, then the task that says why."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs import flag_silence, send_due
from messages.urgency import Urgency
from service import (
    claims,
    dispatch,
    enrollments,
    outbox,
    planning,
    receipts,
    redactions,
    results,
    second_tries,
)
from service.db import session_on
from service.models import Escalation, OutboundMessage, PlanItem
from service.runtime import Runtime, make_runtime
from tests.clinic import ANA, enroll, in_session, rows, the_escalation
from tests.clinic import text as write
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import StandIn, settings_of

OFF = "30003"
HALF_AN_HOUR = second_tries.WAITS["check_in"]


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn(receipts=()).start()
    yield standin
    standin.stop()


@pytest.fixture
def live(database_url: str, standin: StandIn, clock: SetClock) -> Iterator[Runtime]:
    runtime = make_runtime(settings_for(database_url, pace=0, **settings_of(standin)), clock=clock)
    yield runtime
    runtime.close()


def queue(runtime: Runtime, kind: str, useful: timedelta = timedelta(hours=2)) -> str:
    with session_on(runtime.engine) as session:
        text = {"to_phone": ANA, "body": f"a {kind}", "expires_at": runtime.clock() + useful}
        message_id = outbox.queue(session, now=runtime.clock(), key=kind, kind=kind, **text).id
        session.commit()
    return message_id


def row(runtime: Runtime, message_id: str) -> OutboundMessage:
    return rows(runtime, OutboundMessage, OutboundMessage.id == message_id)[0]


def second_of(runtime: Runtime, first: OutboundMessage) -> OutboundMessage | None:
    found = rows(runtime, OutboundMessage, OutboundMessage.key == first.key + second_tries.AGAIN)
    return found[0] if found else None


def tell(runtime: Runtime, message: OutboundMessage, state: str = "undelivered", code: str = OFF) -> str:
    """The carrier's receipt for this text."""
    with session_on(runtime.engine) as session:
        told = receipts.record(
            session,
            runtime,
            message_id=message.id,
            carrier_sid=row(runtime, message.id).carrier_sid or "SM" + message.id,
            status=state,
            error_code=code if state in ("undelivered", "failed") else None,
            now=runtime.clock(),
        )
        session.commit()
    return told


def sent_check_in(runtime: Runtime, clock: SetClock) -> tuple[OutboundMessage, PlanItem]:
    """The welcome of a new course, accepted by the carrier."""
    enroll(runtime)
    send_due.run(runtime, clock.advance(seconds=1))
    (first,) = rows(runtime, OutboundMessage, OutboundMessage.status == "accepted")
    return first, item_of(runtime, first)


def item_of(runtime: Runtime, message: OutboundMessage) -> PlanItem:
    return rows(runtime, PlanItem, PlanItem.id == message.plan_item_id)[0]


@pytest.mark.parametrize("kind", ["notice", "member", "safety"])
def test_a_text_is_sent_once_more_and_then_the_team_learns_why(
    live: Runtime, standin: StandIn, clock: SetClock, kind: str
) -> None:
    first = row(live, queue(live, kind))
    dispatch.send_urgent(live, clock())
    tell(live, first)
    tell(live, first)  # repeated
    tasks = rows(live, Escalation)
    if kind == "safety":  # whoever wrote about a symptom is not kept waiting: a person knows at once
        assert the_escalation(live).urgency == str(Urgency.URGENT)
        assert "it is tried once more" in the_escalation(live).summary
    else:
        assert tasks == []
    dispatch.send_urgent(live, clock.advance(seconds=second_tries.WAITS[kind].total_seconds() - 1))
    assert standin.got(ANA) == [f"a {kind}"]
    dispatch.send_urgent(live, clock.advance(seconds=2))
    assert standin.got(ANA) == [f"a {kind}"] * 2
    second = second_of(live, first)
    assert second is not None and row(live, first.id).status == "undelivered"
    tell(live, second)
    assert second_of(live, second) is None, "never a third"
    task = the_escalation(live)
    assert task.reason == "undeliverable"
    send_due.run(live, clock.advance(hours=3))
    assert len(standin.got(ANA)) == 2


def test_a_second_try_that_arrives_needs_nobody(live: Runtime, standin: StandIn, clock: SetClock) -> None:
    first, item = sent_check_in(live, clock)
    assert item.status == "sent"
    tell(live, first)
    put_back = item_of(live, first)
    assert (put_back.status, put_back.sent_at, put_back.silent_at) == ("planned", None, None)
    flag_silence.run(live, clock.advance(minutes=20))
    assert standin.got(ANA) == [first.body]
    send_due.run(live, clock.advance(minutes=11))
    second = second_of(live, first)
    assert standin.got(ANA) == [first.body] * 2 and second is not None and second.status == "accepted"
    tell(live, second, "delivered")
    assert item_of(live, first).status == "sent" and item_of(live, first).sent_at == clock()
    assert rows(live, Escalation) == []
    write(live, ANA, "ok thank you")
    assert [task.reason for task in rows(live, Escalation) if task.reason == "undeliverable"] == []


def test_a_check_in_that_fails_twice_is_silent_with_its_cause(live: Runtime, clock: SetClock) -> None:
    first, _ = sent_check_in(live, clock)
    tell(live, first)
    send_due.run(live, clock.advance(minutes=31))
    second = second_of(live, first)
    assert second is not None
    tell(live, second)
    item = item_of(live, first)
    assert (item.status, item.silence_cause) == ("silent", "undelivered")
    task = the_escalation(live, reason="undeliverable")
    assert "not delivered, twice: the phone is switched off" in task.summary


def test_what_would_be_too_late_is_a_task_at_once(live: Runtime, clock: SetClock) -> None:
    for kind, useful in (("notice", timedelta(minutes=9)), ("safety", timedelta(minutes=1))):
        first = row(live, queue(live, kind, useful))
        dispatch.send_urgent(live, clock())
        tell(live, first)
        assert second_of(live, first) is None
    assert {task.reason for task in rows(live, Escalation)} == {"undeliverable"}


def test_quiet_hours_hold_the_second_check_in_and_no_answer(live: Runtime, clock: SetClock) -> None:
    first, _ = sent_check_in(live, clock)
    clock.advance(hours=9, minutes=45)  # 19:45 at the patient's
    tell(live, first)
    second = second_of(live, first)
    assert second is not None and f"{second.due_at:%d %H:%M}" == "02 15:00"  # 09:00 there


def test_pages_and_other_codes_have_no_second_try(live: Runtime, clock: SetClock) -> None:
    for kind, code in (("page", OFF), ("notice", "30008"), ("member", "30007"), ("safety", "30005")):
        first = row(live, queue(live, kind))
        dispatch.send_urgent(live, clock())
        tell(live, first, code=code)
        assert second_of(live, first) is None, kind


@pytest.mark.parametrize("state", ["undelivered", "failed"])
def test_the_second_is_called_off_when_the_first_arrived_after_all(
    live: Runtime, standin: StandIn, clock: SetClock, state: str
) -> None:
    first, _ = sent_check_in(live, clock)
    tell(live, first, state)
    tell(live, first, "delivered")
    second = second_of(live, first)
    assert second is not None and second.status == "cancelled"
    assert item_of(live, first).status == "sent" and row(live, first.id).status == "delivered"
    send_due.run(live, clock.advance(minutes=40))
    assert standin.got(ANA).count(first.body) == 1


def test_nobody_who_stopped_or_left_meanwhile_gets_it(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    first, _ = sent_check_in(live, clock)
    tell(live, first)
    write(live, ANA, "STOP")
    second = second_of(live, first)
    assert second is not None and (second.status, second.why) == ("cancelled", planning.OPTED_OUT)
    in_session(live, enrollments.withdraw, enrollment_id=first.enrollment_id, actor="test")
    send_due.run(live, clock.advance(minutes=40))
    assert standin.got(ANA).count(first.body) == 1


def test_a_receipt_before_our_own_commit_keeps_the_question_shut(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    enroll(live)
    (claimed,), _ = claims.claim(live, outbox.ROUTINE_LANE, clock.advance(seconds=1), 10)
    first = row(live, claimed.id)
    tell(live, first)  # the carrier was quicker than our commit
    results.write_accepted(live, [(claimed, "SM" + claimed.id)], clock())
    assert item_of(live, first).status == "planned"
    send_due.run(live, clock.advance(minutes=31))
    second = second_of(live, first)
    assert second is not None and second.status == "accepted" and item_of(live, first).status == "sent"


def redact(runtime: Runtime, message: OutboundMessage) -> None:
    with session_on(runtime.engine) as session:
        about = {"message_id": message.id, "why": "wrong_number", "actor": "kim"}
        redactions.redact_message(session, runtime, now=runtime.clock(), **about)


@pytest.mark.parametrize("kind", ["notice", "member", "safety"])
def test_words_that_were_redacted_are_not_sent_once_more(
    live: Runtime, standin: StandIn, clock: SetClock, kind: str
) -> None:
    first = row(live, queue(live, kind))
    dispatch.send_urgent(live, clock())
    tell(live, first)
    redact(live, first)
    second = second_of(live, first)
    assert second is not None and second.status == "cancelled" and second.body == row(live, first.id).body
    assert f"a {kind}" not in second.body
    dispatch.send_urgent(live, clock.advance(minutes=15))
    assert standin.got(ANA) == [f"a {kind}"]


def test_words_whose_second_try_is_in_a_workers_hands_cannot_be_redacted_yet(
    live: Runtime, clock: SetClock
) -> None:
    first = row(live, queue(live, "member"))
    dispatch.send_urgent(live, clock())
    tell(live, first)
    (claimed,), _ = claims.claim(live, outbox.URGENT_LANE, clock.advance(minutes=11), 10)
    with pytest.raises(redactions.RedactionRefused, match="once more"):
        redact(live, first)
    results.write_accepted(live, [(claimed, "SM" + claimed.id)], clock())
    redact(live, first)
    assert "a member" not in row(live, first.id).body


def test_a_question_that_is_to_be_put_again_keeps_its_text(live: Runtime, clock: SetClock) -> None:
    first, _ = sent_check_in(live, clock)
    tell(live, first)
    with pytest.raises(redactions.RedactionRefused):
        redact(live, first)
    second = second_of(live, first)
    assert second is not None and (second.status, second.body) == ("planned", first.body)
