"""The plan of one enrollment in the patient's own time: windows, clock changes, first evening, wound clock,
late enrollment, re-planning. Whether a text that came due may go is tested in test_release.py."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from messages.protocol import load
from messages.schedule import Facts, PlannedCheckIn, QuietHours, plan
from messages.site import DEFAULT_SITE

PROTOCOLS = load((), DEFAULT_SITE)
QUIET = QuietHours.parse("20:00-09:00")
CHICAGO = "America/Chicago"


def at(text: str, zone: str = CHICAGO) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def facts(
    procedure: str,
    *,
    zone: str = CHICAGO,
    home: str | None = None,
    enrolled: str | None = None,
    thinner: bool | None = False,
    visit: date | None = None,
) -> Facts:
    return Facts(
        procedure_at=at(procedure, zone),
        discharged_at=at(home, zone) if home else None,
        timezone=zone,
        enrolled_at=at(enrolled or procedure, zone),
        on_blood_thinner=thinner,
        follow_up_on=visit,
    )


def planned(name: str, known: Facts, quiet: QuietHours = QUIET) -> dict[str, PlannedCheckIn]:
    return {entry.check_in.key: entry for entry in plan(PROTOCOLS[name], known, quiet, known.enrolled_at)}


def local(entry: PlannedCheckIn) -> str:
    assert entry.status == "planned", entry.why
    return f"{entry.local:%m-%d %H:%M}"


# --- The first day --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("procedure", "asked"),
    [
        ("2027-06-07 09:00", "06-07 13:00"),
        ("2027-06-07 15:30", "06-07 19:30"),
        ("2027-06-07 16:00", "06-07 19:30"),  # four hours later would be too late
        ("2027-06-07 18:30", "06-07 19:30"),
        ("2027-06-07 18:45", "06-07 19:45"),  # an hour after the procedure
        ("2027-06-07 19:59", "06-07 20:59"),  # the one text that may go between 20:00 and 21:00
        ("2027-06-07 03:00", "06-07 09:15"),  # right after the welcome, when the window opens
    ],
)
def test_the_first_evening_question_of_a_vertebroplasty(procedure: str, asked: str) -> None:
    entry = planned("vertebroplasty", facts(procedure))["d0_symptoms"]
    assert local(entry) == asked
    assert entry.expires_at.astimezone(ZoneInfo(CHICAGO)) <= at(f"{procedure[:10]} 21:00")


@pytest.mark.parametrize("procedure", ["2027-06-07 20:00", "2027-06-07 22:15", "2027-06-07 23:59"])
def test_too_late_for_the_first_evening_it_opens_the_next_morning(procedure: str) -> None:
    course = planned("vertebroplasty", facts(procedure))
    assert course["d0_symptoms"].status == "skipped"
    assert "next morning" in course["d0_symptoms"].why
    asked = [each for each in course.values() if each.check_in.asks not in (None, "welcome")]
    opening = min((each for each in asked if each.status == "planned"), key=lambda each: each.due_at)
    assert opening.check_in.key == "d1_symptoms"
    # the welcome, which says who is writing, comes first when the evening was too late for it too
    assert local(opening) in ("06-08 09:00", "06-08 09:15")


@pytest.mark.parametrize(
    ("home", "enrolled", "asked"),
    [
        ("2027-06-07 12:00", "2027-06-07 08:00", "06-07 15:00"),
        ("2027-06-07 17:30", "2027-06-07 08:00", "06-07 19:30"),
        ("2027-06-07 19:00", "2027-06-07 19:05", "06-07 19:20"),  # right after the welcome
        ("2027-06-07 19:00", "2027-06-07 08:00", "06-07 20:00"),  # the welcome went out long ago
        (
            "2027-06-08 11:00",
            "2027-06-07 08:00",
            "06-08 14:00",
        ),  # a night in hospital: the clock starts at home
    ],
)
def test_the_first_question_of_a_kyphoplasty_counts_from_home(home: str, enrolled: str, asked: str) -> None:
    course = planned("kyphoplasty", facts("2027-06-07 09:30", home=home, enrolled=enrolled))
    assert local(course["d0_symptoms"]) == asked


def test_nothing_but_the_welcome_goes_to_somebody_in_hospital() -> None:
    known = facts("2027-06-07 09:30", home="2027-06-10 15:00", enrolled="2027-06-07 08:00")
    for entry in planned("kyphoplasty", known).values():
        if entry.status == "planned" and entry.check_in.key != "welcome":
            assert entry.due_at > at("2027-06-10 15:00")


def test_home_unknown_is_taken_as_a_day_after_the_procedure() -> None:
    course = planned("kyphoplasty", facts("2027-06-07 14:00"))
    assert local(course["welcome"]) == "06-07 14:00"
    assert local(course["d0_symptoms"]) == "06-08 17:00"
    assert local(course["d1_symptoms"]) == "06-09 09:00"
    assert local(course["bandage_off"]) == "06-10 09:00"


def test_after_a_night_in_hospital_day_one_waits_eighteen_hours_and_still_opens_the_questions() -> None:
    known = facts("2027-06-07 09:30", home="2027-06-08 18:00", enrolled="2027-06-07 08:00", thinner=True)
    course = planned("kyphoplasty", known)
    assert local(course["d1_symptoms"]) == "06-09 12:00"
    for key in ("d1_pain", "d1_blood_thinner"):
        assert course[key].due_at > course["d1_symptoms"].due_at


def test_home_too_late_for_the_evening_question_the_morning_opens_at_nine() -> None:
    known = facts("2027-06-07 09:30", home="2027-06-08 21:30", enrolled="2027-06-07 08:00")
    assert local(planned("kyphoplasty", known)["d1_symptoms"]) == "06-09 09:00"


def test_the_first_ice_text_is_repeated_in_the_evening_and_next_morning() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 10:00"))
    assert local(course["d0_ice"]) == "06-07 11:15"
    assert local(course["d0_ice_evening"]) == "06-07 18:30"
    assert local(course["d1_ice"]) == "06-08 11:00"
    late = planned("vertebroplasty", facts("2027-06-07 16:00"))
    assert late["d0_ice_evening"].why == "too soon after d0_ice"


def test_who_comes_home_late_still_learns_about_driving_and_bathing() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 19:10"))
    for key in ("d0_home", "d0_bandage"):
        assert local(course[key]).startswith("06-08 09:")
    assert course["d0_ice"].status == "skipped"  # the morning has its own


# --- The wound ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("procedure", "off"),
    [
        ("2027-06-07 08:30", "06-09 09:00"),
        ("2027-06-07 09:00", "06-09 09:00"),
        ("2027-06-07 09:01", "06-10 09:00"),
        ("2027-06-07 14:00", "06-10 09:00"),
        # on the wall 48 hours end at 08:45; the clocks go forward that night, so it is 09:45
        ("2027-03-12 08:45", "03-15 09:00"),
    ],
)
def test_the_bandage_comes_off_on_the_first_morning_after_48_hours(procedure: str, off: str) -> None:
    course = planned("vertebroplasty", facts(procedure))
    assert local(course["bandage_off"]) == off
    assert course["bandage_off"].due_at - at(procedure) >= timedelta(hours=48)


def test_who_goes_home_after_the_48_hours_hears_about_the_bandage_the_next_morning() -> None:
    known = facts("2027-06-07 09:30", home="2027-06-10 15:00", enrolled="2027-06-07 08:00")
    course = planned("kyphoplasty", known)
    assert local(course["bandage_off"]) == "06-11 09:15"  # after the question of the morning
    assert course["d0_bandage"].status == course["d1_bandage"].status == "skipped"


# --- Days, conditions, visits ---------------------------------------------------------------------


def test_days_are_counted_on_the_wall_clock_across_both_clock_changes() -> None:
    course = planned("vertebroplasty", facts("2027-03-10 10:00"))
    assert local(course["d3_symptoms"]) == "03-13 10:00"
    assert local(course["d7_symptoms"]) == "03-17 10:00"
    assert course["d7_symptoms"].due_at - course["d3_symptoms"].due_at == timedelta(days=4, hours=-1)
    assert local(course["d90_symptoms"]) == "06-08 10:00"
    autumn = planned("vertebroplasty", facts("2027-11-05 10:00"))
    assert local(autumn["d2_symptoms"]) == "11-07 10:00"


def test_days_belong_to_the_patient_and_not_to_the_clinic() -> None:
    known = facts("2027-06-07 10:00", zone="Pacific/Honolulu")
    course = planned("vertebroplasty", known)
    assert local(course["d1_symptoms"]) == "06-08 09:00"
    assert course["d1_symptoms"].due_at == datetime(2027, 6, 8, 19, 0, tzinfo=UTC)


def test_blood_thinner_questions_are_for_those_who_take_one_or_may() -> None:
    keys = ["d1_blood_thinner", "d2_blood_thinner", "d3_blood_thinner"]
    without = planned("vertebroplasty", facts("2027-06-07 10:00", thinner=False))
    assert {without[key].why for key in keys} == {"the patient takes no blood thinner"}
    for thinner in (True, None):
        course = planned("vertebroplasty", facts("2027-06-07 10:00", thinner=thinner))
        assert [local(course[key]) for key in keys] == ["06-08 09:30", "06-09 10:30", "06-10 10:30"]


def test_a_known_visit_is_announced_and_not_asked_about() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 10:00", visit=date(2027, 6, 18)))
    assert local(course["visit_reminder"]) == "06-17 13:00"
    assert course["d7_visit"].why == "the follow-up date is known"
    next_day = planned(
        "vertebroplasty", facts("2027-06-07 14:00", enrolled="2027-06-01 10:00", visit=date(2027, 6, 8))
    )
    assert next_day["visit_reminder"].status == "skipped"  # it would be before the procedure
    unknown = planned("vertebroplasty", facts("2027-06-07 10:00"))
    assert local(unknown["d7_visit"]) == "06-14 10:30"
    assert unknown["visit_reminder"].status == "skipped"


# --- Late enrollment and new facts ----------------------------------------------------------------


def test_what_lies_before_the_enrollment_is_recorded_and_never_sent() -> None:
    course = planned("vertebroplasty", facts("2027-06-01 10:00", enrolled="2027-06-07 15:00"))
    for entry in course.values():
        if entry.status == "planned":
            assert entry.due_at >= at("2027-06-07 15:00")
    assert course["d3_symptoms"].why == "its time was before the enrollment"
    assert course["d3_pain"].status == "skipped"
    going = {key: entry for key, entry in course.items() if entry.status == "planned"}
    today = [key for key, entry in going.items() if entry.local.date() == date(2027, 6, 7)]
    assert today == ["welcome"]


def test_a_score_is_not_asked_without_the_red_flag_question_before_it() -> None:
    course = planned("vertebroplasty", facts("2027-06-04 10:00", enrolled="2027-06-07 10:05"))
    assert course["d3_symptoms"].status == course["d3_pain"].status == "skipped"


def test_a_late_patient_is_still_asked_about_the_blood_thinner() -> None:
    known = facts("2027-06-01 10:00", enrolled="2027-06-07 15:00", thinner=True)
    course = planned("vertebroplasty", known)
    keys = ["d1_blood_thinner", "d2_blood_thinner", "d3_blood_thinner"]
    assert [local(course[key])[:5] for key in keys] == ["06-08", "06-09", "06-10"]


def test_a_welcome_at_night_waits_for_the_window() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 10:00", enrolled="2027-06-07 23:00"))
    assert local(course["welcome"]) == "06-08 09:00"
    assert course["d1_symptoms"].due_at - course["welcome"].due_at == timedelta(minutes=15)


def test_new_facts_move_times_and_keep_keys() -> None:
    before = facts("2027-06-07 14:00")
    now = at("2027-06-08 08:00")
    after = facts("2027-06-07 14:00", home="2027-06-08 16:00", enrolled="2027-06-07 14:00")
    first = plan(PROTOCOLS["kyphoplasty"], before, QUIET, before.enrolled_at)
    second = plan(PROTOCOLS["kyphoplasty"], after, QUIET, now)
    assert [entry.check_in.key for entry in first] == [entry.check_in.key for entry in second]
    times = {entry.check_in.key: entry for entry in second}
    assert local(times["d0_symptoms"]) == "06-08 19:00"


def test_new_facts_that_put_check_ins_into_the_past_send_no_burst() -> None:
    now = at("2027-06-09 15:00")
    known = facts("2027-06-02 14:00", enrolled="2027-06-01 10:00")
    for entry in plan(PROTOCOLS["vertebroplasty"], known, QUIET, now):
        if entry.status == "planned" and entry.check_in.key != "welcome":
            assert entry.due_at >= now


def test_new_facts_between_two_questions_do_not_lose_the_second() -> None:
    known = facts("2027-06-07 10:00", visit=date(2027, 6, 18))
    entries = plan(PROTOCOLS["vertebroplasty"], known, QUIET, at("2027-06-08 09:05"))
    course = {entry.check_in.key: entry for entry in entries}
    assert course["d1_symptoms"].why == "its time had passed when this was planned"  # its row stays as it is
    assert local(course["d1_pain"]) == "06-08 09:15"


def test_the_welcome_outlives_an_outage_overnight_and_a_score_does_not() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 10:00", enrolled="2027-06-07 19:50"))
    assert course["welcome"].expires_at == at("2027-06-09 19:50")
    assert course["d1_pain"].expires_at <= at("2027-06-08 20:00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timezone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
        ({"discharged_at": at("2027-06-07 09:00")}, "discharged_at is before procedure_at"),
        ({"procedure_at": datetime(2027, 6, 7, 10)}, "procedure_at has no time zone"),  # noqa: DTZ001
    ],
)
def test_facts_that_cannot_be_are_refused(change: dict[str, object], said: str) -> None:
    known = facts("2027-06-07 10:00")
    wrong = Facts(**{**known.__dict__, **change})
    with pytest.raises(ValueError, match=said):
        plan(PROTOCOLS["vertebroplasty"], wrong, QUIET, known.enrolled_at)


def test_without_quiet_hours_times_are_what_the_protocol_says() -> None:
    course = planned("vertebroplasty", facts("2027-06-07 22:00"), QuietHours.parse("none"))
    assert local(course["welcome"]) == "06-07 22:00"
    assert local(course["d0_symptoms"]) == "06-08 02:00"
    assert local(course["bandage_off"]) == "06-10 09:00"


@pytest.mark.parametrize(
    ("hours", "first_evening", "next_morning"),
    [
        ("18:00-10:00", "06-07 17:30", "06-08 10:00"),
        ("22:00-07:00", "06-07 20:00", "06-08 09:00"),  # a longer evening is not used beyond 21:00
        ("00:30-07:00", "06-07 20:00", "06-08 09:00"),
    ],
)
def test_other_quiet_hours_move_the_first_evening(hours: str, first_evening: str, next_morning: str) -> None:
    course = planned("vertebroplasty", facts("2027-06-07 16:00"), QuietHours.parse(hours))
    assert local(course["d0_symptoms"]) == first_evening
    assert local(course["d1_symptoms"]) == next_morning
