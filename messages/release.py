"""Whether a check-in that came due may go out now, and when an unanswered one is asked again or counts as
silent.

Pure decisions: the caller locks the row, asks, and acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from messages.check_in import CheckIn, by_key
from messages.local_time import QuietHours
from messages.planning import Facts
from messages.protocol import Protocol

WATCHED_FROM_PAIN = 4
"""From this score on a patient is watched for delayed bleeding (clinical notes, V5 and K5)."""

PAUSED = "the enrollment is paused"
"""Why a check-in waits for a person; the service keeps it with the text."""

_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Standing:
    """Where an enrollment stands when one of its texts comes due.

    ``last_text_at``: when the last scheduled text went to this phone (for any enrollment on it). ``sent``:
    key to the time it went out. ``answered``: keys whose answer has been triaged. ``closed``: keys that
    will not go out any more (skipped, expired, cancelled, failed). ``last_pain``: latest score, 0-10.
    ``flagged``: an urgent or emergency finding so far. ``paused``: check-ins wait for a person (opted out,
    suicidal words, in hospital). ``ended``: withdrawn or completed.
    """

    last_text_at: datetime | None = None
    sent: Mapping[str, datetime] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    last_pain: int | None = None
    flagged: bool = False
    paused: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Go:
    """Send it now."""


@dataclass(frozen=True)
class Wait:
    """Ask again at ``until`` (aware UTC, always later than now), or as soon as an answer comes."""

    until: datetime
    why: str = ""


@dataclass(frozen=True)
class Skip:
    """Not meant for this patient. Needs nobody."""

    why: str


@dataclass(frozen=True)
class Expire:
    """Its useful time is over and it was never sent: a task for the team when ``check_in.silence_task``."""

    why: str


Decision = Go | Wait | Skip | Expire


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
    """What to do at ``now`` with a planned check-in. Ask in order of ``due_at``, one text of a phone at a
    time, with ``standing`` read afresh for each.

    1. Ended, or not meant for this patient: ``Skip``.

    2. Useful time over: ``Expire``.

    3. Not yet due, paused, quiet hours, its leader or another question still open, the gap: ``Wait``, cut
       short at the expiry.

    4. Else ``Go``.
    """
    if standing.ended:
        return Skip("the enrollment has ended")
    if now < due_at:
        return Wait(due_at.astimezone(UTC), "not yet due")
    if not meant_for(check_in, protocol, facts, standing):
        return Skip(f"not needed: {check_in.condition}")
    if check_in.after in standing.closed:
        return Skip(f"it follows {check_in.after}, which did not go out")
    if now >= expires_at:
        return Expire("its useful time is over")
    waits = [
        *_paused(standing, now),
        *_quiet_until(check_in, due_at, facts, quiet, now),
        *_follows_until(check_in, protocol, standing, now),
        *_question_open_until(check_in, protocol, standing),
        *_gap_until(protocol, standing),
    ]
    longest = max((wait for wait in waits if wait.until > now), key=lambda wait: wait.until, default=None)
    if longest is None:
        return Go()
    return Wait(min(longest.until, expires_at).astimezone(UTC), longest.why)


def meant_for(check_in: CheckIn, protocol: Protocol, facts: Facts, standing: Standing) -> bool:
    """Whether a check-in's condition holds for this patient now."""
    condition = check_in.condition
    if condition is None:
        return True
    if condition.startswith("no_answer:"):
        asked = by_key(protocol.check_ins)[condition.removeprefix("no_answer:")]
        return asked.key not in standing.answered and meant_for(asked, protocol, facts, standing)
    if condition == "no_visit":
        return facts.follow_up_on is None
    thinner = facts.on_blood_thinner is not False
    if condition == "blood_thinner":
        return thinner
    pain = standing.last_pain is not None and standing.last_pain >= WATCHED_FROM_PAIN
    watched = thinner or pain or standing.flagged
    return watched or (condition == "watched_or_thoracic" and facts.thoracic)


def _paused(standing: Standing, now: datetime) -> list[Wait]:
    return [Wait(now + _LOOK_AGAIN, PAUSED)] if standing.paused else []


def _quiet_until(
    check_in: CheckIn, due_at: datetime, facts: Facts, quiet: QuietHours, now: datetime
) -> list[Wait]:
    """The first-evening question was planned with its own limit, its expiry at 21:00; every other text
    waits."""
    zone = ZoneInfo(facts.timezone)
    if check_in.time_critical and now.astimezone(zone).date() == due_at.astimezone(zone).date():
        return []
    return [Wait(quiet.open_from(now, zone), "quiet hours")]


def _follows_until(check_in: CheckIn, protocol: Protocol, standing: Standing, now: datetime) -> list[Wait]:
    if check_in.after is None or check_in.after in standing.answered:
        return []
    sent_at = standing.sent.get(check_in.after)
    if sent_at is None:
        return [Wait(now + _LOOK_AGAIN, f"{check_in.after} has not gone out yet")]
    return [
        Wait(sent_at + protocol.check_in(check_in.after).open_for, f"{check_in.after} is not answered yet")
    ]


def _question_open_until(check_in: CheckIn, protocol: Protocol, standing: Standing) -> list[Wait]:
    if check_in.asks is None:
        return []
    known = by_key(protocol.check_ins)
    return [
        Wait(sent_at + known[key].open_for, f"{key} is still open")
        for key, sent_at in standing.sent.items()
        if key in known
        and known[key].asks is not None
        and key != check_in.key
        and key not in standing.answered
    ]


def _gap_until(protocol: Protocol, standing: Standing) -> list[Wait]:
    if standing.last_text_at is None:
        return []
    return [Wait(standing.last_text_at + protocol.gap, "too soon after the last text")]


def reminder_at(check_in: CheckIn, sent_at: datetime, facts: Facts, quiet: QuietHours) -> datetime | None:
    """When the one reminder of a check-in sent at ``sent_at`` is due if it stays unanswered, in UTC.
    ``None``: it has none, or it would fall outside that day's window (the next morning asks again by
    itself)."""
    if check_in.reminder_after is None:
        return None
    zone = ZoneInfo(facts.timezone)
    due_at = sent_at.astimezone(UTC) + check_in.reminder_after
    same_day = due_at.astimezone(zone).date() == sent_at.astimezone(zone).date()
    return due_at if same_day and not quiet.quiet_at(due_at, zone) else None


def silent_at(check_in: CheckIn, sent_at: datetime, facts: Facts, quiet: QuietHours) -> datetime | None:
    """From when on an unanswered check-in sent at ``sent_at`` counts as silent, in UTC: ``silent_after``
    later, and in quiet hours (without any: at night) the next morning. ``None``: never."""
    if check_in.silent_after is None:
        return None
    nights = quiet if quiet.start is not None else QuietHours(time(20), time(9))
    return nights.open_from(sent_at.astimezone(UTC) + check_in.silent_after, ZoneInfo(facts.timezone))
