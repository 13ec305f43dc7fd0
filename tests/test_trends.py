"""What a recovery shows over time: temperatures beside the pain, read from the patient's own words."""

from service.db import reading
from service.models import Enrollment
from service.plots import heat_plot
from service.runtime import Runtime
from service.web.trends import readings, trends
from tests.clinic import ANA, asked, enroll, rows, text
from tests.conftest import SetClock
from tests.web_clinic import browser_of, words_of


def test_temperatures_are_read_in_either_unit_and_drawn_against_the_fever_line(
    runtime: Runtime, clock: SetClock
):
    course = enroll(runtime, days=2)
    for words in ("temp is 98.6", "38.5 C now", "my temperature is 101.5", "pain is 7", "call me at 5"):
        clock.advance(minutes=30)
        text(runtime, ANA, words)
    (stored,) = rows(runtime, Enrollment)
    with reading(runtime.engine) as session:
        found = readings(session, stored)
        drawn = trends(session, stored, clock())
    assert [round(degrees, 1) for _, degrees in found] == [98.6, 101.3, 101.5]
    assert drawn.heat is not None
    assert [y < drawn.heat.fever_y for _, y, _, _ in drawn.heat.points] == [False, True, True]
    page = words_of(browser_of(runtime).text(f"/patients/{course.patient_id}"))
    assert "Temperature" in page and "3 readings, latest 101.5 °F" in page


def test_without_a_temperature_there_is_no_empty_plot(runtime: Runtime, clock: SetClock):
    course = enroll(runtime)
    asked(runtime, course, "pain")
    text(runtime, ANA, "5")
    assert heat_plot([], course.procedure_at, clock(), 100.4) is None
    assert "Temperature" not in words_of(browser_of(runtime).text(f"/patients/{course.patient_id}"))


def test_no_reading_leaves_the_frame(clock: SetClock):
    at = clock()
    drawn = heat_plot([(at, 80.0), (at, 130.0)], at, at, 100.4)
    assert drawn is not None
    assert all(drawn.top <= y <= drawn.bottom for _, y, _, _ in drawn.points)
