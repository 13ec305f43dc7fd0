"""What arrived while we were away is found in the carrier's log, stored once, and triaged like any other."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import select

from jobs import catch_up
from service import carrier_log, dispatch, inbox, marks
from service.db import session_on
from service.models import Escalation, OutboundMessage, Reply
from service.runtime import Runtime
from tests.conftest import SetClock
from tests.standin_carrier import StandIn
from tests.test_reconcile import live as live
from tests.test_reconcile import queue, reasons, state
from tests.test_reconcile import standin as standin

PHONE = "+13125550177"


@pytest.fixture
def told(standin: StandIn) -> Iterator[StandIn]:
    standin.write(PHONE, "my foot is numb and I cannot lift it")
    standin.write(PHONE, "hello?", media=1)
    yield standin


def stored(live: Runtime) -> list[Reply]:
    with session_on(live.engine) as session:
        return list(session.exec(select(Reply)))


def test_missed_replies_are_stored_marked_and_triaged(
    live: Runtime,
    told: StandIn,
    clock: SetClock,
) -> None:
    assert carrier_log.catch_up(live, clock.now) == {"read": 2, "caught_up": 2}
    replies = stored(live)
    assert all(reply.caught_up and reply.triaged_at is not None for reply in replies)
    assert [len(reply.media or []) for reply in sorted(replies, key=lambda reply: reply.body)] == [1, 0]
    with session_on(live.engine) as session:
        assert [row.phone for row in session.exec(select(Escalation))] == [PHONE]


def test_reading_again_stores_nothing_twice(live: Runtime, told: StandIn, clock: SetClock) -> None:
    carrier_log.catch_up(live, clock.now)
    assert carrier_log.catch_up(live, clock.now)["caught_up"] == 0
    told.write(PHONE, "one more")
    assert carrier_log.catch_up(live, clock.now)["caught_up"] == 1
    assert len(stored(live)) == 3


def test_what_came_by_webhook_is_not_stored_again(
    live: Runtime,
    told: StandIn,
    clock: SetClock,
) -> None:
    first = told.log[0]
    with session_on(live.engine) as session:
        inbox.receive(
            session,
            now=clock.now,
            carrier_sid=first.sid,
            from_phone=PHONE,
            to_phone=None,
            body=first.body,
        )
    assert carrier_log.catch_up(live, clock.now)["caught_up"] == 1
    assert len(stored(live)) == 2


@pytest.mark.parametrize(("minutes", "alarmed"), [(1, True), (30, False), (None, False)])
def test_replies_refused_at_our_door_alarm_the_team(
    live: Runtime, told: StandIn, clock: SetClock, minutes: int | None, alarmed: bool
) -> None:
    if minutes is not None:
        with session_on(live.engine) as session:
            marks.set_mark(session, "refused:signature", clock.now - timedelta(minutes=minutes), add=1)
            session.commit()
    carrier_log.catch_up(live, clock.now)
    assert ("webhook_refused" in reasons(live)) == alarmed


def test_a_log_that_cannot_be_read_is_read_the_next_time(
    live: Runtime,
    told: StandIn,
    clock: SetClock,
) -> None:
    told.log_answers.extend([500, 503])
    assert carrier_log.catch_up(live, clock.now) == {"unreadable": 1}
    assert carrier_log.catch_up(live, clock.now) == {"unreadable": 1}
    assert carrier_log.catch_up(live, clock.now)["caught_up"] == 2


@pytest.mark.parametrize(("code", "ends"), [(None, "delivered"), (30005, "undelivered")])
def test_receipts_that_never_came_are_found_in_the_log(
    live: Runtime,
    standin: StandIn,
    clock: SetClock,
    code: int | None,
    ends: str,
) -> None:
    standin.receipts = ("sent", "delivered")
    if code:
        standin.later["+13125550100"] = code
    message_id = queue(live)
    dispatch.send_due(live, clock.now)
    standin.outbox.clear()
    assert state(live, message_id) == "accepted"
    assert catch_up.run(live, clock.advance(minutes=11))["receipts"] == 1
    assert state(live, message_id) == ends
    assert reasons(live) == (["undeliverable"] if code else [])
    assert "receipts" not in catch_up.run(live, clock.advance(minutes=1))


def test_our_own_texts_are_never_taken_for_replies(
    live: Runtime,
    standin: StandIn,
    clock: SetClock,
) -> None:
    queue(live)
    dispatch.send_due(live, clock.now)
    assert carrier_log.catch_up(live, clock.now)["read"] == 0
    with session_on(live.engine) as session:
        assert session.exec(select(OutboundMessage)).one().status == "accepted"
