"""Reading a TOML file so that every fault can be told with its line.

The standard parser gives lines only for broken syntax; a value that is well formed but wrong is looked up
here.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Any

_AT_LINE = re.compile(r"at line (\d+)")
_HEADER = re.compile(r"\s*\[{1,2}\s*([\w.\-]+)\s*\]{1,2}")
_DURATION = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?")


@dataclass(frozen=True)
class TomlFile:
    """The parsed ``data`` of one file and its ``lines``. ``error`` makes the exception to raise."""

    filename: str
    data: dict[str, Any]
    lines: tuple[str, ...]
    error: Callable[[str], ValueError]

    def fault(self, reason: str, line: int) -> ValueError:
        """The exception for a fault: ``file:line: reason``."""
        return self.error(f"{self.filename}:{line}: {reason}")

    def line_of(self, table: str, key: str | None = None, nth: int = 0) -> int:
        """The line of ``key`` in the ``nth`` table headed ``table`` (``""``: before any header), else that of
        the table's header, else 1. ``key`` may be the first part of a dotted key, or a table inside it."""
        here, seen, header = "", -1, 1
        for number, line in enumerate(self.lines, 1):
            if found := _HEADER.match(line):
                here = found[1]
                seen += here == table
                if seen == nth and here == table:
                    header = number
                if seen == nth and key and here == f"{table}.{key}":
                    return number
            elif key and here == table and (seen == nth or not table) and _starts_with_key(line, key):
                return number
        return header

    def known(
        self, given: Iterable[str], allowed: Iterable[str], where: str, line: Callable[[str], int]
    ) -> None:
        """Raises for a key that is not allowed, suggesting the nearest one that is."""
        names = sorted(allowed)
        for key in given:
            if key not in names:
                near = get_close_matches(key, names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(names)}"
                raise self.fault(f"unknown key {key!r} in {where}; {hint}", line(key))


def _starts_with_key(line: str, key: str) -> bool:
    return re.match(rf'\s*"?{re.escape(key)}"?\s*[.=]', line) is not None


def read_toml(text: str, filename: str, error: Callable[[str], ValueError]) -> TomlFile:
    """Parses; broken syntax raises ``error`` with file, line and what the parser says."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        found = _AT_LINE.search(str(fault))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise error(f"{filename}:{line}: not valid TOML: {fault}") from None
    return TomlFile(filename, data, tuple(text.splitlines()), error)


def duration(value: object) -> timedelta:
    """``"48h"``, ``"15m"``, ``"1d 6h"``. Raises ``ValueError`` saying what is expected."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or not any(found.groups()):
        raise ValueError(f'{value!r} is not a duration; write it like "48h", "15m" or "1d 6h"')
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def clock_time(value: object) -> time:
    """``"09:30"``. Raises ``ValueError`` saying what is expected."""
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'{value!r} is not a time of day; write it like "09:30"')
    return time(int(found[1]), int(found[2]))


def table(value: object) -> Mapping[str, Any]:
    """``value`` when it is a table. Raises ``ValueError``."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} should be a table of keys")
    return value
