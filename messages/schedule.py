"""When each check-in of one enrollment is due, and whether one that came due may go out now.

Local dates come in, aware UTC goes out: days are added to the patient's local date and only then converted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time

from messages.protocol import CheckIn, Protocol


@dataclass(frozen=True)
class Facts:
    """What planning needs to know about one enrollment. Times are aware; ``timezone`` is the patient's IANA zone.
    ``on_blood_thinner`` ``None`` (not known) is asked as if true. ``thoracic``: a level T1 to T12 was treated."""

    procedure_at: datetime
    discharged_at: datetime | None
    timezone: str
    enrolled_at: datetime
    on_blood_thinner: bool | None
    follow_up_on: date | None
    thoracic: bool = False


@dataclass(frozen=True)
class QuietHours:
    """Local hours in which scheduled texts wait. Both ``None``: no window at all."""

    start: time | None
    end: time | None

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """``"20:00-09:00"`` or ``"none"``. Raises ``ValueError`` saying what is expected."""
        raise NotImplementedError


@dataclass(frozen=True)
class PlannedCheckIn:
    """One check-in of one enrollment. ``due_at``, ``expires_at``: aware UTC; ``local``: ``due_at`` in the patient's
    zone. ``status``: ``planned`` or ``skipped``, then with ``why``."""

    check_in: CheckIn
    due_at: datetime
    expires_at: datetime
    local: datetime
    status: str
    why: str = ""


@dataclass(frozen=True)
class Standing:
    """Where an enrollment stands when one of its texts comes due.

    ``last_text_at``: when the last scheduled text went to this phone (to any enrollment on it). ``sent``: key to
    the time it went out. ``answered``: keys whose answer has been triaged. ``last_pain``: latest score, 0-10.
    ``flagged``: an urgent or emergency finding so far. ``paused``: check-ins wait for a person (opted out,
    suicidal words, in hospital). ``ended``: withdrawn or completed.
    """

    last_text_at: datetime | None = None
    sent: Mapping[str, datetime] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    last_pain: int | None = None
    flagged: bool = False
    paused: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Go:
    """Send it now."""


@dataclass(frozen=True)
class Wait:
    """Ask again at ``until`` (aware UTC, always later than now), or sooner when an answer comes."""

    until: datetime
    why: str = ""


@dataclass(frozen=True)
class Skip:
    """Not meant for this patient: the condition does not hold. Needs nobody."""

    why: str


@dataclass(frozen=True)
class Expire:
    """Its useful time is over and it was never sent: a task for the team when ``check_in.silence_task``."""

    why: str


Decision = Go | Wait | Skip | Expire


def plan(protocol: Protocol, facts: Facts, quiet: QuietHours, now: datetime) -> tuple[PlannedCheckIn, ...]:
    """Every check-in of the protocol, in the file's order, planned or skipped with the reason.

    Re-planning is calling it again with new facts: keys stay the same. Apply it only to rows still ``planned`` whose
    ``due_at`` is after ``now``; rows already due are left to ``decide``. Raises ``ValueError`` for facts that
    contradict each other (naive times, discharge before procedure, unknown zone).
    """
    raise NotImplementedError


def decide(
    check_in: CheckIn,
    due_at: datetime,
    expires_at: datetime,
    protocol: Protocol,
    facts: Facts,
    standing: Standing,
    quiet: QuietHours,
    now: datetime,
) -> Decision:
    """What to do at ``now`` with a check-in that has come due."""
    raise NotImplementedError


def reminder_at(check_in: CheckIn, sent_at: datetime, facts: Facts, quiet: QuietHours) -> datetime | None:
    """When the one reminder of a check-in sent at ``sent_at`` is due if it stays unanswered; ``None``: it has none,
    or it would fall outside that day's window."""
    raise NotImplementedError


def silent_at(check_in: CheckIn, sent_at: datetime, facts: Facts, quiet: QuietHours) -> datetime | None:
    """From when on an unanswered check-in counts as silent: ``silent_after`` later, and inside quiet hours the next
    window start ("by next morning"). ``None``: never."""
    raise NotImplementedError
