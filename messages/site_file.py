"""Reading a clinic's TOML file into a ``Site``; every fault names file, line, reason and what would be
right."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from messages.retention import KINDS, Retention, read_retention
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
from messages.toml_file import TomlFile, clock_time, duration, read_toml
from messages.urgency import Urgency

LIMITS: Mapping[str, tuple[int, int]] = {
    "bandage_hours": (48, 168),
    "soak_hours": (48, 336),
    "driving_hours": (24, 504),
    "ice_minutes": (5, 20),
    "soreness_days": (2, 7),
    "relief_days": (1, 14),
    "usual_weeks": (1, 6),
    "lifting_weeks": (6, 26),
}
"""Least and most of each number. The least of bandage, soaking, driving and lifting are the clinical
notes'."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "shower": ("allowed", "wait"),
    "stitches": ("none", "some", "ask"),
    "walk": ("hour", "ask"),
}

_TABLES = (
    "clinic",
    "values",
    "business_hours",
    "holidays",
    "targets",
    "acknowledgement_lasts",
    "ladder",
    "day",
    "retention",
)
_LONGEST = {"name": 40, "phone": 24}
_PAGED = (Urgency.EMERGENCY, Urgency.URGENT)
_T = TypeVar("_T")


def read_site(text: str, filename: str) -> dict[str, Any]:
    """The fields of ``Site`` that a TOML file sets. Raises ``SiteError``."""
    file = read_toml(text, filename, SiteError)
    file.known(file.data, _TABLES, "a site file", file.line_of)
    for name in file.data:
        if not isinstance(file.data[name], dict):
            raise file.fault(f"{name} should be a table: write [{name}]", file.line_of("", name))
    clinic = _each(file, "clinic", ("name", "phone", "timezone"), _clinic_value)
    holidays = _each(file, "holidays", ("country", "dates"), _holiday_value)
    starts = _each(file, "day", ("starts",), lambda _key, value: clock_time(value))
    lasts = _each(file, "acknowledgement_lasts", (*_PAGED, Urgency.ROUTINE), _positive)
    return {
        **{f"clinic_{key}" if key != "timezone" else key: value for key, value in clinic.items()},
        **{"holiday_country" if key == "country" else "holidays": value for key, value in holidays.items()},
        **{f"day_{key}": value for key, value in starts.items()},
        "values": _over(default_values(), _each(file, "values", (*LIMITS, *CHOICES), _site_value)),
        "business_hours": _business_hours(file),
        "targets": _over(default_targets(), _each(file, "targets", _PAGED, _target)),
        "acknowledgement_lasts": _over(default_lasts(), lasts),
        "ladder": _over(default_ladder(), _each(file, "ladder", _PAGED, _tiers)),
        "retention": Retention(**_each(file, "retention", KINDS, read_retention)),
    }


def _each(
    file: TomlFile, table: str, allowed: tuple[str, ...], read: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """Every key of one table through ``read``, whose ``ValueError`` gets file, line and key put before it."""
    given = file.data.get(table, {})
    file.known(given, allowed, f"[{table}]", lambda key: file.line_of(table, key))
    values = {}
    for key, value in given.items():
        try:
            values[key] = read(key, value)
        except ValueError as fault:
            raise file.fault(f"[{table}] {key}: {fault}", file.line_of(table, key)) from None
    return values


def _over(defaults: Mapping[str, _T], given: Mapping[str, _T]) -> Mapping[str, _T]:
    return MappingProxyType({**defaults, **given})


def _clinic_value(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} should be text in quotation marks, and not empty")
    if key == "timezone":
        check_zone(value)
    if key == "phone" and not any(sign.isdigit() for sign in value):
        raise ValueError(f"{value!r} should be a phone number as patients dial it")
    longest = _LONGEST.get(key, len(value))
    if len(value) > longest:
        raise ValueError(
            f"is longer than {longest} characters and would not leave room in a text; shorten it"
        )
    return value.strip()


def check_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ``ValueError`` saying what a name looks like."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is not a time zone; write one like "America/Chicago"') from None


def _site_value(key: str, value: object) -> int | str:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ValueError(f"{value!r} should be one of {', '.join(CHOICES[key])}")
        return str(value)
    least, most = LIMITS[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} should be a whole number")
    if not least <= value <= most:
        raise ValueError(f"{value} should be from {least} to {most}")
    return value


def _business_hours(file: TomlFile) -> Mapping[str, Hours]:
    hours = _over(default_hours(), _each(file, "business_hours", DAYS, _hours))
    if not any(hours.values()):
        reason = "[business_hours]: every day is closed, so routine matters would never be read; open one"
        raise file.fault(reason, file.line_of("business_hours"))
    return hours


def _hours(_day: str, value: object) -> Hours:
    if value == "closed":
        return None
    opens, dash, closes = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not dash:
        raise ValueError(f'{value!r} should be like "08:00-17:00", or "closed"')
    start, end = clock_time(opens.strip()), clock_time(closes.strip())
    if start >= end:
        raise ValueError(f"{value!r} closes before it opens")
    return start, end


def _holiday_value(key: str, value: object) -> str | tuple[date, ...]:
    if key == "country":
        if not isinstance(value, str) or not (value == "" or (len(value) == 2 and value.isalpha())):
            raise ValueError(f"{value!r} should be a country code of two letters like 'US', or '' for none")
        return value.upper()
    days: list[date] = []
    for day in value if isinstance(value, list) else [value]:
        if not isinstance(day, date) or isinstance(day, datetime):
            raise ValueError(f"{day!r} should be a date without quotation marks, like 2027-07-05")
        days.append(day)
    return tuple(sorted(set(days)))


def _positive(_key: str, value: object) -> timedelta:
    span = duration(value)
    if span <= timedelta(0):
        raise ValueError(f"{value!r} should be more than nothing")
    return span


def _spans(value: object, names: tuple[str, str]) -> tuple[timedelta, timedelta]:
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise ValueError(f'{value!r} should be {{ {names[0]} = "5m", {names[1]} = "15m" }}')
    return _positive("", value[names[0]]), _positive("", value[names[1]])


def _target(_urgency: str, value: object) -> Target:
    acknowledge, contact = _spans(value, ("acknowledge", "contact"))
    if not acknowledge <= contact <= timedelta(hours=1):
        raise ValueError("acknowledge may not be later than contact, nor contact later than one hour")
    return Target(acknowledge, contact)


def _tiers(_urgency: str, value: object) -> tuple[Tier, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('needs at least one tier: [{ wait = "5m", repeat = "5m" }]')
    return tuple(Tier(*_spans(tier, ("wait", "repeat"))) for tier in value)
