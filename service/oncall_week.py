"""One week of the on-call calendar, by tier and day of the clinic: who holds when, and where nobody would be.

A day is the clinic's local day: 23 or 25 hours long when the clocks change. Times are aware UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, or_, select

from messages.site import Site
from service import audit, oncall
from service.models import Member, OnCallShift

DAYS = 7
MOST_REPEATS = 27
Rows = Sequence[tuple[OnCallShift, Member]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a day with the same holders. ``why``: ``nobody``, ``no phone``, or empty when one can be
    paged. ``shifts`` with their members, those that stand."""

    starts_at: datetime
    ends_at: datetime
    shifts: tuple[tuple[OnCallShift, Member], ...]
    why: str

    @property
    def is_gap(self) -> bool:
        return bool(self.why)


@dataclass(frozen=True, slots=True)
class Cell:
    """One tier on one day."""

    day: date
    starts_at: datetime
    ends_at: datetime
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One tier over the week. A tier that nobody was ever put on is not used: the ladder passes it by."""

    tier: int
    is_used: bool
    cells: tuple[Cell, ...]


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When a local day begins and ends, in UTC."""
    starts = datetime.combine(day, time(), zone).astimezone(UTC)
    return starts, datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def week_of(session: Session, site: Site, monday: date, team_id: str | None = None) -> tuple[Line, ...]:
    """Every tier of the ladder over seven days from ``monday``: the site's shifts, and a team's own."""
    zone = ZoneInfo(site.timezone)
    start, end = day_bounds(monday, zone)[0], day_bounds(monday + timedelta(days=DAYS - 1), zone)[1]
    rows = [row for row in oncall.shifts(session, start, end) if row[0].team_id in (None, team_id)]
    whose = or_(col(OnCallShift.team_id).is_(None), OnCallShift.team_id == team_id)
    ever = {1, *session.exec(select(OnCallShift.tier).where(whose).distinct())}
    reachable = {member.id for member in oncall.pageable(session, [member for _, member in rows])}
    tiers = range(1, max([len(steps) for steps in site.ladder.values()] + [1]) + 1)
    days = [monday + timedelta(days=ahead) for ahead in range(DAYS)]
    return tuple(
        Line(tier, tier in ever, tuple(cell_of(rows, reachable, tier, day, zone) for day in days))
        for tier in tiers
    )


def cell_of(rows: Rows, reachable: set[str], tier: int, day: date, zone: ZoneInfo) -> Cell:
    """One day of one tier, cut where its holders change."""
    starts, ends = day_bounds(day, zone)
    mine = [
        (shift, member)
        for shift, member in rows
        if shift.tier == tier
        and shift.starts_at < ends
        and (shift.ends_at is None or shift.ends_at > starts)
        and member.disabled_at is None
    ]
    edges = {starts, ends}
    for shift, _ in mine:
        edges.update(at for at in (shift.starts_at, shift.ends_at) if at and starts < at < ends)
    pieces: list[Piece] = []
    times = sorted(edges)
    for begins, stops in zip(times, times[1:], strict=False):
        piece = _piece(mine, reachable, begins, stops)
        last = pieces[-1] if pieces else None
        if last and last.why == piece.why and last.shifts == piece.shifts:
            pieces[-1] = Piece(last.starts_at, stops, last.shifts, last.why)
        else:
            pieces.append(piece)
    return Cell(day, starts, ends, tuple(pieces))


def _piece(mine: Rows, reachable: set[str], begins: datetime, stops: datetime) -> Piece:
    holding = [
        (shift, member)
        for shift, member in mine
        if shift.starts_at <= begins and (shift.ends_at is None or shift.ends_at > begins)
    ]
    above = [row for row in holding if row[0].override or not _is_overridden(row[0], holding)]
    why = "" if any(member.id in reachable for _, member in above) else ("no phone" if above else "nobody")
    return Piece(begins, stops, tuple(sorted(above, key=_own_first)), why)


def _own_first(row: tuple[OnCallShift, Member]) -> tuple[bool, str, str]:
    """A team's own people before those of all teams, as they are paged; then by name."""
    shift, member = row
    return shift.team_id is None, member.name, shift.id


def _is_overridden(shift: OnCallShift, holding: Rows) -> bool:
    """An override stands above the ordinary shifts of its own team, or of the whole site."""
    return any(other.override and other.team_id == shift.team_id for other, _ in holding)


def repeated(
    starts_at: datetime, ends_at: datetime | None, days: int, zone: ZoneInfo
) -> Iterator[tuple[datetime, datetime | None]]:
    """A shift and the same local hours on the ``days`` days after it. Raises ShiftError without an end."""
    if days and ends_at is None:
        raise oncall.ShiftError("A shift that repeats needs an end.")
    if not 0 <= days <= MOST_REPEATS:
        raise oncall.ShiftError(f"A shift repeats on {MOST_REPEATS} days at most.")
    for ahead in range(days + 1):
        yield _moved(starts_at, ahead, zone), None if ends_at is None else _moved(ends_at, ahead, zone)


def _moved(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same clock time some local days later, as UTC."""
    local = at.astimezone(zone)
    later = datetime.combine(local.date() + timedelta(days=days), local.time(), zone)
    return later.replace(fold=local.fold).astimezone(UTC)


def change_shift(
    session: Session,
    *,
    now: datetime,
    actor: str,
    shift_id: str,
    member_id: str,
    tier: int,
    starts_at: datetime,
    ends_at: datetime | None,
    override: bool,
) -> OnCallShift:
    """Change a shift; whose team's it is stays. Commits; raises ShiftError.

    What has been is not rewritten: of a shift that runs, the part until ``now`` stays as it was held and the
    changed one begins now; one that is over cannot be changed.
    """
    shift = session.get(OnCallShift, shift_id, with_for_update=True)
    if shift is None:
        raise oncall.ShiftError("There is no such shift.")
    if shift.ends_at is not None and shift.ends_at <= now:
        raise oncall.ShiftError("The shift has ended already.")
    before = {
        "member": shift.member_id, "tier": shift.tier, "starts_at": shift.starts_at.isoformat(),
        "ends_at": shift.ends_at.isoformat() if shift.ends_at else None, "instead": shift.override,
    }  # fmt: skip
    has_begun, team_id = shift.starts_at < now, shift.team_id
    is_same = (shift.member_id, shift.tier, shift.override) == (member_id, tier, override)
    if has_begun and is_same and ends_at is not None and ends_at <= now:
        raise oncall.ShiftError("The shift ends before now: end it instead.")
    if has_begun:
        shift.ends_at = now
        session.add(shift)
    else:
        session.delete(shift)
    audit.record(
        session, now=now, actor=actor, action="change shift", subject_kind="shift", subject_id=shift_id,
        detail={"from": before},
    )  # fmt: skip
    return oncall.add_shift(
        session, now=now, actor=actor, member_id=member_id, tier=tier,
        starts_at=max(starts_at, now) if has_begun else starts_at, ends_at=ends_at, override=override,
        team_id=team_id,
    )  # fmt: skip
