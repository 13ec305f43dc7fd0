"""Who holds a tier when: shifts, overrides above them, gaps before they happen. Times are aware UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from messages.site import Site
from service import audit
from service.escalation_acts import ANSWERING_ROLES
from service.models import Member, OnCallShift, PhoneState


class ShiftError(ValueError):
    """A shift that cannot be: the message says which value is wrong."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a tier has nobody who could be paged. ``why``: ``nobody`` or ``no phone``."""

    tier: int
    starts_at: datetime
    ends_at: datetime
    why: str


def on_call(session: Session, tier: int, at: datetime) -> list[Member]:
    """Who holds ``tier`` at that moment: the overrides if there are any, else the ordinary shifts; by name.

    Members who can no longer sign in hold nothing.
    """
    rows = session.exec(
        select(OnCallShift, Member)
        .join(Member, col(Member.id) == OnCallShift.member_id)
        .where(
            OnCallShift.tier == tier,
            OnCallShift.starts_at <= at,
            or_(col(OnCallShift.ends_at).is_(None), col(OnCallShift.ends_at) > at),
            col(Member.disabled_at).is_(None),
        )
    ).all()
    standing = _above(shift for shift, _ in rows)
    members = {member.id: member for shift, member in rows if shift.id in standing}
    return sorted(members.values(), key=lambda member: (member.name, member.id))


def _above(shifts: Iterable[OnCallShift]) -> set[str]:
    found = list(shifts)
    overrides = {shift.id for shift in found if shift.override}
    return overrides or {shift.id for shift in found}


def team(session: Session) -> list[Member]:
    """Everyone who may answer an escalation: nurses, clinicians and admins who can sign in, by name."""
    rows = session.exec(
        select(Member).where(col(Member.disabled_at).is_(None), col(Member.role).in_(ANSWERING_ROLES))
    )
    return sorted(rows, key=lambda member: (member.name, member.id))


def pageable(session: Session, members: Sequence[Member]) -> list[Member]:
    """Those of ``members`` whom a text can reach: with a phone the carrier does not refuse."""
    phones = [member.phone for member in members if member.phone]
    refused = {
        row.phone
        for row in session.exec(select(PhoneState).where(col(PhoneState.phone).in_(phones)))
        if row.opted_out_at or row.unreachable_at
    }
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
) -> OnCallShift:
    """Let a member hold a tier (1 is told first). Without an end it holds until changed. Commits.

    An override stands above ordinary shifts of its tier while it lasts, so it needs an end. Raises
    ShiftError.
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
    shift = OnCallShift(
        member_id=member_id,
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
    session: Session, *, now: datetime, actor: str, tier: int, to_member_id: str, until: datetime
) -> OnCallShift:
    """Give a tier to another member from now ``until``: an override; earlier overrides of the tier end now.

    Commits. Raises ShiftError.
    """
    overrides = session.exec(
        select(OnCallShift).where(
            OnCallShift.tier == tier,
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


def gaps(session: Session, site: Site, start: datetime, end: datetime) -> list[Gap]:
    """When, between ``start`` and ``end``, a tier would have nobody to page.

    Tier 1 is always looked at; a further tier only once somebody was ever put on it (a clinic with one nurse
    has no second tier, and the ladder passes it by).
    """
    rows = shifts(session, start, end)
    ever = set(session.exec(select(OnCallShift.tier).distinct()))
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
            standing = _above(shift for shift, _ in holding)
            members = [member for shift, member in holding if shift.id in standing]
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
