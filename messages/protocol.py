"""Protocols: what is said to patients after one procedure, when, and what counts as an answer.

A protocol is a TOML file under ``messages/protocols`` (or a site's own folder). It loads whole or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path

from messages.site import Site

LANGUAGES = ("en", "es")
BUILT_IN = Path(__file__).parent / "protocols"
OPEN_FOR = timedelta(hours=2)
"""A question nobody answered stops holding back the next one after this long (clinical notes, section 1)."""


class ProtocolError(ValueError):
    """A protocol file that cannot be used: names file, line and reason."""


@dataclass(frozen=True)
class Timing:
    """When a check-in is due, in the patient's own time zone. Exactly one of the first five is set.

    ``at_enrollment``: at once. ``offset``: so long after the message clock starts (procedure, or discharge home).
    ``day`` with ``at``: that many local dates later, at that local time. ``procedure_offset``: first window start
    at or after procedure plus this. ``before_visit`` with ``at``: that many dates before the follow-up visit.
    """

    at_enrollment: bool = False
    offset: timedelta | None = None
    day: int | None = None
    procedure_offset: timedelta | None = None
    before_visit: int | None = None
    at: time | None = None
    first_evening: bool = False  # offset only: the day-0 rule of the notes (19:30, or one hour after, before 21:00)
    with_welcome: bool = False  # first_evening: home after 18:30, it goes right after the welcome
    home_first: timedelta | None = None  # never sooner after discharge than this when a night was spent in hospital
    only_before: timedelta | None = None  # of no use from procedure plus this on
    apart: timedelta | None = None  # skipped when the check-in named in ``apart_from`` is closer than this
    apart_from: str | None = None


@dataclass(frozen=True)
class CheckIn:
    """One timed question, or advice when ``expects`` is empty.

    ``asks``: what triage is told was asked (``pain``, ``symptoms``, ``bandage``, ``blood_thinner``, ``general``,
    ``follow_up``, ``change``, ``welcome``); ``None``: advice. ``expects``: ``yes_no``, ``score``, ``change``,
    ``free``, ``ok``. ``condition``: ``None``, ``blood_thinner``, ``watched``, ``watched_or_thoracic``,
    ``no_answer:<key>``, ``no_visit``, decided when it comes due. ``after``: goes out only when that check-in is
    answered and triaged, or ``OPEN_FOR`` after it went out. ``useful_for``: not sent later than this after it was
    due. ``silent_after``: when no answer counts as silence; ``silence_task``: whether silence becomes a task,
    ``silence_is_urgent``: and an urgent one. ``time_critical``: the first-evening question, which alone may go in
    quiet hours until 21:00.
    """

    key: str
    asks: str | None
    expects: tuple[str, ...]
    texts: Mapping[str, str]
    timing: Timing
    useful_for: timedelta
    condition: str | None = None
    after: str | None = None
    open_for: timedelta = OPEN_FOR
    silent_after: timedelta | None = None
    silence_task: bool = False
    silence_is_urgent: bool = False
    reminder_after: timedelta | None = None
    reminder_texts: Mapping[str, str] | None = None
    time_critical: bool = False
    line: int = 0


@dataclass(frozen=True)
class Protocol:
    """One version of one procedure's plan. ``anchor``: what the message clock starts at, ``procedure`` or
    ``discharge``. ``gap``: least time between two scheduled texts to one patient. ``digest``: SHA-256 of
    ``source_text``, which an enrollment can pin and parse again."""

    name: str
    version: int
    title: str
    anchor: str
    gap: timedelta
    check_ins: tuple[CheckIn, ...]
    digest: str
    source_text: str

    def check_in(self, key: str) -> CheckIn:
        """The check-in of that key. Raises ``KeyError``."""
        for check_in in self.check_ins:
            if check_in.key == key:
                return check_in
        raise KeyError(key)


def parse(text: str, filename: str, site: Site) -> Protocol:
    """The protocol of a TOML file. Raises ``ProtocolError`` naming file, line and reason."""
    raise NotImplementedError


def load(folders: Sequence[Path], site: Site) -> dict[str, Protocol]:
    """The built-in protocols and those of ``folders``, by name. Raises ``ProtocolError``."""
    raise NotImplementedError


def text_of(check_in: CheckIn, language: str, site: Site, follow_up_on: date | None = None) -> str:
    """The text one patient is sent, filled and ready for the carrier (already sanitised). Raises ``WordingError``."""
    raise NotImplementedError


def reminder_of(check_in: CheckIn, language: str, site: Site) -> str:
    """The one reminder of an unanswered check-in, filled and sanitised. Raises ``WordingError``."""
    raise NotImplementedError
