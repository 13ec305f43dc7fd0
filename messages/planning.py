"""When each check-in of one enrollment is due: the plan.

Local dates come in, aware UTC goes out: days are added to the patient's local date and only then converted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from messages.check_in import CheckIn, Timing
from messages.local_time import QuietHours, to_utc
from messages.protocol import Protocol

ASSUMED_STAY = timedelta(hours=24)
"""How long after a procedure a patient is taken to go home while nobody has said when."""

_EVENING_MARGIN = timedelta(minutes=30)  # the day-0 question: 19:30 for a window that closes at 20:00 ...
_EVENING_CEILING = time(21)  # ... and never at or after 21:00 (clinical notes, sections 1 and 5)
_BEFORE_CLOCK = "it falls before the message clock starts"
_PASSED = "its time had passed when this was planned"


@dataclass(frozen=True)
class Facts:
    """What planning needs to know about one enrollment. Times are aware; ``timezone`` is the patient's IANA
    zone. ``on_blood_thinner`` ``None`` (not known) is asked as if true. ``thoracic``: a level T1-T12 was
    treated."""

    procedure_at: datetime
    discharged_at: datetime | None
    timezone: str
    enrolled_at: datetime
    on_blood_thinner: bool | None
    follow_up_on: date | None
    thoracic: bool = False


@dataclass(frozen=True)
class PlannedCheckIn:
    """One check-in of one enrollment. ``due_at``, ``expires_at``: aware UTC; ``local``: ``due_at`` on the
    patient's wall clock. ``status``: ``planned``, or ``skipped`` with the reason in ``why``."""

    check_in: CheckIn
    due_at: datetime
    expires_at: datetime
    local: datetime
    status: str
    why: str = ""


@dataclass(frozen=True)
class _Slot:
    """A check-in on its way into the plan: where it belongs, and why it may not go out."""

    check_in: CheckIn
    due_at: datetime
    why: str = ""


def clock_starts_at(protocol: Protocol, facts: Facts) -> datetime:
    """When the message clock of an enrollment starts: the end of the procedure, or the way home. While
    nobody has said when a patient went home, 24 hours after the procedure."""
    if protocol.anchor == "procedure":
        return facts.procedure_at
    return facts.discharged_at or facts.procedure_at + ASSUMED_STAY


def plan(protocol: Protocol, facts: Facts, quiet: QuietHours, now: datetime) -> tuple[PlannedCheckIn, ...]:
    """Every check-in of the protocol, in the file's order, planned or skipped with the reason.

    Re-planning is calling it again with new facts; keys stay the same. Apply it only to rows still
    ``planned`` or ``skipped`` whose old and new ``due_at`` are both after ``now``: what has already come
    due is left to ``release.decide``. Raises ``ValueError`` for facts that contradict each other.

    1. Each check-in gets its own time (``_own_time``), moved into the window.

    2. What this patient does not need, or what lies before the enrollment, is skipped.

    3. The rest is spaced by the protocol's gap: first the welcome, then the red-flag questions, the
       bandage, the pain scores, then the others by time; no question before that day's red-flag question.
    """
    zone = _zone(facts)
    slots: dict[str, _Slot] = {}
    for check_in in protocol.check_ins:
        slots[check_in.key] = _slot(check_in, slots, protocol, facts, quiet, zone)
    slots = {key: _late(slot, slots, facts, now) for key, slot in slots.items()}
    placed: dict[str, _Slot] = {}
    for slot in sorted(slots.values(), key=_rank):
        key = slot.check_in.key
        placed[key] = slot if slot.why else _spaced(slot, placed, protocol.gap, quiet, zone)
    return tuple(_planned(placed[each.key], quiet, zone) for each in protocol.check_ins)


def _zone(facts: Facts) -> ZoneInfo:
    for name in ("procedure_at", "enrolled_at", "discharged_at"):
        at = getattr(facts, name)
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
    if facts.discharged_at is not None and facts.discharged_at < facts.procedure_at:
        raise ValueError("discharged_at is before procedure_at")
    try:
        return ZoneInfo(facts.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{facts.timezone!r} is not a time zone") from None


def _slot(
    check_in: CheckIn,
    slots: Mapping[str, _Slot],
    protocol: Protocol,
    facts: Facts,
    quiet: QuietHours,
    zone: ZoneInfo,
) -> _Slot:
    """Steps 1 and 2 for one check-in, but for lateness."""
    if check_in.after is not None:
        leader = slots[check_in.after]
        slot = _Slot(check_in, leader.due_at + protocol.gap)
        if leader.why:
            return replace(slot, why=f"it follows {check_in.after}, which is skipped")
    else:
        slot = _own_time(check_in, slots, protocol, facts, quiet, zone)
    return slot if slot.why else replace(slot, why=_not_for(check_in, slots, facts))


def _own_time(
    check_in: CheckIn,
    slots: Mapping[str, _Slot],
    protocol: Protocol,
    facts: Facts,
    quiet: QuietHours,
    zone: ZoneInfo,
) -> _Slot:
    start, timing = clock_starts_at(protocol, facts), check_in.timing
    if timing.at_enrollment:
        return _Slot(check_in, quiet.open_from(facts.enrolled_at, zone))
    if timing.before_visit is not None:
        if facts.follow_up_on is None:
            return _Slot(check_in, start.astimezone(UTC), "no follow-up date is known")
        day = facts.follow_up_on - timedelta(days=timing.before_visit)
        due_at = quiet.open_from(to_utc(day, timing.at or quiet.morning, zone), zone)
        return _Slot(check_in, due_at, _BEFORE_CLOCK if due_at < start else "")
    if timing.procedure_offset is not None:
        at = max(facts.procedure_at + timing.procedure_offset, start)
        return _Slot(check_in, quiet.next_morning(at, zone))
    if timing.first_evening:
        return _first_evening(check_in, start, slots, protocol.gap, quiet, zone)
    wanted = _wanted(timing, start, slots, facts, zone)
    due_at = quiet.open_from(wanted, zone)
    why = ""
    if due_at - wanted > check_in.useful_for:
        why = "its useful time falls into quiet hours"
    elif wanted < start:
        why = _BEFORE_CLOCK
    elif timing.only_before is not None and due_at >= facts.procedure_at + timing.only_before:
        why = "its time is over for the wound"
    return _Slot(check_in, due_at, why)


def _wanted(
    timing: Timing, start: datetime, slots: Mapping[str, _Slot], facts: Facts, zone: ZoneInfo
) -> datetime:
    """An offset or a day's local time, before quiet hours."""
    if timing.offset is not None:
        return start.astimezone(UTC) + timing.offset
    home, at = start.astimezone(zone).date(), timing.at or time(9)
    counted_from = home
    if timing.late_too:
        enrolled = facts.enrolled_at.astimezone(zone)
        counted_from = max(home, enrolled.date() - timedelta(days=enrolled.time() < at))
    wanted = to_utc(counted_from + timedelta(days=timing.day or 0), at, zone)
    overnight = home > facts.procedure_at.astimezone(zone).date()
    # What was too late for the first evening at home opens the next morning, hospital night or not.
    asked_first_evening = any(each.check_in.timing.first_evening and not each.why for each in slots.values())
    if timing.home_first is not None and overnight and asked_first_evening:
        wanted = max(wanted, start.astimezone(UTC) + timing.home_first)
    return wanted


def _first_evening(
    check_in: CheckIn,
    start: datetime,
    slots: Mapping[str, _Slot],
    gap: timedelta,
    quiet: QuietHours,
    zone: ZoneInfo,
) -> _Slot:
    """The day-0 question: the offset, at most half an hour before the window closes; later, one hour after
    the clock started (``with_welcome``: right after the welcome) when that is before 21:00; else not at
    all, since the next morning's question stands for it."""
    start, timing = start.astimezone(UTC), check_in.timing
    wanted = start + (timing.offset or timedelta(0))
    if quiet.start is None or quiet.end is None:
        return _Slot(check_in, wanted)
    day = start.astimezone(zone).date()
    over_midnight = quiet.start > quiet.end
    closes = to_utc(day, min(quiet.start, _EVENING_CEILING) if over_midnight else _EVENING_CEILING, zone)
    latest = closes - _EVENING_MARGIN
    if wanted <= latest:
        return _Slot(check_in, quiet.open_from(wanted, zone))
    due_at = max(latest, start + timedelta(hours=1))
    if timing.with_welcome and due_at > latest:
        welcome = max(
            (slot.due_at for slot in slots.values() if slot.check_in.timing.at_enrollment), default=start
        )
        due_at = welcome + gap if welcome >= start else due_at
    ceiling = min(to_utc(day, _EVENING_CEILING, zone), closes + timedelta(hours=1))
    if due_at >= ceiling:
        return _Slot(check_in, due_at, "too late in the evening; the next morning opens with this question")
    return _Slot(check_in, due_at)


def _not_for(check_in: CheckIn, slots: Mapping[str, _Slot], facts: Facts) -> str:
    """Why a check-in is not for this patient as far as is known at planning; the rest is decided when it is
    due."""
    condition = check_in.condition or ""
    if condition == "blood_thinner" and facts.on_blood_thinner is False:
        return "the patient takes no blood thinner"
    if condition == "no_visit" and facts.follow_up_on is not None:
        return "the follow-up date is known"
    if condition.startswith("no_answer:"):
        asked = slots[condition.removeprefix("no_answer:")].check_in
        return _not_for(asked, slots, facts)
    return ""


def _late(slot: _Slot, slots: Mapping[str, _Slot], facts: Facts, now: datetime) -> _Slot:
    """Skips what lies in the past (late enrollment, or new facts): recorded, never sent in a burst."""
    if slot.why or slot.check_in.timing.at_enrollment:
        return slot
    leader: _Slot | None = slot
    while leader is not None:
        if leader.due_at < facts.enrolled_at:
            return replace(slot, why="its time was before the enrollment")
        leader = slots[leader.check_in.after] if leader.check_in.after else None
    return replace(slot, why=_PASSED) if slot.due_at < now else slot


def _rank(slot: _Slot) -> tuple[int, datetime]:
    timing, asks = slot.check_in.timing, slot.check_in.asks
    if timing.at_enrollment:
        return 0, slot.due_at
    if timing.procedure_offset is not None:
        return 2, slot.due_at
    return {"symptoms": 1, "pain": 3}.get(asks or "", 4), slot.due_at


def _spaced(
    slot: _Slot, placed: Mapping[str, _Slot], gap: timedelta, quiet: QuietHours, zone: ZoneInfo
) -> _Slot:
    """Step 3 for one check-in: the earliest time that keeps the gap to everything placed so far."""
    check_in, due_at = slot.check_in, slot.due_at
    going = [other for other in placed.values() if not other.why]
    if check_in.after is not None:
        due_at = max(due_at, placed[check_in.after].due_at + gap)
        if placed[check_in.after].why not in ("", _PASSED):  # what has passed may well have been sent
            return replace(slot, why=f"it follows {check_in.after}, which is skipped")
    elif check_in.asks is not None and _rank(slot)[0] > 0:
        due_at = max([due_at, *_openers(slot, going, gap, zone)])
    due_at = _free(due_at, [other.due_at for other in going], gap)
    timing = check_in.timing
    if timing.apart is not None and timing.apart_from is not None:
        other = placed.get(timing.apart_from)
        if other is not None and not other.why and abs(due_at - other.due_at) < timing.apart:
            return replace(slot, why=f"too soon after {timing.apart_from}")
    moved = replace(slot, due_at=due_at)
    if due_at == slot.due_at:
        return moved
    if due_at - slot.due_at > check_in.useful_for or (
        quiet.quiet_at(due_at, zone) and not check_in.time_critical
    ):
        return replace(moved, why="no room for it that day")
    return moved


def _openers(slot: _Slot, going: Iterable[_Slot], gap: timedelta, zone: ZoneInfo) -> list[datetime]:
    """When that local day's red-flag question has been out for a gap."""
    day = slot.due_at.astimezone(zone).date()
    return [
        other.due_at + gap
        for other in going
        if other.check_in.asks == "symptoms" and other.due_at.astimezone(zone).date() == day
    ]


def _free(due_at: datetime, taken: Iterable[datetime], gap: timedelta) -> datetime:
    """The first moment from ``due_at`` on that is at least ``gap`` from all of ``taken``."""
    for other in sorted(taken):
        if abs(other - due_at) < gap:
            due_at = other + gap
    return due_at


def _planned(slot: _Slot, quiet: QuietHours, zone: ZoneInfo) -> PlannedCheckIn:
    local = slot.due_at.astimezone(zone)
    expires_at, closes = slot.due_at + slot.check_in.useful_for, quiet.closes(slot.due_at, zone)
    if slot.check_in.time_critical and quiet.start is not None:
        expires_at = min(expires_at, to_utc(local.date(), _EVENING_CEILING, zone))
    elif slot.check_in.useful_for < timedelta(days=1) and closes is not None:
        expires_at = min(expires_at, closes)  # of use that day only
    expires_at = max(expires_at, slot.due_at)  # a skipped one may lie in quiet hours
    status = "skipped" if slot.why else "planned"
    return PlannedCheckIn(slot.check_in, slot.due_at, expires_at, local, status, slot.why)
