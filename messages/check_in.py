"""One timed text of a protocol: when, to whom, what it asks, and what silence means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta

LANGUAGES = ("en", "es")

ASKS = ("welcome", "symptoms", "pain", "blood_thinner", "bandage", "follow_up", "change", "general")
"""What a check-in can ask; triage reads the answer in its light."""

EXPECTS = ("ok", "yes_no", "score", "change", "free")
"""Answers a question can expect. Free text is always accepted and always triaged first."""

CONDITIONS = ("blood_thinner", "watched", "watched_or_thoracic", "no_visit")
"""Whom a check-in is for; besides these ``no_answer:<key>``."""

OPEN_FOR = timedelta(hours=2)
"""A question nobody answered holds back the next one for this long (clinical notes, section 1)."""


class ProtocolError(ValueError):
    """A protocol file that cannot be used: names file, line and reason."""


@dataclass(frozen=True)
class Timing:
    """When a check-in is due, in the patient's own time zone. At most one of the first five is set; none of
    them for a check-in that follows another (``CheckIn.after``).

    ``at_enrollment``: at once. ``offset``: so long after the message clock starts (procedure, or discharge
    home). ``day`` with ``at``: that many local dates after that, at that local time. ``procedure_offset``:
    the first window start at or after procedure plus this. ``before_visit`` with ``at``: so many dates
    before the visit.

    ``first_evening``: the day-0 rule of the notes for an ``offset`` (19:30 at the latest; or one hour
    after, when that is before 21:00; else next morning's question stands for it). ``with_welcome``: then
    home after 18:30 means right after the welcome. ``home_first``: no sooner after discharge than this when
    a night was spent in hospital. ``only_before``: of no use from procedure plus this on. ``apart`` and
    ``apart_from``: skipped when closer than this to that earlier check-in.
    """

    at_enrollment: bool = False
    offset: timedelta | None = None
    day: int | None = None
    procedure_offset: timedelta | None = None
    before_visit: int | None = None
    at: time | None = None
    first_evening: bool = False
    with_welcome: bool = False
    home_first: timedelta | None = None
    only_before: timedelta | None = None
    apart: timedelta | None = None
    apart_from: str | None = None
    late_too: bool = False


@dataclass(frozen=True)
class CheckIn:
    """One timed question, or advice when ``asks`` is ``None``.

    ``asks``: one of ``ASKS``. ``expects``: of ``EXPECTS``. ``texts``: by language, with placeholders.
    ``condition``: whom it is for, decided when it comes due: everybody (``None``); ``blood_thinner``: who
    takes one or may; ``watched``: those, a last pain score of 4 or more, or any red flag so far;
    ``watched_or_thoracic``: or a treated level T1-T12; ``no_visit``: no follow-up date known;
    ``no_answer:<key>``: that question was meant for this patient and is still unanswered. ``after``: goes
    out when that check-in is answered and triaged, or once it has been open for its ``open_for``.
    ``useful_for``: how long after it was due it is worth sending; under a day, that day's window at most.
    ``silent_after``: when no answer counts as silence (see ``schedule.silent_at``); ``silence_task``:
    silence, or never having been sent, becomes a task; ``silence_is_urgent``: with the clock of an urgent
    one. ``reminder_after``: when the one reminder goes out. ``time_critical``: may go out in quiet hours up
    to 21:00 on the evening of day 0; no other scheduled text may. ``line``: where the file has it.
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


def by_key(check_ins: Iterable[CheckIn]) -> dict[str, CheckIn]:
    """The check-ins by key, in order."""
    return {check_in.key: check_in for check_in in check_ins}


def chain_start(check_in: CheckIn, known: Mapping[str, CheckIn]) -> CheckIn:
    """The check-in whose time a chain of ``after`` hangs on; itself when it follows none."""
    while check_in.after is not None:
        check_in = known[check_in.after]
    return check_in
