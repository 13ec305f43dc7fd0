"""Nothing more goes out: after STOP, after the carrier's own opt-out, after a withdrawal. At once, whoever
holds a text in hand at that moment."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event, text

from service import claims, dispatch, enrollments, inbox, outbox, plan, planning, reconcile, results
from service.carriers.simulator import SimulatorCarrier
from service.db import session_on
from service.models import Enrollment, OutboundMessage, PlanItem
from service.results import GivenBack
from service.runtime import Runtime
from tests.clinic import ANA, BEN, enroll, in_session, rows
from tests.clinic import text as write
from tests.conftest import SetClock

OPTED_OUT = planning.OPTED_OUT


def scheduled(runtime: Runtime, phone: str = ANA, status: str = "planned") -> list[OutboundMessage]:
    return rows(
        runtime,
        OutboundMessage,
        OutboundMessage.to_phone == phone,
        OutboundMessage.kind == "check_in",
        OutboundMessage.status == status,
    )


def plan_of(runtime: Runtime, course: Enrollment, status: str) -> dict[str, PlanItem]:
    found = rows(runtime, PlanItem, PlanItem.enrollment_id == course.id, PlanItem.status == status)
    return {item.key: item for item in found}


def got(runtime: Runtime, phone: str = ANA) -> list[str]:
    assert isinstance(runtime.carrier, SimulatorCarrier)
    since = runtime.clock() - timedelta(days=30)
    return [line.body for line in runtime.carrier.log(to_phone=phone, since=since, direction="out")]


@contextmanager
def cancelling(runtime: Runtime) -> Iterator[list[str]]:
    """The statements that cancel texts meanwhile."""
    found: list[str] = []

    def look(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE outbound_messages"):
            found.append(statement)

    event.listen(runtime.engine, "before_cursor_execute", look)
    yield found
    event.remove(runtime.engine, "before_cursor_execute", look)


def test_stop_cancels_every_check_in_to_that_phone_in_one_statement(runtime: Runtime) -> None:
    course, shared, other = enroll(runtime), enroll(runtime, name="Luis Doe"), enroll(runtime, BEN, "Ben")
    planned = len(scheduled(runtime))
    assert planned > 10
    with cancelling(runtime) as statements:
        write(runtime, ANA, "STOP")
    assert len(statements) == 1
    gone = scheduled(runtime, status="cancelled")
    assert len(gone) == planned and scheduled(runtime) == []
    assert {(row.why, row.settled_at) for row in gone} == {(OPTED_OUT, runtime.clock())}
    for one in (course, shared):
        assert plan_of(runtime, one, "planned") == {}
        assert {item.why for item in plan_of(runtime, one, "cancelled").values()} == {OPTED_OUT}
    assert len(scheduled(runtime, BEN)) == len(plan_of(runtime, other, "planned")) > 5


def test_the_carriers_word_that_a_phone_opted_out_cancels_the_rest_as_well(
    runtime: Runtime, clock: SetClock
) -> None:
    opted_out = "+15005550004"
    course = enroll(runtime, opted_out)
    with session_on(runtime.engine) as session:
        outbox.queue(
            session, now=clock(), key="a", kind="notice", to_phone=opted_out, body="hello",
            expires_at=clock() + timedelta(hours=1),
        )  # fmt: skip
        session.commit()
    dispatch.send_urgent(runtime, clock())
    assert scheduled(runtime, opted_out) == [] and plan_of(runtime, course, "planned") == {}


def test_start_plans_what_is_still_to_come_again_and_the_team_confirms_first(
    runtime: Runtime, clock: SetClock
) -> None:
    course = enroll(runtime)
    before = {item.key: item.due_at for item in plan_of(runtime, course, "planned").values()}
    write(runtime, ANA, "STOP")
    clock.advance(days=2)
    write(runtime, ANA, "START")
    write(runtime, ANA, "START")  # again changes nothing
    after = {item.key: item.due_at for item in plan_of(runtime, course, "planned").values()}
    assert after == {key: due_at for key, due_at in before.items() if due_at > clock()} and after
    assert set(plan_of(runtime, course, "cancelled")) == set(before) - set(after) != set()
    assert sorted(row.due_at for row in scheduled(runtime)) == sorted(after.values())
    clock.advance(hours=1)
    (running,) = rows(runtime, Enrollment)
    assert running.status == "paused"
    in_session(runtime, enrollments.resume, enrollment_id=course.id, actor="test")
    for _ in range(5 * 24):
        dispatch.send_due(runtime, clock.advance(hours=1))
    assert len(got(runtime)) >= 3


def test_a_phone_that_wavers_while_we_are_down_is_asked_all_the_same(
    runtime: Runtime, clock: SetClock
) -> None:
    """A backlog is read at one and the same time: what START plans twice is two texts, never an old one."""
    course = enroll(runtime)
    before = plan_of(runtime, course, "planned")
    clock.advance(hours=5)
    for number, word in enumerate(("STOP", "START", "STOP", "START")):
        with session_on(runtime.engine) as session:
            given = {"carrier_sid": f"SM{number:032d}", "from_phone": ANA, "to_phone": None, "body": word}
            at = clock.now - timedelta(minutes=9 - number)
            inbox.store(session, [inbox.Arrival(**given, received_at=at)], clock.now)
    assert inbox.triage_backlog(runtime, clock.now) == {"tried": 4, "triaged": 4}
    after = plan_of(runtime, course, "planned")
    assert set(after) == {key for key, item in before.items() if item.due_at > clock.now} and after
    assert sorted(row.plan_item_id for row in scheduled(runtime)) == sorted(i.id for i in after.values())


def test_a_procedure_moved_meanwhile_is_heard_when_the_phone_starts_again(
    runtime: Runtime, clock: SetClock
) -> None:
    course = enroll(runtime, days=0.1)
    last = max(item.due_at for item in plan_of(runtime, course, "planned").values())
    write(runtime, ANA, "STOP")
    change = enrollments.Change(procedure_at=course.procedure_at - timedelta(days=1))
    move(runtime, course, change)
    assert scheduled(runtime) == [] and plan_of(runtime, course, "planned") == {}
    write(runtime, ANA, "START")
    found = plan_of(runtime, course, "planned")
    assert max(item.due_at for item in found.values()) == last - timedelta(days=1)
    assert sorted(row.due_at for row in scheduled(runtime)) == sorted(i.due_at for i in found.values())


def move(runtime: Runtime, course: Enrollment, change: enrollments.Change) -> None:
    with session_on(runtime.engine) as session:
        enrollments.change(session, runtime, course.id, change, now=runtime.clock(), actor="test")


def test_withdrawing_cancels_in_one_statement(runtime: Runtime) -> None:
    course = enroll(runtime)
    with cancelling(runtime) as statements:
        in_session(runtime, enrollments.withdraw, enrollment_id=course.id, actor="test")
    assert len(statements) == 1
    assert scheduled(runtime) == [] and plan_of(runtime, course, "planned") == {}
    assert {row.why for row in scheduled(runtime, status="cancelled")} == {"withdrawn"}


# -- with a text in somebody's hands -------------------------------------------------------------------------


def stop(runtime: Runtime, _course: Enrollment) -> None:
    write(runtime, ANA, "STOP")


def stop_with_a_symptom(runtime: Runtime, _course: Enrollment) -> None:
    write(runtime, ANA, "my left foot is numb")
    write(runtime, ANA, "STOP")


def withdraw(runtime: Runtime, course: Enrollment) -> None:
    in_session(runtime, enrollments.withdraw, enrollment_id=course.id, actor="test")


def move_away(runtime: Runtime, course: Enrollment) -> None:
    move(runtime, course, enrollments.Change(procedure_at=course.procedure_at - timedelta(minutes=30)))


Act = Callable[[Runtime, Enrollment], None]
ENDS = pytest.mark.parametrize("act", [stop, stop_with_a_symptom, withdraw])


def one_due(runtime: Runtime, clock: SetClock) -> Enrollment:
    """A course, at the moment its next check-in comes due and may go."""
    course = enroll(runtime, days=2)
    for _ in range(40):
        first = min(row.due_at for row in scheduled(runtime))
        clock.now = max(clock.now, first)
        with session_on(runtime.engine) as session:
            due = [row for row in scheduled(runtime) if row.due_at <= clock.now]
            decisions = plan.release(session, runtime, due, clock.now)
            session.rollback()
        if any(type(one).__name__ == "Go" for one in decisions.values()):
            return course
        claims.claim(runtime, outbox.ROUTINE_LANE, clock.now, 100)  # those that wait are put off
        clock.advance(minutes=1)
    raise AssertionError("no check-in ever may go")


@ENDS
@pytest.mark.parametrize("result", ["accepted", "given back", "unknown"])
def test_a_text_in_hand_goes_or_is_cancelled_and_never_stays(
    runtime: Runtime, clock: SetClock, act: Act, result: str
) -> None:
    course = one_due(runtime, clock)
    (claimed,), _ = claims.claim(runtime, outbox.ROUTINE_LANE, clock(), 10)
    act(runtime, course)
    if result == "accepted":
        results.write_accepted(runtime, [(claimed, "SM" + "1" * 32)], clock())
    with session_on(runtime.engine) as session:
        if result == "given back":
            results.write_given_back(session, runtime, [GivenBack(claimed, clock(), "20429")], clock())
        elif result == "unknown":
            results.write_unknown(session, claimed, "no answer", clock())
        session.commit()
    for _ in range(6):
        reconcile.settle(runtime, clock.advance(seconds=16))
        dispatch.send_due(runtime, clock())
    states = {
        row.id: row.status for row in rows(runtime, OutboundMessage, OutboundMessage.kind == "check_in")
    }
    assert states[claimed.id] == ("accepted" if result == "accepted" else "cancelled")
    assert "planned" not in states.values() and claimed.body not in got(runtime)
    (item,) = rows(runtime, PlanItem, PlanItem.id == claimed.plan_item_id)
    assert item.status in (("sent", "answered") if result == "accepted" else ("skipped", "cancelled"))


@pytest.mark.parametrize("act", [stop, stop_with_a_symptom, withdraw, move_away])
def test_a_worker_that_has_looked_and_not_yet_decided_sends_nothing_more(
    runtime: Runtime, clock: SetClock, monkeypatch: pytest.MonkeyPatch, act: Act
) -> None:
    """It holds the rows when the end is committed (PostgreSQL), or ends first (SQLite has one writer). Nobody
    waits for one another."""
    course = one_due(runtime, clock)
    due_before = {row.id for row in scheduled(runtime) if row.due_at <= clock.now}
    looked, go_on, decide = Event(), Event(), claims.decide

    def slowly(*args: Any) -> Any:
        looked.set()
        assert go_on.wait(20)
        return decide(*args)

    monkeypatch.setattr(claims, "decide", slowly)
    concurrent = runtime.engine.dialect.name == "postgresql"
    with ThreadPoolExecutor(2) as pool:
        worker = pool.submit(claims.claim, runtime, outbox.ROUTINE_LANE, clock(), 10)
        assert looked.wait(20)
        ending = pool.submit(act, runtime, course)
        if concurrent and act is not move_away:
            ending.result(20)  # it does not wait for the worker
        elif concurrent:
            until_somebody_waits(runtime)
        go_on.set()
        ending.result(20)
        taken, _ = worker.result(20)
    left = {row.id for row in scheduled(runtime)}
    if concurrent and act is not move_away:
        assert taken == [] and left == set()
    else:
        assert {one.id for one in taken} <= due_before
    if act is move_away:  # each question has one text at most that may still go
        items = [row.plan_item_id for row in scheduled(runtime)]
        assert len(items) == len(set(items)) and not set(items) & {one.plan_item_id for one in taken}


def until_somebody_waits(runtime: Runtime) -> None:
    pause = Event()
    for _ in range(1000):
        with runtime.engine.connect() as connection:
            if connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                return
        pause.wait(0.01)
    raise AssertionError("nobody waits")
