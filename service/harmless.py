"""Texts of unknown origin as they may be shown, and as they may stand in a table that a spreadsheet opens."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from service.instants import zulu

# A right-to-left or other direction-changing sign could make words look like other words.
_DIRECTION = {
    ord(sign): "\ufffd" for sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def shown(text: str) -> str:
    """A text of unknown origin as it may be shown: no control signs, no signs that turn the direction."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text.translate(_DIRECTION))


def cell(value: Any) -> str:
    """A value as it may stand in a CSV file: what a spreadsheet would take for a formula gets an apostrophe
    before it (OWASP: CSV injection), also behind spaces. Numbers stay numbers, times are RFC 3339."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return zulu(value)
    if isinstance(value, date):
        return value.isoformat()
    text = shown(str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def table(columns: Sequence[str], content: Iterable[Sequence[Any]]) -> str:
    """A CSV file, every cell guarded and quoted."""
    return rows([columns]) + rows(content)


def rows(content: Iterable[Sequence[Any]]) -> str:
    """Lines of a CSV file."""
    made = io.StringIO(newline="")
    writer = csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([cell(value) for value in row] for row in content)
    return made.getvalue()
