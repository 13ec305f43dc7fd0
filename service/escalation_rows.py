"""Building blocks of escalations: the locked row, its timeline, its clocks and code. Nothing here commits."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from secrets import randbelow
from typing import Any

import holidays as public_holidays
from sqlalchemy import literal_column
from sqlmodel import Session, col, select

from messages.escalation import Clocks, ladder_for
from messages.site import Site
from messages.urgency import Urgency
from service.db import among
from service.models import Escalation, EscalationEvent, Member

# Written out, so that the partial indexes are used whatever was prepared before.
UNRESOLVED = literal_column("escalations.status <> 'resolved'")
_sites: dict[tuple[int, int], tuple[Site, Site]] = {}  # a site does not change while the process runs


class EscalationError(Exception):
    """An act on an escalation that cannot be done; the message is a sentence for the person who tried."""


class UnknownEscalation(EscalationError):
    """There is no such escalation."""


class WrongState(EscalationError):
    """The escalation's state does not allow this act."""


class HeldByOther(EscalationError):
    """Somebody else has acknowledged it: ``holder`` (e-mail or token name), ``at`` (aware UTC)."""

    def __init__(self, holder: str, at: datetime) -> None:
        super().__init__(f"{holder} has this since {at:%Y-%m-%d %H:%M} UTC; take it over if that is right.")
        self.holder = holder
        self.at = at


class ContactNeeded(EscalationError):
    """Nobody has recorded speaking with the patient, and the disposition does not stand without it."""


class InvalidAct(EscalationError):
    """A value given with the act is wrong; ``field`` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def locked(session: Session, escalation_id: str) -> Escalation:
    """The row, fresh and locked until the transaction ends. Raises UnknownEscalation."""
    row = _for_update(session, escalation_id, skip=False)
    if row is None:
        raise UnknownEscalation(f"There is no escalation {escalation_id}.")
    return row


def locked_if_free(session: Session, escalation_id: str) -> Escalation | None:
    """Like ``locked``; None when somebody else holds it right now."""
    return _for_update(session, escalation_id, skip=True)


def stands_still(row: Escalation, before: datetime) -> bool:
    """Whether an unresolved escalation has no next event, or one that should have come ``before``."""
    unending = row.status == "acknowledged" and row.acknowledgement_expires_at is None
    late = row.next_event_at is None or row.next_event_at < before
    return row.status != "resolved" and (late or unending)


def _for_update(session: Session, escalation_id: str, skip: bool) -> Escalation | None:
    return session.exec(
        select(Escalation)
        .where(Escalation.id == escalation_id)
        .with_for_update(skip_locked=skip)
        .execution_options(populate_existing=True)
    ).one_or_none()


def write_event(
    session: Session, row: Escalation, *, now: datetime, kind: str, actor: str, **detail: Any
) -> None:
    """Add a line to the timeline and count the change, so that live views notice."""
    event = new_event(row, now=now, kind=kind, actor=actor, **detail)
    session.add_all([row, event])


def new_event(row: Escalation, *, now: datetime, kind: str, actor: str, **detail: Any) -> EscalationEvent:
    """A line of the timeline that is not stored yet; the row's version counts it already."""
    row.version += 1
    told = {key: value for key, value in detail.items() if value is not None} | {"version": row.version}
    return EscalationEvent(escalation_id=row.id, at=now, kind=kind, actor=actor, detail=told)


def timeline(session: Session, escalation_id: str) -> list[EscalationEvent]:
    """Everything that happened to one escalation, oldest first."""
    rows = session.exec(select(EscalationEvent).where(EscalationEvent.escalation_id == escalation_id))
    return sorted(rows, key=lambda event: (event.at, (event.detail or {}).get("version", 0)))


def set_clocks(row: Escalation, times: Clocks) -> None:
    """Write the deadlines and start the ladder at ``page_at``."""
    row.acknowledge_by = times.acknowledge_by
    row.contact_by = times.contact_by
    row.ladder_started_at = times.page_at
    row.next_event_at = times.page_at


def restart_ladder(row: Escalation, site: Site, also: Sequence[str] = ()) -> None:
    """Freeze the ladder anew, as a new generation, so that every tier is told again."""
    generation = int(row.ladder[0].get("generation", 0)) + 1 if row.ladder else 1
    row.ladder = ladder_for(site, Urgency(row.urgency), also)
    row.ladder[0]["generation"] = generation


def free_codes(session: Session, count: int) -> list[str]:
    """As many different codes that no unresolved escalation has: four digits, more when thousands are open.

    A few are drawn and looked up: reading all that are taken would make each opening cost what is open.
    """
    found: list[str] = []
    for digits in (4, 4, 5, 5, 5, 5, 5, 5, *[6] * 9):
        drawn = {f"{randbelow(10**digits):0{digits}d}" for _ in range(2 * count + 8)} - set(found)
        taken = session.exec(
            select(Escalation.code).where(among(session, col(Escalation.code), drawn), UNRESOLVED)
        )
        found.extend(drawn - set(taken))
        if len(found) >= count:
            return found[:count]
    raise EscalationError("There is no free code: tens of thousands of escalations are open.")


def member_named(session: Session, email: str) -> Member:
    """The member with this e-mail, if they can sign in. Raises InvalidAct."""
    member = session.exec(select(Member).where(Member.email == email)).one_or_none()
    if member is None or member.disabled_at is not None:
        raise InvalidAct("member", f"{email} is not a member who can sign in.")
    return member


def with_public_holidays(site: Site, at: datetime) -> Site:
    """The site with its country's public holidays of this year and the next added to its own."""
    if not site.holiday_country:
        return site
    key = (id(site), at.year)
    known = _sites.get(key)
    if known is None or known[0] is not site:
        found = _holidays_of(site.holiday_country, at.year)
        known = _sites[key] = (site, replace(site, holidays=(*site.holidays, *found)))
    return known[1]


@cache
def _holidays_of(country: str, year: int) -> tuple[date, ...]:
    return tuple(sorted(public_holidays.country_holidays(country, years=[year, year + 1])))
