"""Receipts late, early, twice, shuffled, and not ours: a text's state only ever moves forward."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import pytest
from sqlmodel import select

from service import claims, dispatch, marks, outbox, receipts, results
from service.db import session_on
from service.models import Escalation, OutboundMessage, PhoneState
from service.runtime import Runtime
from tests.conftest import SetClock

PHONE = "+13125550100"
SID = "SM" + "a" * 32


@pytest.fixture
def claimed(runtime: Runtime, clock: SetClock) -> Iterator[claims.Claimed]:
    """One text in a worker's hands, the carrier not yet heard of."""
    with session_on(runtime.engine) as session:
        outbox.queue(
            session,
            now=clock.now,
            key="k",
            kind="notice",
            to_phone=PHONE,
            body="hello",
            expires_at=clock.now + timedelta(hours=2),
        )
        session.commit()
    (one,), _ = claims.claim(runtime, outbox.URGENT_LANE, clock.now, 10)
    yield one


def tell(
    runtime: Runtime, status: str, *, sid: str = SID, own: str | None = None, code: str | None = None
) -> str:
    with session_on(runtime.engine) as session:
        word = receipts.record(
            session,
            runtime,
            message_id=own,
            carrier_sid=sid,
            status=status,
            error_code=code,
            now=runtime.clock(),
        )
        session.commit()
    return word


def only_row(runtime: Runtime) -> OutboundMessage:
    with session_on(runtime.engine) as session:
        return session.exec(select(OutboundMessage)).one()


@pytest.mark.parametrize("order", list(permutations(["queued", "sent", "delivered"])))
def test_any_order_ends_delivered(runtime: Runtime, claimed: claims.Claimed, order: tuple[str, ...]) -> None:
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    seen = []
    for status in order:
        tell(runtime, status)
        tell(runtime, status)
        seen.append(only_row(runtime).status)
    assert seen[-1] == "delivered"
    assert seen == sorted(seen, key=lambda state: receipts.RANKS[state])


def test_a_receipt_before_our_commit_settles_and_is_not_undone(
    runtime: Runtime, claimed: claims.Claimed
) -> None:
    assert tell(runtime, "delivered", own=claimed.id) == "moved"
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    row = only_row(runtime)
    assert (row.status, row.carrier_sid) == ("delivered", SID)


def test_a_receipt_settles_what_nobody_knew(runtime: Runtime, claimed: claims.Claimed) -> None:
    with session_on(runtime.engine) as session:
        assert results.write_unknown(session, claimed, "no answer", runtime.clock())
        session.commit()
    assert only_row(runtime).status == "unknown"
    tell(runtime, "sent", own=claimed.id)
    row = only_row(runtime)
    assert (row.status, row.carrier_sid, row.lease_until) == ("sent", SID, None)
    assert dispatch.send_due(runtime, runtime.clock()) == {}


def test_texts_that_are_not_ours_change_nothing(runtime: Runtime, claimed: claims.Claimed) -> None:
    assert tell(runtime, "delivered", sid="SM" + "b" * 32, own="f" * 32) == "not_ours"
    assert tell(runtime, "delivered", sid="SM" + "b" * 32) == "not_ours"
    assert only_row(runtime).status == "claimed"
    with session_on(runtime.engine) as session:
        mark = marks.get_mark(session, "receipts:not_ours")
        assert mark is not None and mark.count == 2


def test_an_unheard_of_state_is_counted_and_changes_nothing(
    runtime: Runtime, claimed: claims.Claimed
) -> None:
    assert tell(runtime, "teleported", own=claimed.id) == "odd"
    assert only_row(runtime).status == "claimed"


@pytest.mark.parametrize(("code", "mark"), [("30005", True), ("30006", True), ("30008", False)])
def test_an_undelivered_text_becomes_a_task_that_says_why(
    runtime: Runtime, claimed: claims.Claimed, code: str, mark: bool
) -> None:
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    tell(runtime, "undelivered", code=code)
    tell(runtime, "undelivered", code=code)
    assert (only_row(runtime).status, only_row(runtime).error_code) == ("undelivered", code)
    with session_on(runtime.engine) as session:
        (task,) = session.exec(select(Escalation)).all()
        assert task.reason == "undeliverable" and "not delivered" in (task.summary or "")
        state = session.get(PhoneState, PHONE)
        assert (state is not None and state.unreachable_at is not None) == mark


def test_a_phone_that_was_given_up_is_texted_again_once_a_text_reached_it(
    runtime: Runtime, claimed: claims.Claimed
) -> None:
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    tell(runtime, "undelivered", code="30006")
    tell(runtime, "delivered")  # receipts come in any order
    with session_on(runtime.engine) as session:
        state = session.get_one(PhoneState, PHONE)
        assert (state.unreachable_at, state.code, state.opted_out_at) == (None, None, None)


def test_delivered_is_never_taken_back(runtime: Runtime, claimed: claims.Claimed) -> None:
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    tell(runtime, "delivered")
    assert tell(runtime, "undelivered", code="30003") == "known"
    assert only_row(runtime).status == "delivered"
    with session_on(runtime.engine) as session:
        assert session.exec(select(Escalation)).all() == []


def test_a_stale_worker_can_only_report_acceptance(runtime: Runtime, claimed: claims.Claimed) -> None:
    stale = claims.Claimed(**{**{f: getattr(claimed, f) for f in claimed.__slots__}, "fence": 0})
    with session_on(runtime.engine) as session:
        results.write_given_back(
            session, runtime, [results.GivenBack(stale, runtime.clock())], runtime.clock()
        )
        assert not results.write_unknown(session, stale, "no answer", runtime.clock())
        session.commit()
    assert not results.write_refused(runtime, stale, "21610", runtime.clock())
    assert only_row(runtime).status == "claimed"
    results.write_accepted(runtime, [(stale, SID)], runtime.clock())
    assert only_row(runtime).carrier_sid == SID


def test_a_carrier_that_repeats_an_id_loses_no_text(runtime: Runtime, claimed: claims.Claimed) -> None:
    results.write_accepted(runtime, [(claimed, SID)], runtime.clock())
    with session_on(runtime.engine) as session:
        outbox.queue(
            session,
            now=runtime.clock(),
            key="second",
            kind="notice",
            to_phone=PHONE,
            body="again",
            expires_at=runtime.clock() + timedelta(hours=2),
        )
        session.commit()
    (second,), _ = claims.claim(runtime, outbox.URGENT_LANE, runtime.clock(), 10)
    results.write_accepted(runtime, [(second, SID)], runtime.clock())
    with session_on(runtime.engine) as session:
        row = session.get_one(OutboundMessage, second.id)
        assert (row.status, row.carrier_sid) == ("accepted", None)
