"""The parts of a ``Site`` and what they are when a clinic says nothing: values of the clinical notes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from types import MappingProxyType

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


def default_targets() -> Mapping[str, Target]:
    return MappingProxyType(
        {
            Urgency.EMERGENCY: Target(acknowledge=_minutes(5), contact=_minutes(15)),
            Urgency.URGENT: Target(acknowledge=_minutes(15), contact=_minutes(60)),
        }
    )


def default_lasts() -> Mapping[str, timedelta]:
    return MappingProxyType(
        {
            Urgency.EMERGENCY: _minutes(15),
            Urgency.URGENT: _minutes(60),
            Urgency.ROUTINE: timedelta(days=1),
        }
    )


def default_ladder() -> Mapping[str, tuple[Tier, ...]]:
    emergency = Tier(wait=_minutes(5), repeat=_minutes(5))
    urgent = Tier(wait=_minutes(15), repeat=_minutes(15))
    return MappingProxyType({Urgency.EMERGENCY: (emergency,) * 3, Urgency.URGENT: (urgent,) * 3})


def default_hours() -> Mapping[str, Hours]:
    open_days: dict[str, Hours] = dict.fromkeys(DAYS[:5], (time(8), time(17)))
    return MappingProxyType(open_days | dict.fromkeys(DAYS[5:]))


def default_values() -> Mapping[str, int | str]:
    return MappingProxyType(
        {
            "bandage_hours": 48,
            "soak_hours": 48,
            "shower": "allowed",
            "stitches": "none",
            "walk": "hour",
            "driving_hours": 24,
            "ice_minutes": 15,
            "soreness_days": 3,
            "relief_days": 2,
            "usual_weeks": 2,
            "lifting_weeks": 6,
        }
    )
