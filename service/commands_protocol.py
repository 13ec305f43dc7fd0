"""``aftercare protocol list|check|preview|rehearse``: plain functions; the command line wires them to typer.

Each returns the lines to print and raises ``ValueError`` with a whole sentence for wrong input.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from messages.schedule import QuietHours
from messages.site import Site


def list_protocols(folders: Sequence[Path], site: Site) -> list[str]:
    """One line per protocol: name, version, title, number of check-ins, digest."""
    raise NotImplementedError


def check_protocols(files: Sequence[Path], folders: Sequence[Path], site: Site) -> tuple[list[str], int]:
    """Reads ``files`` (none given: everything ``folders`` and the built-in folder hold); the lines to print and the
    number of faulty files (exit status 1 when not 0)."""
    raise NotImplementedError


def preview(
    name: str,
    at: str,
    timezone: str,
    folders: Sequence[Path],
    site: Site,
    quiet: QuietHours,
    language: str = "en",
    blood_thinner: bool = False,
    discharged: str | None = None,
    as_json: bool = False,
) -> str:
    """The whole plan in local time, as a table or as JSON. ``at``, ``discharged``: local ``YYYY-MM-DD HH:MM``."""
    raise NotImplementedError


def rehearse(
    name: str, start: datetime, timezone: str, folders: Sequence[Path], site: Site, quiet: QuietHours,
    language: str = "en", blood_thinner: bool = True,
) -> Iterator[str]:
    """A whole course with example answers, line by line, as the patient's phone would show it."""
    raise NotImplementedError
