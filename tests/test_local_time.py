"""Between wall clocks and UTC, over every kind of clock change; the hours in which scheduled texts wait."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.schedule import QuietHours, to_utc

CHICAGO = "America/Chicago"
ZONES = [
    "America/Chicago", "America/New_York", "America/Phoenix", "America/Anchorage", "Pacific/Honolulu",
    "America/Puerto_Rico", "America/St_Johns", "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe",
    "Pacific/Chatham", "America/Santiago", "Africa/Cairo", "Asia/Beirut", "Pacific/Kiritimati",
]  # fmt: skip


def test_a_time_the_clocks_skip_becomes_the_first_minute_after() -> None:
    zone = ZoneInfo(CHICAGO)
    skipped = to_utc(date(2027, 3, 14), time(2, 30), zone)
    assert skipped == datetime(2027, 3, 14, 8, 0, tzinfo=UTC)
    assert skipped.astimezone(zone).time() == time(3, 0)


def test_a_time_the_clocks_show_twice_is_the_first() -> None:
    assert to_utc(date(2027, 11, 7), time(1, 30), ZoneInfo(CHICAGO)) == datetime(
        2027, 11, 7, 6, 30, tzinfo=UTC
    )


def test_half_hour_and_midnight_changes_are_met_too() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    moment = to_utc(date(2027, 10, 3), time(2, 10), lord_howe)
    assert moment.astimezone(lord_howe).time() == time(2, 30)
    santiago = ZoneInfo("America/Santiago")
    moment = to_utc(date(2027, 9, 5), time(0, 15), santiago)
    assert moment.astimezone(santiago).replace(tzinfo=None).isoformat() == "2027-09-05T01:00:00"


@settings(deadline=None)
@given(st.integers(0, 5 * 366), st.integers(0, 24 * 60 - 1), st.sampled_from(ZONES))
def test_every_wall_time_becomes_a_moment_that_shows_it_or_the_end_of_a_gap(
    day: int, minute: int, name: str
) -> None:
    zone = ZoneInfo(name)
    wanted = datetime.combine(date(2025, 1, 1) + timedelta(days=day), time(minute // 60, minute % 60))
    shown = to_utc(wanted.date(), wanted.time(), zone).astimezone(zone).replace(tzinfo=None)
    assert shown >= wanted
    assert shown - wanted <= timedelta(hours=1)
    if shown != wanted:  # only ever the first minute after a gap: a second earlier the clocks showed less
        before = to_utc(wanted.date(), wanted.time(), zone) - timedelta(seconds=1)
        assert before.astimezone(zone).replace(tzinfo=None) < wanted


@pytest.mark.parametrize(
    "text", ["20:00", "8-20", "20:00-20:00", "25:00-09:00", "", "off", "20:00-09:00-10:00"]
)
def test_quiet_hours_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"20:00-09:00|same time"):
        QuietHours.parse(text)


@pytest.mark.parametrize(
    ("hours", "clock", "quiet"),
    [
        ("20:00-09:00", "19:59", False), ("20:00-09:00", "20:00", True), ("20:00-09:00", "08:59", True),
        ("20:00-09:00", "09:00", False), ("01:00-05:00", "00:59", False), ("01:00-05:00", "04:59", True),
        ("none", "03:00", False),
    ],
)  # fmt: skip
def test_quiet_hours_begin_and_end_on_the_minute(hours: str, clock: str, quiet: bool) -> None:
    parsed = QuietHours.parse(hours)
    zone = ZoneInfo(CHICAGO)
    assert parsed.quiet_at(datetime.fromisoformat(f"2027-06-01 {clock}").replace(tzinfo=zone), zone) is quiet
    assert str(parsed) == hours
