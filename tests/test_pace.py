"""A sender's pace holds across workers; urgent texts use it up and never wait for it."""

from datetime import timedelta

from service import claims, dispatch, outbox, pace
from service.db import session_on
from service.runtime import Runtime, make_runtime
from tests.conftest import SetClock, settings_for
from tests.test_dispatch import on_phone, planned


def paced(database_url: str, clock: SetClock, per_second: float) -> Runtime:
    return make_runtime(settings_for(database_url, pace=str(per_second)), clock=clock)


def routine(runtime: Runtime, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        planned(runtime, f"r{number}", priority=5)


def claimed(runtime: Runtime, limit: int = 100) -> list[float]:
    taken, _ = claims.claim(runtime, outbox.ROUTINE_LANE, runtime.clock(), limit)
    return [round(one.after, 3) for one in taken]


def test_one_second_of_texts_is_claimed_and_spread_over_it(database_url: str, clock: SetClock) -> None:
    runtime = paced(database_url, clock, 4)
    routine(runtime, 20)
    assert claimed(runtime) == [0.0, 0.25, 0.5, 0.75]
    assert claimed(runtime) == []
    clock.advance(seconds=1)
    assert claimed(runtime) == [0.0, 0.25, 0.5, 0.75]
    runtime.close()


def test_two_workers_share_the_pace(database_url: str, clock: SetClock) -> None:
    first, second = paced(database_url, clock, 2), paced(database_url, clock, 2)
    routine(first, 60)
    sent = 0
    for _ in range(10):
        sent += len(claimed(first)) + len(claimed(second))
        clock.advance(seconds=1)
    assert sent == 20
    first.close()
    second.close()


def test_less_than_one_text_a_second(database_url: str, clock: SetClock) -> None:
    runtime = paced(database_url, clock, 0.5)
    routine(runtime, 10)
    counts = []
    for _ in range(6):
        counts.append(len(claimed(runtime)))
        clock.advance(seconds=1)
    assert sum(counts) == 3
    runtime.close()


def test_urgent_texts_go_at_once_and_the_others_after_them(database_url: str, clock: SetClock) -> None:
    runtime = paced(database_url, clock, 1)
    for number in range(5):
        planned(runtime, f"s{number}", kind="safety", to_phone=f"+1312555020{number}")
    routine(runtime, 3)
    assert dispatch.send_urgent(runtime, clock.now)["accepted"] == 5
    assert claimed(runtime) == []
    clock.advance(seconds=5)
    assert len(claimed(runtime)) == 1
    runtime.close()


def test_a_hold_is_kept_by_all_even_without_a_pace(runtime: Runtime, clock: SetClock) -> None:
    routine(runtime, 1)
    with session_on(runtime.engine) as session:
        pace.hold(session, runtime.carrier.sender, clock.now + timedelta(seconds=30), clock.now)
        session.commit()
    dispatch.send_due(runtime, clock.now)
    assert on_phone(runtime) == []
    dispatch.send_due(runtime, clock.advance(seconds=31))
    assert on_phone(runtime) == ["text r0"]


def test_a_clock_that_jumps_back_does_not_silence_a_sender(database_url: str, clock: SetClock) -> None:
    runtime = paced(database_url, clock, 1)
    routine(runtime, 2)
    assert len(claimed(runtime)) == 1
    clock.advance(hours=-3)
    routine(runtime, 1, first=10)
    assert len(claimed(runtime)) == 1
    runtime.close()


def test_late_texts_expire_however_slow_the_pace(database_url: str, clock: SetClock) -> None:
    runtime = paced(database_url, clock, 0.01)
    routine(runtime, 30)
    clock.advance(hours=3)
    assert dispatch.send_due(runtime, clock.now)["expired"] == 30
    runtime.close()
