"""What one clinic has decided: its name and number, hours, targets, ladder, and the values its texts quote.

The values start from the clinical notes. Where published sources disagree (stitches, showers, driving,
lifting, time to relief) a site chooses its own, within limits: never a bandage off before 48 hours, never
driving within 24, never heavy lifting within 6 weeks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from messages.retention import Retention
from messages.site_defaults import (
    DAYS,
    Hours,
    SiteError,
    Target,
    Tier,
    default_hours,
    default_ladder,
    default_lasts,
    default_targets,
    default_values,
)
from messages.site_file import read_site

__all__ = [
    "DAYS",
    "DEFAULT_SITE",
    "Hours",
    "Site",
    "SiteError",
    "Target",
    "Tier",
    "business_deadline",
    "parse_site",
    "same_day_deadline",
]


@dataclass(frozen=True)
class Site:
    """One clinic. Every field has a default, so an empty file is a whole site.

    ``clinic_phone``: as patients should dial it. ``timezone``: IANA name; business hours and holidays are
    local to it. ``targets``, ``ladder``: by urgency (``"emergency"``, ``"urgent"``).
    ``acknowledgement_lasts``: those two and ``"routine"``. ``holiday_country``: the service adds that
    country's holidays to ``holidays`` before it asks for a deadline; ``""``: none. ``day_starts``: the
    clinic-local time at which what was found overnight is put before the team. ``retention``: how long each
    kind of row is kept.
    """

    clinic_name: str = "Sample Spine Clinic"
    clinic_phone: str = "555-555-0100"
    timezone: str = "America/New_York"
    values: Mapping[str, int | str] = field(default_factory=default_values)
    business_hours: Mapping[str, Hours] = field(default_factory=default_hours)
    holidays: tuple[date, ...] = ()
    holiday_country: str = "US"
    targets: Mapping[str, Target] = field(default_factory=default_targets)
    acknowledgement_lasts: Mapping[str, timedelta] = field(default_factory=default_lasts)
    ladder: Mapping[str, tuple[Tier, ...]] = field(default_factory=default_ladder)
    day_starts: time = time(9, 30)
    retention: Retention = Retention()


DEFAULT_SITE = Site()


def business_deadline(at: datetime, site: Site) -> datetime:
    """When a routine matter opened ``at`` (aware) must have been read, in UTC: the close of the next
    business day after ``at``'s own date at the clinic. Monday's is due on Tuesday; Friday night's and
    Sunday's on Monday.

    Raises ``ValueError`` when a year has no business day.
    """
    zone = ZoneInfo(site.timezone)
    day = at.astimezone(zone).date()
    for _ in range(366):
        day += timedelta(days=1)
        hours = site.business_hours.get(DAYS[day.weekday()])
        if hours and day not in site.holidays:
            return datetime.combine(day, hours[1], zone).astimezone(UTC)
    raise ValueError("this site has no business day within a year; give it business hours")


def same_day_deadline(at: datetime, site: Site) -> datetime:
    """When a matter that may not wait for a business day (a blood-thinner question) is due, in UTC: 20:00
    that day at the clinic, weekends and holidays too; opened after 19:00, one hour later."""
    zone = ZoneInfo(site.timezone)
    evening = datetime.combine(at.astimezone(zone).date(), time(20), zone).astimezone(UTC)
    return max(evening, at.astimezone(UTC) + timedelta(hours=1))


def parse_site(text: str, filename: str) -> Site:
    """The site of a TOML file; what it leaves out keeps its default. Raises ``SiteError``, which names file,
    line, what is wrong and what would be right."""
    return Site(**read_site(text, filename))
