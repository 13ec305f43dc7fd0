"""Reading a protocol file: every key known, every value of its kind, every fault with its line."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from messages.check_in import ASKS, CONDITIONS, EXPECTS, LANGUAGES, OPEN_FOR, CheckIn, ProtocolError, Timing
from messages.protocol_rules import check_rules
from messages.site import Site
from messages.toml_file import TomlFile, clock_time, duration, read_toml

_HEAD = ("name", "version", "title", "anchor", "gap", "check_in")
_TIMES = ("at_enrollment", "offset", "day", "procedure_offset", "before_visit")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_protocol(text: str, filename: str, site: Site) -> dict[str, Any]:
    """The fields of a ``Protocol`` but its digest. Raises ``ProtocolError`` naming file, line and reason."""
    file = read_toml(text, filename, ProtocolError)
    file.known(file.data, _HEAD, "a protocol", lambda key: max(file.line_of("", key), file.line_of(key)))
    head = {key: _head_value(file, key, read) for key, read in _HEAD_READERS.items()}
    tables = file.data.get("check_in")
    if not isinstance(tables, list) or not tables:
        raise file.fault("there is no [[check_in]]; a protocol needs at least one", 1)
    check_ins: list[CheckIn] = []
    for nth, table in enumerate(tables):
        check_in = _Reader(file, table, nth, site).read()
        if check_in.key in {earlier.key for earlier in check_ins}:
            raise file.fault(f"two check-ins have the key {check_in.key!r}", check_in.line)
        check_ins.append(check_in)
    fields = {**head, "check_ins": tuple(check_ins)}
    check_rules(file, fields["anchor"], fields["gap"], fields["check_ins"], site)
    return fields


def _head_value(file: TomlFile, key: str, read: Callable[[Any], Any]) -> Any:
    if key not in file.data:
        raise file.fault(f"{key} is missing", 1)
    try:
        return read(file.data[key])
    except ValueError as fault:
        raise file.fault(f"{key}: {fault}", file.line_of("", key)) from None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} should be small letters, digits and _, starting with a letter")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} should be text in quotation marks, and not empty")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} should be a whole number, 0 or more")
    return value


def _version(value: Any) -> int:
    if _count(value) == 0:
        raise ValueError("versions start at 1")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} should be true or false, without quotation marks")
    return value


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} should be one of {', '.join(allowed)}")
        return str(value)

    return read


def _expects(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f'{value!r} should be a list like ["yes_no", "free"]')
    return tuple(_one_of(*EXPECTS)(each) for each in value)


def _condition(value: Any) -> str:
    if isinstance(value, str) and value.startswith("no_answer:"):
        return f"no_answer:{_name(value.removeprefix('no_answer:'))}"
    if value not in CONDITIONS:
        raise ValueError(f"{value!r} should be one of {', '.join(CONDITIONS)} or no_answer:<key>")
    return str(value)


def _positive(value: Any) -> timedelta:
    if duration(value) <= timedelta(0):
        raise ValueError(f"{value!r} should be more than nothing")
    return duration(value)


def _languages(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError('should be one text per language: text.en = "...", text.es = "..."')
    for language in LANGUAGES:
        if language not in value:
            raise ValueError(f"the {language!r} translation is missing")
    for language in value:
        _one_of(*LANGUAGES)(language)
    return MappingProxyType({language: _text(value[language]) for language in LANGUAGES})


_HEAD_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "version": _version,
    "title": _text,
    "anchor": _one_of("procedure", "discharge"),
    "gap": _positive,
}


class _Reader:
    """One ``[[check_in]]`` table of a file."""

    def __init__(self, file: TomlFile, table: Mapping[str, Any], nth: int, site: Site) -> None:
        self.file, self.table, self.nth, self.site = file, table, nth, site
        self.readers: dict[str, Callable[[Any], Any]] = {
            "key": _name,
            "asks": _one_of(*ASKS),
            "expects": _expects,
            "text": _languages,
            "useful_for": _positive,
            "condition": _condition,
            "after": _name,
            "open_for": _positive,
            "silent_after": _positive,
            "silence_task": _flag,
            "silence_is_urgent": _flag,
            "reminder_after": _positive,
            "reminder": _languages,
            "time_critical": _flag,
            "at_enrollment": _flag,
            "offset": _positive,
            "day": _count,
            "procedure_offset": self._span,
            "before_visit": _version,
            "at": clock_time,
            "first_evening": _flag,
            "with_welcome": _flag,
            "home_first": _positive,
            "only_before": self._span,
            "apart": _positive,
            "apart_from": _name,
            "late_too": _flag,
        }

    def line(self, key: str | None = None) -> int:
        return self.file.line_of("check_in", key, self.nth)

    def _span(self, value: Any) -> timedelta:
        """A duration, or the name of a site value counted in hours."""
        hours = self.site.values.get(value) if isinstance(value, str) else None
        if isinstance(hours, int) and str(value).endswith("_hours"):
            return timedelta(hours=hours)
        return _positive(value)

    def read(self) -> CheckIn:
        if not isinstance(self.table, dict):
            raise self.file.fault("check_in should be written as [[check_in]]", self.line())
        self.file.known(self.table, self.readers, "[[check_in]]", self.line)
        values = {}
        for key, value in self.table.items():
            try:
                values[key] = self.readers[key](value)
            except ValueError as fault:
                raise self.file.fault(f"{key}: {fault}", self.line(key)) from None
        for key in ("key", "text", "useful_for"):
            if key not in values:
                raise self.file.fault(f"this [[check_in]] has no {key}", self.line())
        self._check_timing(values)
        timing = Timing(**{key: values.pop(key) for key in Timing.__dataclass_fields__ if key in values})
        reminder = values.pop("reminder", None)
        return CheckIn(
            texts=values.pop("text"),
            reminder_texts=reminder,
            timing=timing,
            line=self.line(),
            **{"asks": None, "expects": (), "open_for": OPEN_FOR, **values},
        )

    def _check_timing(self, values: Mapping[str, Any]) -> None:
        def refuse(reason: str, key: str | None = None) -> ValueError:
            return self.file.fault(f"check-in {values['key']!r}: {reason}", self.line(key))

        times = [key for key in _TIMES if _is_set(values, key)]
        if "after" in values and times:
            raise refuse(f"follows another (after), so it cannot also have {times[0]}", times[0])
        if "after" not in values and len(times) != 1:
            raise refuse(f"needs exactly one of {', '.join(_TIMES)} or after; it has {times or 'none'}")
        needs_at = bool({"day", "before_visit"} & set(times))
        if needs_at != ("at" in values):
            raise refuse("a day needs at, a local time; nothing else has it", "at")
        for key, partner in _PARTNERS.items():
            if _is_set(values, key) and not _is_set(values, partner):
                raise refuse(f"{key} only means something together with {partner}", key)
        if bool(values.get("asks")) != bool(values.get("expects")):
            raise refuse("a question has both asks and expects; advice has neither")


def _is_set(values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key)
    return value is not None and value is not False  # day 0 is a day


_PARTNERS = {
    "first_evening": "offset",
    "with_welcome": "first_evening",
    "time_critical": "first_evening",
    "home_first": "day",
    "late_too": "day",
    "apart": "apart_from",
    "apart_from": "apart",
    "reminder_after": "reminder",
    "reminder": "reminder_after",
    "silence_is_urgent": "silence_task",
    "silence_task": "silent_after",
    "silent_after": "asks",
}
