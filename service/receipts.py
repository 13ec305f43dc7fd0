"""Receipts: the carrier's word on one text. They come late, early, twice, shuffled, and for texts not ours.

States only move forward. A receipt that names our message id also settles a text of unknown fate.
"""

import logging
from datetime import datetime

from sqlmodel import Session, select

from service import fates, marks, results, second_tries
from service.models import OutboundMessage, PhoneState
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

STATES = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "partially_delivered": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
RANKS = {
    "planned": 0,
    "claimed": 0,
    "unknown": 0,
    "expired": 0,
    "cancelled": 0,
    "accepted": 1,
    "sent": 2,
    "undelivered": 3,
    "failed": 3,
    "delivered": 4,
}


def record(
    session: Session,
    runtime: Runtime,
    *,
    message_id: str | None,
    carrier_sid: str,
    status: str,
    error_code: str | None,
    now: datetime,
) -> str:
    """Move one text forward. Returns ``moved``, ``known`` (nothing new), ``not_ours`` or ``odd``. No commit.

    ``message_id`` is ours, from the address the carrier called; without it the carrier's id is looked up.
    A text that was still planned, claimed or unknown is accepted by this, and its question opens.
    """
    state = STATES.get(status.lower())
    if state is None:
        log.error("the carrier reported a state that is not known: %s", status[:40])
        marks.set_mark(session, "receipts:odd", now, add=1)
        return "odd"
    row = _locked(session, message_id, carrier_sid)
    if row is None:
        marks.set_mark(session, "receipts:not_ours", now, add=1)
        return "not_ours"
    if row.carrier_sid is None and row.accepted_at is None:
        _accept(session, runtime, row, carrier_sid, now)
        moved = True
    elif row.carrier_sid not in (None, carrier_sid) and state != "delivered":
        return _second_copy(session, row, now)
    else:
        moved = False
    if RANKS[state] <= RANKS[row.status]:
        return "moved" if moved else "known"
    _advance(session, runtime, row, state, error_code, now)
    session.flush()
    return "moved"


def _locked(session: Session, message_id: str | None, carrier_sid: str) -> OutboundMessage | None:
    """The row of our own id, else of the carrier's; fresh from the database, and locked."""
    for condition in (
        OutboundMessage.id == message_id if message_id else None,
        OutboundMessage.carrier_sid == carrier_sid,
    ):
        if condition is None:
            continue
        row = session.exec(
            select(OutboundMessage)
            .where(condition)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).first()
        if row is not None:
            return row
    return None


def _accept(
    session: Session, runtime: Runtime, row: OutboundMessage, carrier_sid: str, now: datetime
) -> None:
    row.status, row.carrier_sid, row.accepted_at = "accepted", carrier_sid, now
    row.lease_until = row.claimed_by = row.error_code = row.why = row.settled_at = None
    session.add(row)
    session.flush()
    if row.plan_item_id and row.kind == "check_in":
        results.open_questions(session, runtime, [row.plan_item_id], now)


def _advance(
    session: Session,
    runtime: Runtime,
    row: OutboundMessage,
    state: str,
    error_code: str | None,
    now: datetime,
) -> None:
    if state in ("undelivered", "failed"):
        fates.fail(session, runtime, row, error_code, now, status=state)
        return
    if state == "delivered" and row.status in ("undelivered", "failed"):
        waited = second_tries.call_off(session, row, now, "the first one arrived after all")
        if waited and row.plan_item_id and row.kind == "check_in":
            results.open_questions(session, runtime, [row.plan_item_id], now)
    row.status = state
    if state == "delivered":
        row.settled_at, row.error_code, row.why = now, None, None
        phone = session.get(PhoneState, row.to_phone_hash or row.to_phone)  # known also without its key
        if phone is not None:
            fates.heard_from(session, phone)
    session.add(row)


def _second_copy(session: Session, row: OutboundMessage, now: datetime) -> str:
    """A receipt with our message id for another of the carrier's ids: the text went out twice."""
    if row.kind != "page":  # pages may: at least once
        log.error("text %s has a second copy at the carrier", row.id)
    marks.set_mark(session, f"texts:second_copy:{'page' if row.kind == 'page' else 'other'}", now, add=1)
    return "known"
