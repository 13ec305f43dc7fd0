"""Telling people about an escalation: walks the frozen ladder, one text per person and round.

A page carries a code, the urgency and a link, nothing about the patient. Pages stop with the acknowledgement
and with nothing else; one that cannot be delivered moves the ladder on at once.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from messages.escalation import STILL_OPEN_EVERY, TEAM, Round, standing, steps_of
from messages.urgency import Urgency
from messages.wording import standard_text
from service import oncall, outbox
from service.escalation_acts import expire_acknowledgement
from service.escalation_rows import timeline, write_event
from service.models import Escalation, Member, OutboundMessage, PhoneState
from service.runtime import Runtime

log = logging.getLogger(__name__)

LOST = ("failed", "undelivered", "expired", "cancelled")
PAGE_USEFUL = timedelta(minutes=30)


def advance(session: Session, runtime: Runtime, row: Escalation, now: datetime) -> int:
    """Bring one locked escalation up to ``now``; returns how many pages were queued. Does not commit.

    1. An acknowledgement past its time opens it again.
    2. While open: every tier whose time has begun has been told its newest round; a tier that reaches nobody
       is lost, and the next one begins at once.
    3. While acknowledged or contacted: only set when to look again; a contacted one is brought to the
       holder's mind once a day until it is resolved.
    """
    if row.status == "resolved":
        row.next_event_at = None
        return 0
    expire_acknowledgement(session, row, now=now, site=runtime.site)
    if row.status == "acknowledged":
        row.next_event_at = row.acknowledgement_expires_at
        session.add(row)
        return _tell_new_holder(session, runtime, row, now)
    if row.status == "contacted":
        return _remind_holder(session, runtime, row, now)
    return _climb(session, runtime, row, now)


def _tell_new_holder(session: Session, runtime: Runtime, row: Escalation, now: datetime) -> int:
    """Whoever an escalation was handed to learns of it, once."""
    handed = [event for event in timeline(session, row.id) if event.kind == "handed_over"]
    if not handed or (handed[-1].detail or {}).get("to") != row.acknowledged_by:
        return 0
    member = session.exec(select(Member).where(Member.email == row.acknowledged_by)).one_or_none()
    people = oncall.pageable(session, [member] if member else [])
    for person in people:
        stem = f"page:{row.id}:handed:{handed[-1].id}"
        _queue(session, runtime, row, person, "page_acknowledged", stem, now)
    return len(people)


def _climb(session: Session, runtime: Runtime, row: Escalation, now: datetime) -> int:
    pages = _pages_of(session, row)
    _note_lost_tiers(session, row, pages, now)
    queued = 0
    while True:
        lost = {
            step["tier"]: datetime.fromtimestamp(step["lost_at"], UTC)
            for step in row.ladder
            if step.get("lost_at") is not None
        }
        due = standing(steps_of(row.ladder), row.ladder_started_at, now, lost)
        fresh_loss = False
        for position, telling in enumerate(due.told):
            newest = position == len(due.told) - 1
            if telling.tier in lost or _was_told(pages, row, telling, newest):
                continue
            people = _people(session, row, telling, now)
            if not people and telling.tier != TEAM:
                _lose(row, telling.tier, telling.at)
                write_event(session, row, now=now, kind="tier_empty", actor="aftercare", tier=telling.tier)
                fresh_loss = True
                break
            sent = [_page(session, runtime, row, telling, member, now) for member in people]
            pages.extend(sent)
            queued += len(sent)
            if sent:
                outbox.wake_workers(session, row.id)
            _tell_of_round(session, row, telling, people, now)
        if not fresh_loss:
            row.next_event_at = due.next_at
            session.add(row)
            return queued


def _tell_of_round(
    session: Session, row: Escalation, telling: Round, people: Sequence[Member], now: datetime
) -> None:
    if people:
        names = [member.email for member in people]
        write_event(
            session,
            row,
            now=now,
            kind="paged",
            actor="aftercare",
            tier=telling.tier,
            round=telling.number,
            members=names,
        )
    else:
        log.error("nobody can be paged: escalation %s is open and no member has a reachable phone", row.id)
        write_event(session, row, now=now, kind="nobody_to_page", actor="aftercare", round=telling.number)


def _generation(row: Escalation) -> int:
    return int(row.ladder[0].get("generation", 1)) if row.ladder else 1


def _prefix(row: Escalation, tier: int | None = None) -> str:
    stem = f"page:{row.id}:{_generation(row)}:"
    return stem if tier is None else f"{stem}{tier}:"


def _pages_of(session: Session, row: Escalation) -> list[OutboundMessage]:
    """The pages of the ladder's present generation."""
    rows = session.exec(
        select(OutboundMessage).where(
            OutboundMessage.escalation_id == row.id,
            OutboundMessage.kind == "page",
            col(OutboundMessage.key).startswith(_prefix(row), autoescape=True),
        )
    )
    return list(rows)


def _was_told(pages: Sequence[OutboundMessage], row: Escalation, telling: Round, newest: bool) -> bool:
    """An earlier tier needs one telling only; the newest needs this very round."""
    start = _prefix(row, telling.tier) + (f"{telling.number}:" if newest else "")
    return any(page.key.startswith(start) for page in pages)


def _note_lost_tiers(
    session: Session, row: Escalation, pages: Sequence[OutboundMessage], now: datetime
) -> None:
    """A tier all of whose pages came back, or whose people can no longer be texted, is lost from now on."""
    for step in row.ladder:
        told = [page for page in pages if page.key.startswith(_prefix(row, step["tier"]))]
        if step.get("lost_at") is not None or not told:
            continue
        members = session.exec(
            select(Member).where(col(Member.id).in_({page.member_id for page in told}))
        ).all()
        reachable = {member.id for member in oncall.pageable(session, members)}
        if all(page.status in LOST or page.member_id not in reachable for page in told):
            _lose(row, step["tier"], now)
            write_event(session, row, now=now, kind="tier_lost", actor="aftercare", tier=step["tier"])


def _lose(row: Escalation, tier: int, at: datetime) -> None:
    # JSON columns notice a new list, not a change inside the old one.
    row.ladder = [
        {**step, "lost_at": int(at.timestamp())} if step["tier"] == tier else step for step in row.ladder
    ]


def _people(session: Session, row: Escalation, telling: Round, now: datetime) -> list[Member]:
    """Whom this round tells: whoever is on call for the tier now, with those the step names besides."""
    if telling.tier == TEAM:
        everyone = {member.id: member for member in oncall.team(session, row.team_id)}
        for step in row.ladder:
            holding = oncall.to_page(session, step["tier"], now, row.team_id)
            everyone.update((member.id, member) for member in holding)
        # A team nobody of whom can be paged: then everybody else is told rather than nobody.
        return oncall.pageable(session, list(everyone.values())) or oncall.pageable(
            session, oncall.team(session)
        )
    step = next(step for step in row.ladder if step["tier"] == telling.tier)
    found = {member.id: member for member in oncall.to_page(session, telling.tier, now, row.team_id)}
    also = step.get("also")
    if also:
        named = session.exec(
            select(Member).where(col(Member.email).in_(also), col(Member.disabled_at).is_(None))
        )
        found.update((member.id, member) for member in named)
    return oncall.pageable(session, list(found.values()))


def _page(
    session: Session, runtime: Runtime, row: Escalation, telling: Round, member: Member, now: datetime
) -> OutboundMessage:
    text = "page_everyone" if telling.tier == TEAM else "page_again" if telling.number else "page"
    stem = f"{_prefix(row, telling.tier)}{telling.number}"
    # The row is locked and its pages were just read: nobody can have laid this one.
    return outbox.lay(session, **_text(runtime, row, member, text, stem, now))


def _queue(
    session: Session, runtime: Runtime, row: Escalation, member: Member, text: str, stem: str, now: datetime
) -> OutboundMessage:
    return outbox.queue(session, **_text(runtime, row, member, text, stem, now))


def _text(
    runtime: Runtime, row: Escalation, member: Member, text: str, stem: str, now: datetime
) -> dict[str, Any]:
    return dict(
        now=now,
        key=f"{stem}:{member.id}",
        kind="page",
        to_phone=str(member.phone),
        body=standard_text(
            text,
            member.language,
            code=row.code,
            urgency=standard_text(f"urgency_{Urgency(row.urgency)}", member.language),
            link=link_to(runtime, row),
        ),
        language=member.language,
        priority=0,
        expires_at=now + PAGE_USEFUL,
        escalation_id=row.id,
        member_id=member.id,
    )


def link_to(runtime: Runtime, row: Escalation) -> str:
    """The address of the escalation's page; it tells nothing and needs a sign-in."""
    return f"{runtime.settings.public_url}/escalations/{row.id}"


def _remind_holder(session: Session, runtime: Runtime, row: Escalation, now: datetime) -> int:
    since = row.contacted_at or row.opened_at
    days = int((now - since) / STILL_OPEN_EVERY)
    row.next_event_at = since + (days + 1) * STILL_OPEN_EVERY
    session.add(row)
    if days < 1:
        return 0
    holder = session.exec(select(Member).where(Member.email == (row.contacted_by or ""))).one_or_none()
    people = oncall.pageable(session, [holder] if holder else [])
    people = people or oncall.to_page(session, 1, now, row.team_id)
    for member in people:
        stem = f"page:{row.id}:unresolved:{int(since.timestamp())}:{days}"
        _queue(session, runtime, row, member, "page_again", stem, now)
    if people:
        write_event(session, row, now=now, kind="reminded", actor="aftercare", days=days)
    return len(people)


def page_failed(session: Session, message: OutboundMessage, now: datetime, code: str | None = None) -> None:
    """A page did not get through: note it and let the ladder move on at the next tick. Does not commit.

    ``code`` 21610 (the number sent STOP): the member is marked so that nobody counts on that phone.
    """
    member = session.get(Member, message.member_id) if message.member_id else None
    if member is not None and code == "21610":
        block_member(session, member, now)
    row = session.get(Escalation, message.escalation_id) if message.escalation_id else None
    if row is None or row.status == "resolved":
        return
    row.next_event_at = now if row.status == "open" else row.next_event_at
    write_event(
        session,
        row,
        now=now,
        kind="page_failed",
        actor="aftercare",
        member=member.email if member else None,
        code=code,
    )


def block_member(session: Session, member: Member, now: datetime) -> None:
    """The carrier refuses our texts to this member (they sent STOP): every open ladder looks again now."""
    if member.pages_blocked_at is None:
        member.pages_blocked_at = now
        session.add(member)
        log.error("pages to member %s are blocked by the carrier: ask them to text START", member.id)
    paged = select(OutboundMessage.escalation_id).where(OutboundMessage.member_id == member.id)
    waiting = session.exec(
        select(Escalation).where(col(Escalation.id).in_(paged), Escalation.status == "open")
    ).all()
    for row in waiting:
        row.next_event_at = now
        session.add(row)


def unblock_member(session: Session, member: Member, keep_opt_out: bool = False) -> None:
    """The member texted START: pages can reach them again. Does not commit.

    ``keep_opt_out``: the phone is a patient's too, and what START means there is decided elsewhere.
    """
    member.pages_blocked_at = None
    session.add(member)
    state = session.get(PhoneState, member.phone)
    if state is not None and not keep_opt_out:
        state.opted_out_at = None
        session.add(state)
