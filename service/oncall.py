"""Who holds a tier when: shifts, overrides above them, gaps before they happen. Times are aware UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from messages.site import Site
from service import audit
from service.models import ANSWERING_ROLES, Member, OnCallShift
from service.reachability import unreachable
from service.sight import has_one_team, roster


class ShiftError(ValueError):
    """A shift that cannot be: the message says which value is wrong."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a tier has nobody who could be paged. ``why``: ``nobody`` or ``no phone``."""

    tier: int
    starts_at: datetime
    ends_at: datetime
    why: str


def on_call(session: Session, tier: int, at: datetime, team_id: str | None = None) -> list[Member]:
    """Who holds ``tier`` at that moment: the overrides if there are any, else the ordinary shifts; by name.

    ``team_id``: by that team's own shifts; None: by those of the whole site. Members who can no longer sign
    in hold nothing.
    """
    return _holding(session, tier, at, (team_id,))[team_id]


def to_page(session: Session, tier: int, at: datetime, team_id: str) -> list[Member]:
    """Whom a page of ``tier`` about a team's patient reaches: the team's own people on call; where none of
    them can be paged, those of the whole site. So a team without shifts of its own loses no page."""
    holding = _holding(session, tier, at, (team_id, None))
    reachable = pageable(session, [*holding[team_id], *holding[None]])
    own = [member for member in reachable if member in holding[team_id]]
    return own or reachable


def _holding(
    session: Session, tier: int, at: datetime, team_ids: Sequence[str | None]
) -> dict[str | None, list[Member]]:
    rows = session.exec(
        select(OnCallShift, Member)
        .join(Member, col(Member.id) == OnCallShift.member_id)
        .where(
            or_(*(OnCallShift.team_id == team_id for team_id in team_ids)),
            OnCallShift.tier == tier,
            OnCallShift.starts_at <= at,
            or_(col(OnCallShift.ends_at).is_(None), col(OnCallShift.ends_at) > at),
            col(Member.disabled_at).is_(None),
        )
    ).all()
    found: dict[str | None, list[Member]] = {}
    for team_id in team_ids:
        mine = [(shift, member) for shift, member in rows if shift.team_id == team_id]
        standing = _above(shift for shift, _ in mine)
        members = {member.id: member for shift, member in mine if shift.id in standing}
        found[team_id] = sorted(members.values(), key=lambda member: (member.name, member.id))
    return found


def _above(shifts: Iterable[OnCallShift]) -> set[str]:
    found = list(shifts)
    overrides = {shift.id for shift in found if shift.override}
    return overrides or {shift.id for shift in found}


def team(session: Session, team_id: str | None = None) -> list[Member]:
    """Everyone who may answer an escalation: nurses, clinicians and admins who can sign in, by name.

    ``team_id``: only those who look after that team's patients.
    """
    rows = session.exec(
        select(Member).where(col(Member.disabled_at).is_(None), col(Member.role).in_(ANSWERING_ROLES))
    )
    found = sorted(rows, key=lambda member: (member.name, member.id))
    if team_id is None or has_one_team(session):
        return found
    theirs = roster(session).looks_after(team_id)
    return [member for member in found if member.id in theirs]


def pageable(session: Session, members: Sequence[Member]) -> list[Member]:
    """Those of ``members`` whom a text can reach: with a phone the carrier does not refuse."""
    refused = unreachable(session, [member.phone for member in members if member.phone])
    return [
        member
        for member in members
        if member.phone and member.pages_blocked_at is None and member.phone not in refused
    ]


def add_shift(
    session: Session,
    *,
    now: datetime,
    actor: str,
    member_id: str,
    tier: int,
    starts_at: datetime,
    ends_at: datetime | None = None,
    override: bool = False,
    team_id: str | None = None,
) -> OnCallShift:
    """Let a member hold a tier (1 is told first). Without an end it holds until changed. Commits.

    ``team_id``: for that team only, None for the whole site. An override stands above ordinary shifts of its
    tier while it lasts, so it needs an end. Raises ShiftError.
    """
    member = session.get(Member, member_id)
    if member is None or member.disabled_at is not None:
        raise ShiftError("There is no such member, or they can no longer sign in.")
    if not member.phone:
        raise ShiftError(f"{member.name} has no phone number: pages are texts, add a number first.")
    if tier < 1:
        raise ShiftError("A tier is 1 (told first), 2, 3 ...")
    if ends_at is not None and ends_at <= starts_at:
        raise ShiftError("The shift ends before it starts.")
    if override and ends_at is None:
        raise ShiftError("An override needs an end, or it would hide the ordinary shifts for ever.")
    if team_id is not None and not roster(session).sight_of(member_id).sees_team(team_id):
        raise ShiftError(f"{member.name} does not work in that team: add them to it first.")
    shift = OnCallShift(
        member_id=member_id,
        team_id=team_id,
        tier=tier,
        starts_at=starts_at,
        ends_at=ends_at,
        override=override,
        created_by=actor,
        created_at=now,
    )
    session.add(shift)
    _recorded(session, now, actor, "add shift", shift.id, tier=tier, member=member.email)
    return shift


def end_shift(session: Session, *, now: datetime, actor: str, shift_id: str, at: datetime) -> OnCallShift:
    """End a shift ``at`` (one that has not begun by then vanishes). Commits. Raises ShiftError."""
    shift = session.get(OnCallShift, shift_id, with_for_update=True)
    if shift is None:
        raise ShiftError("There is no such shift.")
    if shift.ends_at is not None and shift.ends_at <= at:
        raise ShiftError("The shift has ended already.")
    if at <= shift.starts_at:
        session.delete(shift)
    else:
        shift.ends_at = at
        session.add(shift)
    _recorded(session, now, actor, "end shift", shift_id)
    return shift


def hand_over_tier(
    session: Session,
    *,
    now: datetime,
    actor: str,
    tier: int,
    to_member_id: str,
    until: datetime,
    team_id: str | None = None,
) -> OnCallShift:
    """Give a tier (of a team, or of the whole site) to another member from now ``until``: an override;
    earlier overrides of the tier end now.

    Commits. Raises ShiftError.
    """
    overrides = session.exec(
        select(OnCallShift).where(
            OnCallShift.tier == tier,
            OnCallShift.team_id == team_id,
            col(OnCallShift.override).is_(True),
            OnCallShift.starts_at <= now,
            col(OnCallShift.ends_at) > now,
        )
    ).all()
    for shift in overrides:
        shift.ends_at = now
        session.add(shift)
    return add_shift(
        session,
        now=now,
        actor=actor,
        member_id=to_member_id,
        tier=tier,
        starts_at=now,
        ends_at=until,
        override=True,
        team_id=team_id,
    )


def shifts(session: Session, start: datetime, end: datetime) -> list[tuple[OnCallShift, Member]]:
    """Every shift that touches the time from ``start`` to ``end``, in order."""
    rows = session.exec(
        select(OnCallShift, Member)
        .join(Member, col(Member.id) == OnCallShift.member_id)
        .where(
            OnCallShift.starts_at < end,
            or_(col(OnCallShift.ends_at).is_(None), col(OnCallShift.ends_at) > start),
        )
    ).all()
    return sorted(rows, key=lambda row: (row[0].tier, row[0].starts_at, row[0].id))


def gaps(
    session: Session, site: Site, start: datetime, end: datetime, team_id: str | None = None
) -> list[Gap]:
    """When, between ``start`` and ``end``, a tier would have nobody to page: of the whole site, or for a
    team, where the site's own shifts stand in.

    Tier 1 is always looked at; a further tier only once somebody was ever put on it (a clinic with one nurse
    has no second tier, and the ladder passes it by).
    """
    whose = (team_id, None)
    rows = [row for row in shifts(session, start, end) if row[0].team_id in whose]
    ever = set(
        session.exec(
            select(OnCallShift.tier).where(or_(*(OnCallShift.team_id == one for one in whose))).distinct()
        )
    )
    tiers = sorted({1} | {tier for tier in ever if tier <= max(len(steps) for steps in site.ladder.values())})
    reachable = {member.id for member in pageable(session, [member for _, member in rows])}
    found: list[Gap] = []
    for tier in tiers:
        mine = [(shift, member) for shift, member in rows if shift.tier == tier]
        edges = {start, end}
        for shift, _ in mine:
            edges.update(at for at in (shift.starts_at, shift.ends_at) if at and start < at < end)
        times = sorted(edges)
        for begins, ends in zip(times, times[1:], strict=False):
            holding = [
                (shift, member)
                for shift, member in mine
                if shift.starts_at <= begins
                and (shift.ends_at is None or shift.ends_at > begins)
                and member.disabled_at is None
            ]
            own = _above(shift for shift, _ in holding if shift.team_id == team_id)
            site_wide = _above(shift for shift, _ in holding if shift.team_id is None)
            members = [member for shift, member in holding if shift.id in own | site_wide]
            if not any(member.id in reachable for member in members):
                _extend(found, Gap(tier, begins, ends, "no phone" if members else "nobody"))
    return found


def _extend(found: list[Gap], gap: Gap) -> None:
    last = found[-1] if found else None
    if last and (last.tier, last.why, last.ends_at) == (gap.tier, gap.why, gap.starts_at):
        found[-1] = Gap(gap.tier, last.starts_at, gap.ends_at, gap.why)
    elif gap.ends_at - gap.starts_at > timedelta(0):
        found.append(gap)


def _recorded(
    session: Session, now: datetime, actor: str, action: str, shift_id: str, **detail: object
) -> None:
    audit.record(
        session,
        now=now,
        actor=actor,
        action=action,
        subject_kind="shift",
        subject_id=shift_id,
        detail=dict(detail) or None,
    )
    session.commit()
