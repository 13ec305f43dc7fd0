"""Places in a list, as opaque words: a page goes on after the last row shown, whatever was added since."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from datetime import UTC, datetime

from service.instants import zulu

LONGEST_CURSOR = 300


class CursorError(ValueError):
    """The cursor was not made by this list."""

    def __init__(self) -> None:
        super().__init__("is not a cursor of this list; take it from 'next' of the page before")


def make(*values: datetime | int | str) -> str:
    """The cursor of a row, from the values the list is sorted by."""
    plain = [zulu(value) if isinstance(value, datetime) else value for value in values]
    return urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read(cursor: str, kinds: Sequence[type]) -> list[datetime | int | str]:
    """The values a cursor was made of, checked against ``kinds`` (datetime, int, str). Raises CursorError."""
    if len(cursor) > LONGEST_CURSOR:
        raise CursorError
    try:
        values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise CursorError
        return [_as(kind, value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError, NotBase64) as error:
        raise CursorError from error


def _as(kind: type, value: object) -> datetime | int | str:
    if kind is datetime and isinstance(value, str):
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000:
        return value
    if kind is str and isinstance(value, str) and 0 < len(value) <= 32 and value.isalnum():
        return value
    raise CursorError
