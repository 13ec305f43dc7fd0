"""Clocks and ladder of an escalation: who must have been told by now, and when to look again.

Pure. All times are aware UTC; site values decide (clinical targets: emergency told at once, acknowledged in 5
minutes, contact in 15; urgent 15 and 60; routine read by the next business day).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from messages.site import Site, business_deadline
from messages.urgency import Urgency

TEAM = 0
"""The tier number that stands for everyone: told when the last tier's time has passed too."""

DAY_STARTS = time(8, 30)
DAY_ENDS = time(20)
STILL_OPEN_EVERY = timedelta(hours=24)
"""How often the person who spoke with the patient is reminded that the escalation has no resolution yet."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """``page_at``: the ladder starts. ``acknowledge_by``: somebody must have said "I have this".
    ``contact_by``: a person must have spoken with the patient."""

    page_at: datetime
    acknowledge_by: datetime
    contact_by: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One tier as frozen into an escalation. ``wait``: its time before the next tier; ``repeat``: how often
    it is told again; ``also``: e-mails of members told with it whoever is on call (a holder whose time ran
    out)."""

    tier: int
    wait: timedelta
    repeat: timedelta
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One telling of one tier. ``number`` counts from 0 within the tier."""

    tier: int
    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """``told``: of every tier whose time has begun, its newest round due by now, in order of the ladder.
    ``next_at``: when the standing changes by itself. It never ends: the team is told again and again."""

    told: tuple[Round, ...]
    next_at: datetime


def clocks(site: Site, urgency: Urgency, at: datetime, due_by: datetime | None = None) -> Clocks:
    """The clocks of an escalation whose need arose ``at``.

    With ``due_by`` (an unclear reply, silence) both deadlines are that time, and the ladder starts early
    enough for a call before it: the urgent contact target earlier, never before ``at``. Routine without
    ``due_by``: the close of the next business day.
    """
    lead = site.targets[Urgency.URGENT].contact
    if due_by is None and urgency > Urgency.ROUTINE:
        target = site.targets[urgency]
        return Clocks(at, at + target.acknowledge, at + target.contact)
    deadline = due_by or business_deadline(at, site)
    return Clocks(max(at, deadline - lead), deadline, deadline)


def sooner(first: Clocks, second: Clocks) -> Clocks:
    """The stricter of two clocks, each time for itself: a new need never gives more time to an old one."""
    return Clocks(
        min(first.page_at, second.page_at),
        min(first.acknowledge_by, second.acknowledge_by),
        min(first.contact_by, second.contact_by),
    )


def acknowledgement_expires(site: Site, urgency: Urgency, at: datetime) -> datetime:
    """When an acknowledgement given ``at`` goes stale unless a contact is recorded."""
    return at + site.acknowledgement_lasts[urgency if urgency > Urgency.ROUTINE else Urgency.ROUTINE]


def morning_after(at: datetime, site: Site, timezone: str) -> datetime:
    """The next start of the team's day strictly after ``at`` (default 09:30) in ``timezone``; any day of the
    week."""
    zone = ZoneInfo(timezone)
    day = at.astimezone(zone).date()
    today = datetime.combine(day, site.day_starts, zone).astimezone(UTC)
    if today > at:
        return today
    return datetime.combine(day + timedelta(days=1), site.day_starts, zone).astimezone(UTC)


def hour_or_morning(at: datetime, site: Site, timezone: str) -> datetime:
    """When a person must have dealt with an unclear reply: 60 minutes by day (08:30-20:00 in ``timezone``),
    the next start of the team's day at night; weekends included."""
    local = at.astimezone(ZoneInfo(timezone)).time()
    if DAY_STARTS <= local < DAY_ENDS:
        return at + timedelta(minutes=60)
    return morning_after(at, site, timezone)


def ladder_for(site: Site, urgency: Urgency, also: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The ladder to freeze into an escalation, as plain JSON. Routine matters climb the urgent one."""
    tiers = site.ladder[urgency if urgency > Urgency.ROUTINE else Urgency.URGENT]
    return [
        {
            "tier": number,
            "wait": int(tier.wait.total_seconds()),
            "repeat": int(tier.repeat.total_seconds()),
            "also": sorted(also) if number == 1 else [],
        }
        for number, tier in enumerate(tiers, start=1)
    ]


def steps_of(ladder: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """A frozen ladder as values. An empty one (a row repaired by hand) becomes one short step."""
    steps = tuple(
        Step(
            int(row["tier"]),
            timedelta(seconds=row["wait"]),
            timedelta(seconds=max(60, row["repeat"])),
            tuple(row.get("also", ())),
        )
        for row in ladder
    )
    return steps or (Step(1, timedelta(minutes=5), timedelta(minutes=5)),)


def standing(
    steps: Sequence[Step], started_at: datetime, at: datetime, lost: Mapping[int, datetime] | None = None
) -> Standing:
    """Who must have been told by ``at`` on a ladder that nobody has stopped.

    1. A tier begins when the one before has had its ``wait``, or at the moment that one was ``lost`` (nobody
       in it can be reached: nobody on call, pages refused), whichever is first.
    2. Within its time a tier is told again every ``repeat``.
    3. After the last tier the whole team (``TEAM``) is told, again and again, at the last tier's ``repeat``.
    """
    lost = lost or {}
    if at < started_at:
        return Standing((), started_at)
    told: list[Round] = []
    begins = started_at
    for step in steps:
        ends = begins + step.wait
        if step.tier in lost:
            ends = min(ends, max(begins, lost[step.tier]))
        newest = _newest(step.tier, begins, step.repeat, min(at, ends - timedelta(microseconds=1)))
        if newest:
            told.append(newest)
        if at < ends:
            following = told[-1].at + step.repeat if newest else begins
            return Standing(tuple(told), min(following, ends))
        begins = ends
    last = steps[-1].repeat
    newest = _newest(TEAM, begins, last, at)
    assert newest is not None
    return Standing((*told, newest), newest.at + last)


def _newest(tier: int, begins: datetime, repeat: timedelta, at: datetime) -> Round | None:
    if at < begins:
        return None
    number = int((at - begins) / repeat)
    return Round(tier, number, begins + number * repeat)
