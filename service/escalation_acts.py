"""What members do with an escalation: acknowledge, hand over, record a contact, resolve, reopen, call it
wrong.

Each act locks the row, checks its state, writes the timeline and the audit trail, and commits; two members
who act at once are served one after the other, and the second sees what the first did.
"""

from datetime import datetime
from typing import Any

from sqlmodel import Session

from messages.escalation import STILL_OPEN_EVERY, acknowledgement_expires
from messages.site import Site
from messages.urgency import Urgency
from service import audit
from service.escalation_rows import (
    HeldByOther,
    InvalidAct,
    WrongState,
    locked,
    member_named,
    restart_ladder,
    write_event,
)
from service.models import ANSWERING_ROLES, Escalation
from service.sight import looks_after

METHODS = ("phone", "text", "in_person", "could_not_reach")


def acknowledge(session: Session, *, now: datetime, site: Site, escalation_id: str, actor: str) -> Escalation:
    """``actor`` takes the escalation: the ladder stops until the acknowledgement expires. Commits.

    Again by the same actor: nothing changes. Raises UnknownEscalation, HeldByOther, WrongState (resolved).
    """
    row = locked(session, escalation_id)
    acknowledge_row(session, row, now=now, site=site, actor=actor)
    session.commit()
    return row


def acknowledge_row(session: Session, row: Escalation, *, now: datetime, site: Site, actor: str) -> None:
    """The same on a locked row, inside a larger transaction: does not commit."""
    expire_acknowledgement(session, row, now=now, site=site)
    if row.status == "resolved":
        raise WrongState("It is resolved already; reopen it if more is to be done.")
    if row.status == "open":
        _hold(row, site, actor, now)
        _write(session, row, now, "acknowledged", actor)
    elif row.acknowledged_by != actor:
        raise HeldByOther(row.acknowledged_by or "somebody", row.acknowledged_at or row.opened_at)


def _hold(row: Escalation, site: Site, holder: str, now: datetime) -> None:
    row.acknowledged_by, row.acknowledged_at = holder, now
    if row.status == "contacted":
        return
    row.status = "acknowledged"
    row.acknowledgement_expires_at = acknowledgement_expires(site, Urgency(row.urgency), now)
    row.next_event_at = row.acknowledgement_expires_at


def _write(session: Session, row: Escalation, now: datetime, kind: str, actor: str, **detail: Any) -> None:
    write_event(session, row, now=now, kind=kind, actor=actor, **detail)
    audit.record(
        session,
        now=now,
        actor=actor,
        action=f"escalation {kind}",
        subject_kind="escalation",
        subject_id=row.id,
    )


def done(
    session: Session, row: Escalation, now: datetime, kind: str, actor: str, **detail: Any
) -> Escalation:
    _write(session, row, now, kind, actor, **detail)
    session.commit()
    return row


def expire_acknowledgement(session: Session, row: Escalation, *, now: datetime, site: Site) -> bool:
    """Open an escalation again whose holder recorded no contact in time, and tell the holder and whoever is
    on call. True when it expired. Does not commit; the row must be locked."""
    expires = row.acknowledgement_expires_at
    if row.status != "acknowledged" or expires is None or now < expires:
        return False
    holder = row.acknowledged_by
    row.status = "open"
    row.acknowledged_by = row.acknowledged_at = row.acknowledgement_expires_at = None
    restart_ladder(row, site, [holder] if holder else [])
    row.ladder_started_at = row.next_event_at = now
    write_event(session, row, now=now, kind="acknowledgement_expired", actor="aftercare", holder=holder)
    return True


def hand_over(
    session: Session, *, now: datetime, site: Site, escalation_id: str, actor: str, to: str
) -> Escalation:
    """Give a held escalation to another member (e-mail ``to``), who is told by a page; the acknowledgement
    starts anew. Commits.

    Raises WrongState when nobody holds it, HeldByOther when it is not the actor's, InvalidAct for ``to``.
    """
    row = locked(session, escalation_id)
    expire_acknowledgement(session, row, now=now, site=site)
    if row.status not in ("acknowledged", "contacted"):
        raise WrongState("Nobody holds it now; acknowledge it first, then hand it over.")
    if row.acknowledged_by != actor:
        raise HeldByOther(row.acknowledged_by or "somebody", row.acknowledged_at or row.opened_at)
    colleague = member_named(session, to)
    if colleague.role not in ANSWERING_ROLES:
        raise InvalidAct("member", f"{to} may look but not answer escalations.")
    if not looks_after(session, colleague, row.team_id):
        raise InvalidAct("member", f"{to} works in another team.")
    _hold(row, site, to, now)
    row.next_event_at = now  # the ladder's next look tells the new holder
    return done(session, row, now, "handed_over", actor, to=to)


def take_over(session: Session, *, now: datetime, site: Site, escalation_id: str, actor: str) -> Escalation:
    """Take an escalation from whoever holds it; taking an open one acknowledges it. Commits. Raises
    WrongState."""
    row = locked(session, escalation_id)
    expire_acknowledgement(session, row, now=now, site=site)
    if row.status == "resolved":
        raise WrongState("It is resolved already; reopen it if more is to be done.")
    before = row.acknowledged_by
    _hold(row, site, actor, now)
    return done(session, row, now, "taken_over" if before else "acknowledged", actor, held_by=before)


def contact(
    session: Session,
    *,
    now: datetime,
    site: Site,
    escalation_id: str,
    actor: str,
    method: str,
    note: str | None = None,
) -> Escalation:
    """Record that a person spoke with the patient, or tried to (``could_not_reach`` only counts a try).
    Commits.

    Raises InvalidAct for an unknown method, WrongState when resolved.
    """
    if method not in METHODS:
        raise InvalidAct("method", f"method must be one of {', '.join(METHODS)}.")
    row = locked(session, escalation_id)
    expire_acknowledgement(session, row, now=now, site=site)
    if row.status == "resolved":
        raise WrongState("It is resolved already; reopen it to record another contact.")
    if method == "could_not_reach":
        row.contact_tries += 1
        return done(session, row, now, "contact_tried", actor, note=note, tries=row.contact_tries)
    if row.status == "open":
        _hold(row, site, actor, now)
    row.status = "contacted"
    row.contacted_by, row.contacted_at, row.contact_method = actor, now, method
    row.acknowledgement_expires_at = None
    row.next_event_at = now + STILL_OPEN_EVERY
    return done(session, row, now, "contacted", actor, method=method, note=note)


def note(session: Session, *, now: datetime, escalation_id: str, actor: str, text: str) -> Escalation:
    """Add a remark to the timeline. Commits. Raises InvalidAct when empty."""
    if not text.strip():
        raise InvalidAct("note", "The note is empty.")
    row = locked(session, escalation_id)
    return done(session, row, now, "note", actor, text=text.strip())
