"""The clinic's values as fields of a form: what each shows, and the TOML it means.

What a value may be is ``messages.site_file``'s to say; here is only how a person writes it.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from messages.site import DAYS, Site, SiteError, parse_site
from messages.site_file import CHOICES, LIMITS

PAGED = ("emergency", "urgent")
SECTIONS = (
    "clinic",
    "business_hours",
    "holidays",
    "day",
    "targets",
    "acknowledgement_lasts",
    "ladder",
    "values",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``name`` is table and key. ``show``: the text of a site's value. ``read``: what the text
    means in TOML. ``choices``: the values there are, where they are few."""

    name: str
    kind: str
    show: Callable[[Site], str]
    read: Callable[[str], Any]
    choices: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        return self.name.split(".")[0]

    @property
    def key(self) -> str:
        return self.name.split(".", 1)[1]


def span_text(length: timedelta) -> str:
    """``15m``, ``1h``, ``1d 6h``: as the site file writes it."""
    minutes = int(length.total_seconds()) // 60
    parts = ((minutes // 1440, "d"), (minutes % 1440 // 60, "h"), (minutes % 60, "m"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count) or "0m"


def _hours(site: Site, day: str) -> str:
    hours = site.business_hours[day]
    return f"{hours[0]:%H:%M}-{hours[1]:%H:%M}" if hours else "closed"


def _dates(text: str) -> list[Any]:
    """Dates, however they are parted; what is none stays text, and is refused as such."""
    return [_date(part) for part in re.split(r"[\s,;]+", text) if part]


def _date(part: str) -> Any:
    try:
        return date.fromisoformat(part)
    except ValueError:
        return part


def _pair(text: str, names: tuple[str, str]) -> Any:
    parts = [part.strip() for part in text.split("/")]
    return dict(zip(names, parts, strict=True)) if len(parts) == 2 else text


def _tiers(text: str) -> list[Any]:
    return [_pair(line, ("wait", "repeat")) for line in text.splitlines() if line.strip()]


def _number(text: str) -> Any:
    return int(text) if re.fullmatch(r"\d{1,6}", text) else text


def _made() -> tuple[Field, ...]:
    fields = [
        Field("clinic.name", "text", lambda site: site.clinic_name, str),
        Field("clinic.phone", "text", lambda site: site.clinic_phone, str),
        Field("clinic.timezone", "zone", lambda site: site.timezone, str),
    ]
    for day in DAYS:
        fields.append(
            Field(f"business_hours.{day}", "hours", lambda site, day=day: _hours(site, day), _spaceless)
        )
    fields += [
        Field("holidays.country", "text", lambda site: site.holiday_country, str),
        Field("holidays.dates", "dates", lambda site: " ".join(map(str, site.holidays)), _dates),
        Field("day.starts", "clock", lambda site: f"{site.day_starts:%H:%M}", str),
    ]
    for urgency in PAGED:
        fields.append(Field(f"targets.{urgency}", "pair", _target(urgency), _read_target))
    for urgency in (*PAGED, "routine"):
        fields.append(Field(f"acknowledgement_lasts.{urgency}", "span", _lasts(urgency), str))
    for urgency in PAGED:
        fields.append(Field(f"ladder.{urgency}", "tiers", _ladder(urgency), _tiers))
    for name in LIMITS:
        fields.append(Field(f"values.{name}", "number", _value(name), _number))
    for name, choices in CHOICES.items():
        fields.append(Field(f"values.{name}", "choice", _value(name), str, choices))
    return tuple(fields)


def _spaceless(text: str) -> str:
    return re.sub(r"\s", "", text).replace("–", "-")


def _read_target(text: str) -> Any:
    return _pair(text, ("acknowledge", "contact"))


def _target(urgency: str) -> Callable[[Site], str]:
    def show(site: Site) -> str:
        target = site.targets[urgency]
        return f"{span_text(target.acknowledge)} / {span_text(target.contact)}"

    return show


def _lasts(urgency: str) -> Callable[[Site], str]:
    return lambda site: span_text(site.acknowledgement_lasts[urgency])


def _ladder(urgency: str) -> Callable[[Site], str]:
    return lambda site: "\n".join(
        f"{span_text(tier.wait)} / {span_text(tier.repeat)}" for tier in site.ladder[urgency]
    )


def _value(name: str) -> Callable[[Site], str]:
    return lambda site: str(site.values[name])


FIELDS = _made()
BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}


def fault_of(field: Field, text: str) -> str | None:
    """What is wrong with one field's text, in the words of the site file's own reading; None: nothing."""
    try:
        parse_site(as_toml({field.table: {field.key: field.read(text)}}), "form")
    except SiteError as error:
        return re.sub(r"^form:\d+: (\[\w+\] ?\w*: )?", "", str(error))
    return None


def merged(file_text: str, settings: Mapping[str, str], overrides: Mapping[str, str]) -> str:
    """The TOML of the site file with the clinic settings and then the overrides in place of its values."""
    data = tomllib.loads(file_text)
    for name, text in {**settings, **overrides}.items():
        field = BY_NAME.get(name)
        if field is not None:
            data.setdefault(field.table, {})[field.key] = field.read(text)
    return as_toml(data)


def as_toml(data: Mapping[str, Any]) -> str:
    """TOML of tables of plain values."""
    lines = []
    for table, values in data.items():
        lines.append(f"[{table}]")
        lines += [f"{json.dumps(key)} = {_written(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_written(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_written(one) for one in value) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value.isoformat())
