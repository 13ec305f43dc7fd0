"""Minutes from the red flag to a person who has spoken with the patient: counted, and counted right."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.urgency import Urgency
from service import escalations
from service.db import reading, session_on
from service.runtime import Runtime
from service.safety_figures import Board, Case, figures, safety_board, spread
from service.sight import EVERYTHING
from tests.clinic import ANA, BEN, asked, enroll, text, the_escalation
from tests.test_escalations import do

T0 = datetime(2027, 3, 1, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def case(acknowledged: float | None, contacted: float | None, false_alarm: bool = False) -> Case:
    return Case(
        urgency=Urgency.URGENT,
        raised_at=T0,
        acknowledge_by=T0 + 15 * MINUTE,
        contact_by=T0 + 60 * MINUTE,
        acknowledged_at=None if acknowledged is None else T0 + acknowledged * MINUTE,
        contacted_at=None if contacted is None else T0 + contacted * MINUTE,
        false_alarm=false_alarm,
    )


def test_median_95th_percentile_and_share_inside_the_target() -> None:
    row = figures([case(minutes, minutes * 3) for minutes in range(1, 21)], "urgent", T0 + 100 * MINUTE)
    assert (row.acknowledge.median, row.acknowledge.p95, row.acknowledge.inside) == (10.5, 19, 15 / 20)
    assert (row.contact.median, row.contact.p95, row.contact.inside) == (31.5, 57, 1.0)


def test_one_still_waiting_past_its_deadline_counts_as_late_and_one_within_it_not_at_all() -> None:
    waiting = [case(None, None), case(5, None)]
    early = figures(waiting, "urgent", T0 + 10 * MINUTE)
    assert (early.acknowledge.inside, early.contact.inside) == (1.0, None)
    late = figures(waiting, "urgent", T0 + 61 * MINUTE)
    assert (late.acknowledge.inside, late.contact.inside, late.contact.median) == (0.5, 0.0, None)


def test_nothing_measured_is_nothing_shown() -> None:
    assert spread([], 0, 0) == spread([], 0, 0).__class__(0, None, None, None)


@given(st.lists(st.floats(min_value=0, max_value=1e5), min_size=1, max_size=50))
def test_the_percentile_is_a_measured_value_and_at_least_the_median(minutes: list[float]) -> None:
    found = spread(minutes, 0, len(minutes))
    assert found.p95 in minutes and found.median is not None and found.p95 >= found.median - 1e-6


def board(runtime: Runtime) -> Board:
    with reading(runtime.engine) as session:
        return safety_board(
            session, EVERYTHING, runtime.site, runtime.clock(), runtime.clock() - timedelta(days=30)
        )


def test_the_board_reads_the_rows_as_they_happened(runtime: Runtime, clock) -> None:
    enroll(runtime, days=3)
    text(runtime, ANA, "temp is 101.5")
    row = the_escalation(runtime)
    clock.advance(minutes=4)
    do(runtime, escalations.acknowledge, row)
    clock.advance(minutes=8)
    do(runtime, escalations.contact, row, method="phone")
    clock.advance(days=1)
    found = board(runtime)
    urgent = next(one for one in found.by_urgency if one.urgency == "urgent")
    assert (urgent.cases, urgent.acknowledge.median, urgent.contact.median) == (1, 4, 12)
    assert urgent.acknowledge.inside == urgent.contact.inside == 1.0
    assert found.patient_days == pytest.approx(1.01, abs=0.01)
    assert found.escalations_per_100_patient_days == pytest.approx(100 / found.patient_days, rel=0.01)
    assert [one.hour for one in found.by_hour] == [10]


def test_an_expired_acknowledgement_does_not_count_twice_and_a_false_alarm_is_counted(
    runtime: Runtime, clock
) -> None:
    enroll(runtime, days=3)
    text(runtime, ANA, "temp is 101.5")
    row = the_escalation(runtime)
    do(runtime, escalations.acknowledge, row)
    clock.advance(minutes=90)
    do(runtime, escalations.acknowledge, row, actor="sam@clinic.example")
    do(runtime, escalations.false_alarm, row, should_be="none")
    found = board(runtime)
    assert (found.false_alarms, found.false_alarm_share) == (1, 1.0)
    assert next(one for one in found.by_urgency if one.urgency == "urgent").acknowledge.median == 0


def test_who_is_silent_now(runtime: Runtime, clock) -> None:
    first, second = enroll(runtime, days=3), enroll(runtime, BEN, "Ben Roe", days=3)
    for enrollment in (first, second):
        item = asked(runtime, enrollment, "symptoms", ago=timedelta(hours=30))
        with session_on(runtime.engine) as session:
            item.status = "silent"
            session.add(item)
            session.commit()
    assert board(runtime).silent_patients == 2
    asked(runtime, second, "pain", ago=timedelta(minutes=5))
    assert board(runtime).silent_patients == 2, "a question that waits for its answer ends no silence"
    text(runtime, BEN, "2")
    assert board(runtime).silent_patients == 1


def test_an_empty_clinic_divides_by_nothing(runtime: Runtime) -> None:
    found = board(runtime)
    assert (found.patient_days, found.escalations_per_100_patient_days, found.false_alarm_share) == (
        0,
        None,
        None,
    )
