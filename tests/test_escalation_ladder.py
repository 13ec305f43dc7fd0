"""Pure: who must have been told by now, and by when somebody must have acted."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.escalation import (
    TEAM,
    Step,
    acknowledgement_expires,
    clocks,
    hour_or_morning,
    ladder_for,
    morning_after,
    sooner,
    standing,
    steps_of,
)
from messages.site import Site
from messages.urgency import Urgency

SITE = Site(timezone="America/Chicago")
ZONE = "America/Chicago"
T0 = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)  # Monday 10:00 in Chicago
MINUTE = timedelta(minutes=1)
THREE = tuple(Step(number, 5 * MINUTE, 2 * MINUTE) for number in (1, 2, 3))


def told(at: datetime, lost: dict[int, datetime] | None = None) -> list[tuple[int, int]]:
    return [(round.tier, round.number) for round in standing(THREE, T0, at, lost).told]


@pytest.mark.parametrize(
    "minutes, expected",
    [
        (-1, []),
        (0, [(1, 0)]),
        (2, [(1, 1)]),
        (4.99, [(1, 2)]),
        (5, [(1, 2), (2, 0)]),
        (11, [(1, 2), (2, 2), (3, 0)]),
        (15, [(1, 2), (2, 2), (3, 2), (TEAM, 0)]),
        (60, [(1, 2), (2, 2), (3, 2), (TEAM, 22)]),
    ],
)
def test_tiers_are_told_in_turn_and_then_the_team_again_and_again(
    minutes: float, expected: list[tuple[int, int]]
) -> None:
    assert told(T0 + minutes * MINUTE) == expected


def test_a_lost_tier_passes_the_turn_on_at_once() -> None:
    lost = {1: T0 + MINUTE}
    assert told(T0 + MINUTE, lost) == [(1, 0), (2, 0)]
    assert told(T0 + 6 * MINUTE, lost) == [(1, 0), (2, 2), (3, 0)]


def test_with_every_tier_lost_the_team_is_told_at_once() -> None:
    assert told(T0, dict.fromkeys((1, 2, 3), T0)) == [(TEAM, 0)]


moments = st.integers(min_value=0, max_value=60 * 60 * 24).map(
    lambda seconds: T0 + timedelta(seconds=seconds)
)
losses = st.dictionaries(st.sampled_from([1, 2, 3]), moments, max_size=3)


@given(moments, moments, losses)
def test_nobody_who_must_have_been_told_is_ever_forgotten_again(
    one: datetime, other: datetime, lost: dict[int, datetime]
) -> None:
    early, late = sorted((one, other))
    before = {round.tier for round in standing(THREE, T0, early, lost).told}
    after = {round.tier for round in standing(THREE, T0, late, lost).told}
    assert before <= after


@given(moments, losses)
def test_there_is_always_a_next_event_and_looking_then_changes_something(
    at: datetime, lost: dict[int, datetime]
) -> None:
    now = standing(THREE, T0, at, lost)
    assert at < now.next_at <= at + 5 * MINUTE
    assert standing(THREE, T0, now.next_at, lost).told != now.told


@given(moments, losses)
def test_a_loss_never_makes_anybody_be_told_later(at: datetime, lost: dict[int, datetime]) -> None:
    without = {round.tier for round in standing(THREE, T0, at).told}
    known = {tier: when for tier, when in lost.items() if when <= at}
    assert without - set(known) <= {round.tier for round in standing(THREE, T0, at, known).told}


def test_emergency_and_urgent_are_told_at_once_with_their_targets() -> None:
    emergency = clocks(SITE, Urgency.EMERGENCY, T0)
    assert (emergency.page_at, emergency.acknowledge_by, emergency.contact_by) == (
        T0,
        T0 + 5 * MINUTE,
        T0 + 15 * MINUTE,
    )
    urgent = clocks(SITE, Urgency.URGENT, T0)
    assert (urgent.acknowledge_by - T0, urgent.contact_by - T0) == (15 * MINUTE, 60 * MINUTE)


@pytest.mark.parametrize(
    "at, due",
    [
        (T0, datetime(2027, 3, 2, 23, tzinfo=UTC)),  # Monday: Tuesday 17:00
        (T0 + timedelta(days=4), datetime(2027, 3, 8, 23, tzinfo=UTC)),  # Friday: Monday
        (T0 + timedelta(days=6, hours=1), datetime(2027, 3, 8, 23, tzinfo=UTC)),  # Sunday: Monday
    ],
)
def test_routine_is_due_by_the_close_of_the_next_business_day(at: datetime, due: datetime) -> None:
    times = clocks(SITE, Urgency.ROUTINE, at)
    assert times.acknowledge_by == due and times.page_at == due - 60 * MINUTE


def test_a_holiday_is_no_business_day() -> None:
    site = Site(timezone=ZONE, holidays=(date(2027, 3, 2),))
    assert clocks(site, Urgency.ROUTINE, T0).acknowledge_by == datetime(2027, 3, 3, 23, tzinfo=UTC)


def test_a_deadline_of_its_own_starts_the_ladder_an_hour_before_it() -> None:
    due = T0 + timedelta(hours=23, minutes=30)
    times = clocks(SITE, Urgency.URGENT, T0, due)
    assert (times.page_at, times.acknowledge_by, times.contact_by) == (due - 60 * MINUTE, due, due)


def test_a_deadline_within_the_hour_pages_at_once() -> None:
    assert clocks(SITE, Urgency.ROUTINE, T0, T0 + 30 * MINUTE).page_at == T0


@pytest.mark.parametrize(
    "at, due",
    [
        (T0, T0 + 60 * MINUTE),
        (T0.replace(hour=14, minute=30), T0.replace(hour=15, minute=30)),  # 08:30
        (T0.replace(hour=14, minute=29), T0.replace(hour=15, minute=30)),  # 08:29: 09:30
        (T0.replace(day=2, hour=2), T0.replace(day=2, hour=15, minute=30)),  # 20:00
        (T0.replace(day=6, hour=5), T0.replace(day=6, hour=15, minute=30)),  # Friday 23:00: Saturday
        (T0.replace(day=14, hour=5), T0.replace(day=14, hour=14, minute=30)),  # clocks go forward that night
    ],
)
def test_an_unclear_reply_is_due_in_an_hour_by_day_and_at_half_past_nine_after_a_night(
    at: datetime, due: datetime
) -> None:
    assert hour_or_morning(at, SITE, ZONE) == due


@given(st.integers(min_value=0, max_value=365 * 24 * 60).map(lambda minutes: T0 + minutes * MINUTE))
def test_the_next_morning_is_always_ahead_and_within_a_day_and_an_hour(at: datetime) -> None:
    assert timedelta(0) < morning_after(at, SITE, ZONE) - at <= timedelta(hours=25)


@given(st.sampled_from(list(Urgency)), st.sampled_from(list(Urgency)), moments, moments)
def test_joining_never_gives_more_time(
    first: Urgency, second: Urgency, one: datetime, other: datetime
) -> None:
    a, b = clocks(SITE, first, one), clocks(SITE, second, other)
    both = sooner(a, b)
    assert both.acknowledge_by <= a.acknowledge_by and both.contact_by <= b.contact_by


def test_a_frozen_ladder_comes_back_as_it_was_and_names_who_is_told_besides() -> None:
    frozen = ladder_for(SITE, Urgency.EMERGENCY, ["nora@clinic.example"])
    steps = steps_of(frozen)
    assert [step.tier for step in steps] == [1, 2, 3]
    assert steps[0].also == ("nora@clinic.example",) and steps[1].also == ()
    assert steps_of([]), "an empty ladder still tells somebody"


def test_an_acknowledgement_does_not_last_for_ever() -> None:
    assert acknowledgement_expires(SITE, Urgency.EMERGENCY, T0) - T0 == 15 * MINUTE
    assert acknowledgement_expires(SITE, Urgency.ROUTINE, T0) - T0 == timedelta(days=1)
