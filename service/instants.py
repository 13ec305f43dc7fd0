"""Times as the outside sees them: RFC 3339, UTC, with ``Z``."""

from datetime import UTC, datetime


def zulu(at: datetime) -> str:
    """``2027-03-12T20:00:00Z``. Raises ValueError for a time without zone: nobody could say what it means."""
    if at.tzinfo is None:
        raise ValueError("a time without zone cannot be written for others")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def zulu_or_none(at: datetime | None) -> str | None:
    """The same, passing None through."""
    return None if at is None else zulu(at)
