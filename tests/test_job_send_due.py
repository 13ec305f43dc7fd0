"""The two sending jobs: nothing due, not yet due, due, due again."""

from datetime import timedelta

from jobs import send_due, send_urgent
from service.runtime import Runtime
from tests.conftest import SetClock
from tests.test_dispatch import on_phone, planned


def test_nothing_due(runtime: Runtime, clock: SetClock) -> None:
    assert send_due.run(runtime, clock.now) == {} and send_urgent.run(runtime, clock.now) == {}


def test_not_yet_due_then_due_then_due_again(runtime: Runtime, clock: SetClock) -> None:
    planned(runtime, "later", priority=5, due_at=clock.now + timedelta(seconds=30))
    assert send_due.run(runtime, clock.advance(seconds=29)) == {}
    assert send_due.run(runtime, clock.advance(seconds=1)) == {"claimed": 1, "accepted": 1}
    assert send_due.run(runtime, clock.now) == {}
    assert on_phone(runtime) == ["text later"]


def test_the_urgent_job_leaves_the_plan_alone(runtime: Runtime, clock: SetClock) -> None:
    planned(runtime, "check-in", priority=5)
    planned(runtime, "call 911", kind="safety")
    assert send_urgent.run(runtime, clock.now) == {"claimed": 1, "accepted": 1}
    assert on_phone(runtime) == ["text call 911"]
    assert send_due.run(runtime, clock.now)["accepted"] == 1


def test_a_stopping_process_takes_nothing_more(runtime: Runtime, clock: SetClock) -> None:
    planned(runtime, "late", kind="safety")
    runtime.stopping.set()
    assert send_urgent.run(runtime, clock.now) == {} and send_due.run(runtime, clock.now) == {}
    assert on_phone(runtime) == []
