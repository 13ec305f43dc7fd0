"""What one clinic has decided: its name and number, hours, targets, ladder, and the values its texts quote.

The clinical values are the defaults of the clinical notes; where published sources disagree (stitches, showers,
driving, lifting, time to relief) a site may be stricter, never looser than the wound and lifting limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from messages.urgency import Urgency

Hours = tuple[time, time] | None
"""Opening and closing time of one weekday at the clinic; ``None``: closed."""

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class SiteError(ValueError):
    """A site file that cannot be used: names file, line, what is wrong and how to mend it."""


@dataclass(frozen=True)
class Target:
    """How soon an escalation must be acknowledged, and how soon a person must have spoken with the patient,
    both counted from the moment it was opened."""

    acknowledge: timedelta
    contact: timedelta


@dataclass(frozen=True)
class Tier:
    """One step of the ladder. ``wait``: how long this tier has before the next one is told too.
    ``repeat``: how often the page is sent to it again while nobody has acknowledged."""

    wait: timedelta
    repeat: timedelta


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def _targets() -> Mapping[str, Target]:
    return MappingProxyType({
        Urgency.EMERGENCY: Target(acknowledge=_minutes(5), contact=_minutes(15)),
        Urgency.URGENT: Target(acknowledge=_minutes(15), contact=_minutes(60)),
    })


def _lasts() -> Mapping[str, timedelta]:
    return MappingProxyType({
        Urgency.EMERGENCY: _minutes(15),
        Urgency.URGENT: _minutes(60),
        Urgency.ROUTINE: timedelta(days=1),
    })


def _ladder() -> Mapping[str, tuple[Tier, ...]]:
    emergency = Tier(wait=_minutes(5), repeat=_minutes(5))
    urgent = Tier(wait=_minutes(15), repeat=_minutes(15))
    return MappingProxyType({Urgency.EMERGENCY: (emergency,) * 3, Urgency.URGENT: (urgent,) * 3})


def _hours() -> Mapping[str, Hours]:
    open_days: dict[str, Hours] = dict.fromkeys(DAYS[:5], (time(8), time(17)))
    return MappingProxyType(open_days | dict.fromkeys(DAYS[5:]))


def _values() -> Mapping[str, int | str]:
    return MappingProxyType({
        "bandage_hours": 48,
        "soak_hours": 48,
        "shower": "allowed",
        "stitches": "none",
        "walk_hours": 1,
        "driving_hours": 24,
        "ice_minutes": 15,
        "soreness_days": 3,
        "relief_days": 2,
        "usual_weeks": 2,
        "lifting_weeks": 6,
    })


@dataclass(frozen=True)
class Site:
    """One clinic. Every field has a default, so an empty file is a whole site.

    ``clinic_phone``: as patients should dial it. ``timezone``: IANA name, the clinic's own; business hours and
    holidays are local to it. ``targets``, ``acknowledgement_lasts``, ``ladder``: by urgency (``"emergency"``,
    ``"urgent"``; an acknowledgement also of ``"routine"``). ``holiday_country``: the service adds that country's
    holidays to ``holidays`` before it asks for a deadline; ``""``: none. ``day_starts``: the clinic-local time
    at which what was found overnight is put before the team.
    """

    clinic_name: str = "Sample Spine Clinic"
    clinic_phone: str = "555-555-0100"
    timezone: str = "America/New_York"
    values: Mapping[str, int | str] = field(default_factory=_values)
    business_hours: Mapping[str, Hours] = field(default_factory=_hours)
    holidays: tuple[date, ...] = ()
    holiday_country: str = "US"
    targets: Mapping[str, Target] = field(default_factory=_targets)
    acknowledgement_lasts: Mapping[str, timedelta] = field(default_factory=_lasts)
    ladder: Mapping[str, tuple[Tier, ...]] = field(default_factory=_ladder)
    day_starts: time = time(9, 30)


DEFAULT_SITE = Site()


def parse_site(text: str, filename: str) -> Site:
    """The site of a TOML file. Raises ``SiteError`` naming file, line, reason and how to mend it."""
    raise NotImplementedError


def business_deadline(at: datetime, site: Site) -> datetime:
    """When a routine matter opened ``at`` (aware) must have been read: the close of the next business day after
    ``at``'s own date at the clinic, in UTC. Monday to Tuesday; Friday night, Saturday and Sunday to Monday."""
    raise NotImplementedError


def same_day_deadline(at: datetime, site: Site) -> datetime:
    """When a matter that may not wait for a business day (a blood-thinner question) is due: the same clinic-local
    evening at 20:00, weekends and holidays too; opened after 19:00 it is due at ``at`` plus one hour. UTC."""
    local = at.astimezone(ZoneInfo(site.timezone))
    evening = datetime.combine(local.date(), time(20), ZoneInfo(site.timezone)).astimezone(at.tzinfo)
    return max(evening, at + timedelta(hours=1))
