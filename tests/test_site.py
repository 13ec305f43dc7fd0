"""A clinic's own file: read whole or refused with file, line, reason and cure; deadlines on its calendar."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.site import (
    DEFAULT_SITE,
    SiteError,
    Target,
    Tier,
    business_deadline,
    parse_site,
    same_day_deadline,
)

WHOLE = """
[clinic]
name = "Riverside Spine"
phone = "312-555-0123"
timezone = "America/Chicago"

[values]
stitches = "some"
shower = "wait"
lifting_weeks = 12
driving_hours = 48

[business_hours]
saturday = "09:00-12:00"
monday = "closed"

[holidays]
country = "us"
dates = [2027-07-05, 2027-07-02]

[targets]
emergency = { acknowledge = "3m", contact = "10m" }

[acknowledgement_lasts]
urgent = "45m"

[ladder]
urgent = [{ wait = "10m", repeat = "5m" }, { wait = "20m", repeat = "5m" }]

[day]
starts = "08:30"
"""


def test_an_empty_file_is_the_clinic_of_the_notes() -> None:
    assert parse_site("", "site.toml") == DEFAULT_SITE
    assert DEFAULT_SITE.values["bandage_hours"] == 48
    assert DEFAULT_SITE.values["lifting_weeks"] == 6
    assert DEFAULT_SITE.values["ice_minutes"] == 15
    assert DEFAULT_SITE.targets["emergency"] == Target(timedelta(minutes=5), timedelta(minutes=15))
    assert DEFAULT_SITE.targets["urgent"] == Target(timedelta(minutes=15), timedelta(hours=1))


def test_a_file_says_what_it_says_and_leaves_the_rest() -> None:
    site = parse_site(WHOLE, "site.toml")
    assert (site.clinic_name, site.clinic_phone, site.timezone) == (
        "Riverside Spine",
        "312-555-0123",
        "America/Chicago",
    )
    assert site.values["lifting_weeks"] == 12
    assert site.values["bandage_hours"] == 48
    assert site.business_hours["saturday"] == (time(9), time(12))
    assert site.business_hours["monday"] is None
    assert site.business_hours["friday"] == (time(8), time(17))
    assert site.holidays == (date(2027, 7, 2), date(2027, 7, 5))
    assert site.holiday_country == "US"
    assert site.targets["emergency"] == Target(timedelta(minutes=3), timedelta(minutes=10))
    assert site.targets["urgent"] == DEFAULT_SITE.targets["urgent"]
    assert site.ladder["urgent"][1] == Tier(timedelta(minutes=20), timedelta(minutes=5))
    assert site.acknowledgement_lasts["urgent"] == timedelta(minutes=45)
    assert site.day_starts == time(8, 30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[value]\nx = 1", "site.toml:1: unknown key 'value' in a site file; did you mean 'values'?"),
        ("\nclinic = 'Riverside'", "site.toml:2: clinic should be a table: write [clinic]"),
        (
            "[values]\n\nliftng_weeks = 6",
            "site.toml:3: unknown key 'liftng_weeks' in [values]; did you mean 'lifting_weeks'?",
        ),
        ("[values]\nlifting_weeks = 3", "site.toml:2: [values] lifting_weeks: 3 should be from 6 to 26"),
        ("[values]\nbandage_hours = 24", "site.toml:2: [values] bandage_hours: 24 should be from 48"),
        ("[values]\ndriving_hours = 0", "site.toml:2: [values] driving_hours: 0 should be from 24"),
        (
            "[values]\nlifting_weeks = '6'",
            "site.toml:2: [values] lifting_weeks: '6' should be a whole number",
        ),
        (
            "[values]\nlifting_weeks = true",
            "site.toml:2: [values] lifting_weeks: True should be a whole number",
        ),
        ("[values]\nshower = 'maybe'", "should be one of allowed, wait"),
        (
            "[clinic]\ntimezone = 'Mars'",
            "site.toml:2: [clinic] timezone: 'Mars' is not a time zone; write one like",
        ),
        ("[clinic]\ntimezone = '../etc/passwd'", "is not a time zone"),
        ("[clinic]\nname = ''", "and not empty"),
        ("[clinic]\nphone = '555-555-0100 extension 1234'", "longer than 24 characters"),
        ("[clinic]\nphone = 'front desk'", "should be a phone number as patients dial it"),
        ("[clinic]\nname = 7", "7 should be text in quotation marks"),
        ("[clinic]\nname = '" + "x" * 41 + "'", "longer than 40 characters"),
        (
            "[business_hours]\nmonday = '17:00-08:00'",
            "site.toml:2: [business_hours] monday: '17:00-08:00' closes before it opens",
        ),
        ("[business_hours]\nmonday = '8-17'", "is not a time of day"),
        ("[business_hours]\nmonday = '08:00'", 'should be like "08:00-17:00", or "closed"'),
        ("[business_hours]\nfunday = 'closed'", "did you mean 'sunday'?"),
        (
            "[business_hours]\n" + "\n".join(f"{day} = 'closed'" for day in DEFAULT_SITE.business_hours),
            "every day is closed",
        ),
        ("[holidays]\ndates = ['2027-07-02']", "should be a date without quotation marks"),
        ("[holidays]\ndates = [2027-07-02T10:00:00]", "should be a date without quotation marks"),
        ("[holidays]\ncountry = 'USA'", "should be a country code of two letters"),
        ("[targets]\nurgent = { acknowledge = '5m', contact = '2h' }", "nor contact later than one hour"),
        (
            "[targets]\nurgent = { acknowledge = '30m', contact = '20m' }",
            "acknowledge may not be later than contact",
        ),
        ("[targets]\nurgent = { acknowledge = '5m' }", "should be { acknowledge ="),
        ("[targets]\nroutine = { acknowledge = '5m', contact = '9m' }", "unknown key 'routine' in [targets]"),
        ("[ladder]\nurgent = []", "needs at least one tier"),
        ("[ladder]\nurgent = [{ wait = '0m', repeat = '5m' }]", "should be more than nothing"),
        ("[acknowledgement_lasts]\nurgent = 'soon'", "is not a duration"),
        ("[day]\nstarts = '9:30'", 'write it like "09:30"'),
        ("[clinic\nname = 'x'", "site.toml:1: not valid TOML"),
        ("[clinic]\nname = 'x'\nname = 'y'", "site.toml:3: not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_cure(text: str, said: str) -> None:
    with pytest.raises(SiteError) as refused:
        parse_site(text, "site.toml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("site.toml:")


START = datetime(2026, 1, 1, tzinfo=UTC)
CHICAGO = parse_site("[clinic]\ntimezone = 'America/Chicago'\n[holidays]\ndates = [2027-07-05]", "site.toml")


@pytest.mark.parametrize(
    ("opened", "due"),
    [
        ("2027-06-07 10:00", "2027-06-08 17:00"),  # Monday to Tuesday
        ("2027-06-11 23:30", "2027-06-14 17:00"),  # Friday night to Monday
        ("2027-06-12 09:00", "2027-06-14 17:00"),
        ("2027-06-13 09:00", "2027-06-14 17:00"),
        ("2027-07-02 10:00", "2027-07-06 17:00"),  # over a long weekend with a holiday Monday
        ("2027-11-05 10:00", "2027-11-08 17:00"),  # over the autumn clock change: local closing time stays
    ],
)
def test_a_routine_matter_is_due_when_the_next_business_day_closes(opened: str, due: str) -> None:
    zone = ZoneInfo("America/Chicago")
    at = datetime.fromisoformat(opened).replace(tzinfo=zone)
    assert business_deadline(at, CHICAGO) == datetime.fromisoformat(due).replace(tzinfo=zone)
    assert business_deadline(at.astimezone(UTC), CHICAGO).tzinfo is UTC


@pytest.mark.parametrize(
    ("opened", "due"),
    [
        ("2027-06-12 09:00", "2027-06-12 20:00"),  # a Saturday is no excuse
        ("2027-07-05 09:00", "2027-07-05 20:00"),  # nor is a holiday
        ("2027-06-12 19:40", "2027-06-12 20:40"),
        ("2027-06-12 23:40", "2027-06-13 00:40"),
    ],
)
def test_a_blood_thinner_matter_is_due_the_same_day(opened: str, due: str) -> None:
    zone = ZoneInfo("America/Chicago")
    at = datetime.fromisoformat(opened).replace(tzinfo=zone)
    assert same_day_deadline(at, CHICAGO) == datetime.fromisoformat(due).replace(tzinfo=zone)


@settings(deadline=None)
@given(st.integers(0, 4 * 365 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes)))
def test_a_deadline_is_always_later_and_in_business_hours(at: datetime) -> None:
    due = business_deadline(at, CHICAGO)
    local = due.astimezone(ZoneInfo("America/Chicago"))
    assert timedelta(0) < due - at < timedelta(days=5)
    assert local.weekday() < 5
    assert local.date() not in CHICAGO.holidays
