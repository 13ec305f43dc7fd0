"""Texts of unknown fate against a carrier that breaks off: settled from its log, never blindly sent again."""

import time
from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest
from sqlmodel import select

from jobs import send_due, settle_unknown, settle_urgent
from service import claims, dispatch, outbox, reconcile, results
from service.carriers import Sending
from service.db import session_on
from service.models import Escalation, OutboundMessage
from service.runtime import Runtime, make_runtime
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import ACCEPT_BROKEN, ACCEPT_DROP, BROKEN, BUSY, DROP, StandIn, settings_of

PHONE = "+13125550100"
OTHER = "+13125559999"


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn(receipts=()).start()
    yield standin
    standin.stop()


@pytest.fixture
def live(database_url: str, standin: StandIn, clock: SetClock) -> Iterator[Runtime]:
    """A process on Twilio's library; pace off, so that only what a test asks for waits."""
    settings = settings_for(database_url, pace=0, **settings_of(standin))
    runtime = make_runtime(settings, clock=clock)
    yield runtime
    runtime.close()


def queue(runtime: Runtime, kind: str = "notice", key: str = "k", **values) -> str:
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        given = {"to_phone": PHONE, "body": f"words {key}", "expires_at": now + timedelta(hours=2)} | values
        message_id = outbox.queue(session, now=now, key=key, kind=kind, **given).id
        session.commit()
    return message_id


def state(runtime: Runtime, message_id: str) -> str:
    with session_on(runtime.engine) as session:
        return session.get_one(OutboundMessage, message_id).status


def reasons(runtime: Runtime) -> list[str]:
    with session_on(runtime.engine) as session:
        return [row.reason for row in session.exec(select(Escalation))]


@pytest.mark.parametrize("fault", [ACCEPT_BROKEN, ACCEPT_DROP])
def test_a_text_the_carrier_has_is_found_and_not_repeated(
    live: Runtime, standin: StandIn, clock: SetClock, fault: str
) -> None:
    standin.script.append(fault)
    message_id = queue(live)
    assert dispatch.send_due(live, clock.now)["unknown"] == 1
    assert state(live, message_id) == "unknown"
    assert settle_unknown.run(live, clock.advance(seconds=5)) == {}  # too early to ask
    assert settle_unknown.run(live, clock.advance(seconds=11)) == {"found": 1}
    send_due.run(live, clock.now)
    assert standin.got(PHONE) == ["words k"]
    assert state(live, message_id) == "accepted"


@pytest.mark.parametrize("fault", [BROKEN, DROP])
def test_a_text_the_carrier_lacks_is_sent_again_after_looking(
    live: Runtime, standin: StandIn, clock: SetClock, fault: str
) -> None:
    standin.script.append(fault)
    message_id = queue(live)
    dispatch.send_due(live, clock.now)
    dispatch.send_due(live, clock.advance(seconds=14))
    assert standin.got(PHONE) == []
    assert settle_unknown.run(live, clock.advance(seconds=2)) == {"sent_again": 1}
    dispatch.send_due(live, clock.now)
    assert standin.got(PHONE) == ["words k"]
    assert state(live, message_id) == "accepted"


LONG = "Kim: bring your papers. Please call us."
SHORT = "Please call us."


@pytest.mark.parametrize("trial", [False, True])
@pytest.mark.parametrize("short_first", [False, True])
def test_a_text_is_not_taken_for_one_that_ends_with_its_words(
    live: Runtime, standin: StandIn, clock: SetClock, short_first: bool, trial: bool
) -> None:
    """The long one reached the carrier, the short one did not: neither is lost, neither goes twice."""
    bodies = [SHORT, LONG] if short_first else [LONG, SHORT]
    for number, body in enumerate(bodies):
        standin.script.append(ACCEPT_DROP if body == LONG else DROP)
        queue(live, "member", str(number), body=body)
        dispatch.send_due(live, clock.advance(seconds=1))
    if trial:
        (line,) = standin.log
        line.body = "Sent from your Twilio trial account - " + line.body
    assert settle_unknown.run(live, clock.advance(seconds=16)) == {"found": 1, "sent_again": 1}
    dispatch.send_due(live, clock.now)
    assert sorted(one.split(" - ")[-1] for one in standin.got(PHONE)) == sorted([SHORT, LONG])


def test_a_line_that_another_text_in_hand_has_word_for_word_is_not_taken(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(DROP)
    short = queue(live, "member", "s", body=SHORT)
    dispatch.send_due(live, clock.now)
    clock.advance(seconds=16)
    queue(live, "member", "l", body=LONG)
    (claimed,), _ = claims.claim(live, outbox.URGENT_LANE, clock.now, 10)
    sid = live.carrier.send(Sending(message_id=claimed.id, to_phone=PHONE, body=LONG)).carrier_sid
    assert settle_unknown.run(live, clock.now) == {"sent_again": 1}
    results.write_accepted(live, [(claimed, sid)], clock.now)
    assert state(live, claimed.id) == "accepted" and state(live, short) == "planned"


def settle(runtime: Runtime, clock: SetClock, seconds: float) -> dict[str, int]:
    """Both lanes, after a while."""
    now = clock.advance(seconds=seconds)
    return settle_urgent.run(runtime, now) | settle_unknown.run(runtime, now)


def test_a_safety_answer_is_looked_up_within_ten_seconds(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(DROP)
    queue(live, "safety")
    began = clock.now
    dispatch.send_urgent(live, clock.now)
    while not standin.got(PHONE):
        settle(live, clock, 2)  # as often as the job ticks
        dispatch.send_urgent(live, clock.now)
    assert clock.now - began < timedelta(seconds=10)
    assert standin.got(PHONE) == ["words k"]


def test_a_safety_answer_waits_a_minute_for_an_unreadable_log_then_goes(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(DROP)
    standin.log_answers.extend([500] * 200)
    queue(live, "safety")
    began = clock.now
    dispatch.send_urgent(live, clock.now)
    while not standin.got(PHONE):
        settle(live, clock, 2)
        dispatch.send_urgent(live, clock.now)
    assert timedelta(seconds=60) <= clock.now - began <= timedelta(seconds=68)
    assert standin.got(PHONE) == ["words k"]


def test_one_unreadable_look_after_a_long_time_away_is_no_minute(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    """The carrier has it; we were stopped for minutes; the first look fails. It is not sent a second time."""
    standin.script.append(ACCEPT_DROP)
    message_id = queue(live, "safety")
    dispatch.send_urgent(live, clock.now)
    clock.advance(minutes=5)
    standin.log_answers.extend([500] * 3)
    for _ in range(6):
        settle(live, clock, 2)
        dispatch.send_urgent(live, clock.now)
    assert standin.got(PHONE) == ["words k"] and state(live, message_id) == "accepted"


def test_a_log_that_was_read_in_between_begins_the_minute_anew(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.extend([DROP, ACCEPT_DROP])
    queue(live, "safety")
    dispatch.send_urgent(live, clock.now)
    standin.log_answers.extend([500] * 10 + [200] + [500] * 3)
    for _ in range(12):
        settle(live, clock, 4)  # unreadable for 40 s, absent then: sent again, and unknown again
        dispatch.send_urgent(live, clock.now)
    assert standin.got(PHONE) == ["words k"]
    for _ in range(8):
        settle(live, clock, 4)
        dispatch.send_urgent(live, clock.now)
    assert standin.got(PHONE) == ["words k"], "a second time unreadable, for less than a minute"


def test_a_jump_of_the_clock_is_no_minute_of_an_unreadable_log(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(ACCEPT_DROP)
    queue(live, "safety")
    dispatch.send_urgent(live, clock.now)
    live.monotonic = lambda: 100.0
    standin.log_answers.extend([500] * 2)
    settle(live, clock, 5)
    settle(live, clock, 1800)
    dispatch.send_urgent(live, clock.now)
    assert standin.got(PHONE) == ["words k"]


def test_a_safety_answer_does_not_wait_behind_check_ins_whose_log_hangs(
    live: Runtime, standin: StandIn, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log answers for nobody but the phone with the safety answer; a round of looking ends in time."""
    monkeypatch.setattr(reconcile, "LOOK_SECONDS", 0.3)
    standin.script.extend([DROP] * 41)
    for number in range(40):
        queue(live, "notice", key=f"{number}", to_phone=f"+1312555{number:04d}", priority=5)
    queue(live, "safety", to_phone=OTHER)
    dispatch.send_due(live, clock.now)
    hangs, log, asked = Event(), live.carrier.log, []

    def slow_log(*, to_phone: str, **values):
        asked.append(to_phone)
        if to_phone != OTHER:
            hangs.wait(30)
        return log(to_phone=to_phone, **values)

    monkeypatch.setattr(live.carrier, "log", slow_log)
    assert settle_urgent.run(live, clock.advance(seconds=16)) == {"sent_again": 1}
    assert asked == [OTHER]
    began = time.monotonic()
    assert settle_unknown.run(live, clock.now) == {"unreadable": 40}
    assert time.monotonic() - began < 5
    hangs.set()
    dispatch.send_urgent(live, clock.now)
    assert standin.got(OTHER) == ["words k"]


def test_the_words_of_a_trial_account_in_front_are_no_other_text(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(DROP)
    message_id = queue(live, "safety")
    dispatch.send_urgent(live, clock.now)
    standin.accept({"To": PHONE, "Body": "Sent from your Twilio trial account - words k"})
    assert settle(live, clock, 5) == {"found": 1}
    assert state(live, message_id) == "accepted"


def test_a_safety_answer_whose_twin_is_on_its_way_waits_for_it(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    """The log can be read: that two texts cannot be told apart yet is no reason to send one again."""
    standin.script.append(ACCEPT_DROP)
    first = queue(live, "safety", key="1", body="same")
    dispatch.send_urgent(live, clock.now)
    second = queue(live, "safety", key="2", body="same")
    claims.claim(live, outbox.URGENT_LANE, clock.now, 10)
    live.lanes["urgent"].in_hand.add(second)  # its call takes very long
    for _ in range(45):
        settle(live, clock, 2)
    live.lanes["urgent"].in_hand.clear()  # or the stop would wait 15 s for a call that nobody makes
    assert state(live, first) == "unknown" and standin.got(PHONE) == ["same"]


def test_other_texts_are_never_repeated_while_the_log_cannot_be_read(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.append(ACCEPT_DROP)
    standin.log_answers.extend([500] * 1000)
    message_id = queue(live, expires_at=clock.now + timedelta(minutes=10))
    dispatch.send_due(live, clock.now)
    for _ in range(45):
        settle_unknown.run(live, clock.advance(seconds=16))
        dispatch.send_due(live, clock.now)
    assert standin.got(PHONE) == ["words k"]
    assert state(live, message_id) == "unknown"
    assert reasons(live) == ["undeliverable"]
    assert settle_unknown.run(live, clock.advance(hours=1)) == {}  # settled for good


def test_a_page_goes_again_at_once(live: Runtime, standin: StandIn, clock: SetClock) -> None:
    standin.script.append(ACCEPT_DROP)
    queue(live, "page")
    dispatch.send_urgent(live, clock.now)
    settle(live, clock, 1)
    dispatch.send_urgent(live, clock.now)
    assert standin.got(PHONE) == ["words k", "words k"]  # one too many is better than one too few


def test_slow_down_is_obeyed_and_nothing_is_lost(live: Runtime, standin: StandIn, clock: SetClock) -> None:
    standin.script.extend([BUSY, BUSY])
    standin.retry_after = "3"
    queue(live)
    dispatch.send_due(live, clock.now)
    dispatch.send_due(live, clock.advance(seconds=2))
    assert sum(standin.posts.values()) == 1
    dispatch.send_due(live, clock.advance(seconds=2))
    dispatch.send_due(live, clock.advance(seconds=5))
    assert standin.got(PHONE) == ["words k"]


def test_what_the_carrier_would_not_take_in_time_becomes_a_task(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.script.extend([BUSY] * 500)
    queue(live, expires_at=clock.now + timedelta(minutes=5))
    for _ in range(40):
        send_due.run(live, clock.advance(seconds=10))
    assert standin.got(PHONE) == [] and reasons(live) == ["late_text"]


def test_a_wrong_setting_of_ours_tells_the_team_at_once_and_the_text_is_kept(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.refusals[PHONE] = 21606
    message_id = queue(live, "safety")
    dispatch.send_urgent(live, clock.now)
    assert state(live, message_id) == "planned" and reasons(live) == ["undeliverable"]
    dispatch.send_urgent(live, clock.advance(seconds=10))
    assert reasons(live) == ["undeliverable"]
    standin.refusals.clear()
    dispatch.send_urgent(live, clock.advance(seconds=10))
    assert standin.got(PHONE) == ["words k"]


def test_one_phone_without_a_route_holds_up_no_other(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    standin.refusals[PHONE] = 21612
    queue(live, key="1", priority=5)
    dispatch.send_due(live, clock.now)
    queue(live, key="2", priority=5, to_phone="+13125550101")
    dispatch.send_due(live, clock.now)
    assert standin.got("+13125550101") == ["words 2"]


# -- workers that died ---------------------------------------------------------------------------------------


def other_process(live: Runtime) -> Runtime:
    """Another worker on the same database, as after a restart."""
    return make_runtime(live.settings, clock=live.clock)


@pytest.mark.parametrize("reached", [True, False])
def test_a_claim_whose_worker_died_is_settled_within_a_minute(
    live: Runtime, standin: StandIn, clock: SetClock, reached: bool
) -> None:
    message_id = queue(live)
    (claimed,), _ = claims.claim(live, outbox.URGENT_LANE, clock.now, 10)  # and the worker is gone
    if reached:
        standin.accept({"To": PHONE, "Body": claimed.body})
    began = clock.now
    worker = other_process(live)
    while state(live, message_id) != "accepted":
        settle_unknown.run(worker, clock.advance(seconds=2))
        dispatch.send_due(worker, clock.now)
    assert clock.now - began < timedelta(seconds=60)
    assert standin.got(PHONE) == ["words k"]
    worker.close()


def test_a_jumping_clock_takes_no_text_out_of_living_hands(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    message_id = queue(live)
    claims.claim(live, outbox.URGENT_LANE, clock.now, 10)
    worker = other_process(live)
    worker.monotonic = lambda: 100.0  # no time passes, whatever the clock says
    for hours in (1, -2, 5):
        assert settle_unknown.run(worker, clock.advance(hours=hours)) == {}
    assert state(live, message_id) == "claimed"
    worker.monotonic = lambda: 125.0
    clock.advance(hours=-20)  # the lease now lies in the far future
    assert settle_unknown.run(worker, clock.now) == {"sent_again": 1}
    worker.close()


def test_the_same_words_twice_to_one_phone_are_told_apart(
    live: Runtime, standin: StandIn, clock: SetClock
) -> None:
    first, second = queue(live, key="1", body="same"), queue(live, key="2", body="same")
    standin.script.extend([ACCEPT_DROP, DROP])
    dispatch.send_due(live, clock.now)
    assert settle_unknown.run(live, clock.advance(seconds=16)) == {"found": 1, "sent_again": 1}
    dispatch.send_due(live, clock.now)
    assert standin.got(PHONE) == ["same", "same"]
    assert {state(live, first), state(live, second)} == {"accepted"}


def test_stopping_gives_back_what_was_not_offered(live: Runtime, standin: StandIn, clock: SetClock) -> None:
    ids = [queue(live, key=f"{number}") for number in range(20)]
    live.stopping.set()
    lane = dispatch.Lane(live, outbox.URGENT_LANE)
    claimed, _ = claims.claim(live, outbox.URGENT_LANE, clock.now, 20)
    for one in claimed:
        lane.in_hand.add(one.id)
        lane.finished.put((one, lane._call(one, 0.0)))
    lane.close()
    assert {state(live, message_id) for message_id in ids} == {"planned"}
    assert standin.texts() == {}
