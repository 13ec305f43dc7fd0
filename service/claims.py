"""Taking due texts into a worker's hands.

A claim holds for LEASE. ``fence`` rises with every claim, so a worker that lost its claim can change
nothing but the one fact that must never be lost: that the carrier accepted the text.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import literal_column, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from messages.schedule import Decision, Expire, Go, Skip, Wait
from service import fates, outbox, pace, plan, restore_gate
from service.db import among, session_on
from service.models import OutboundMessage, metadata
from service.planning import SCHEDULED_KINDS
from service.rewording import reworded
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

LEASE = timedelta(seconds=15)
UNDECIDED_WAIT = timedelta(seconds=60)
SWEEP = 200
MESSAGES = metadata.tables["outbound_messages"]
# Written out, so that the index of planned texts is used whatever was prepared before.
PLANNED = literal_column("outbound_messages.status = 'planned'")
# Of a due row, as plain columns: an object is made only when something must be written about it.
NEEDED = [
    MESSAGES.c[name]
    for name in (
        "id",
        "kind",
        "to_phone",
        "body",
        "due_at",
        "expires_at",
        "enrollment_id",
        "plan_item_id",
        "attempts",
        "fence",
    )
]
DueRow = Any  # a row of NEEDED, or the whole OutboundMessage


@dataclass(frozen=True, slots=True)
class Claimed:
    """One text in a worker's hands. ``plan_item_id``: the question it puts, for check-ins only. ``after``:
    seconds to wait for its place in the sender's pace."""

    id: str
    fence: int
    kind: str
    to_phone: str
    body: str
    expires_at: datetime
    attempts: int
    plan_item_id: str | None = None
    after: float = 0.0


def claim(
    runtime: Runtime, priorities: Sequence[int], now: datetime, limit: int
) -> tuple[list[Claimed], bool]:
    """Claim up to ``limit`` due texts of a lane, oldest first, and commit: from here each counts as offered.

    Also says whether that was all there is to claim now.

    1. See how many the sender's pace allows (urgent lanes always go, and use the pace up).
    2. Lock due rows; other workers skip them. 3. Ask the plan which check-ins may go now; others wait,
    are skipped, or expire with their task. 4. Write ``claimed`` with lease, fence and ``dispatched_at``.
    """
    per_second, sender = runtime.settings.effective_pace, runtime.carrier.sender
    urgent = tuple(priorities) == outbox.URGENT_LANE
    with session_on(runtime.engine) as session:
        slots = pace.Slots(limit, now, timedelta())
        if not urgent:
            slots = pace.free_slots(session, sender, per_second, now, limit)
        if slots.count <= 0:
            session.rollback()
            return [], True
        going, looked_at = _going(session, runtime, priorities, now, slots.count)
        if going:
            _write_claims(session, runtime.worker, [row.id for row in going], now)
            pace.take(session, sender, per_second, now, len(going))
        bodies = reworded(session, runtime, [row.id for row in going])
        session.commit()
    first = max(0.0, (slots.start - now).total_seconds())
    step = slots.step.total_seconds()
    return [
        _claimed(row, first + place * step, bodies.get(row.id)) for place, row in enumerate(going)
    ], looked_at < limit


def _claimed(row: DueRow, after: float, new_body: str | None) -> Claimed:
    return Claimed(
        id=row.id,
        fence=row.fence + 1,
        kind=row.kind,
        to_phone=row.to_phone,
        body=new_body or row.body,
        expires_at=row.expires_at,
        attempts=row.attempts + 1,
        plan_item_id=row.plan_item_id if row.kind == "check_in" else None,
        after=after,
    )


def _going(
    session: Session, runtime: Runtime, priorities: Sequence[int], now: datetime, limit: int
) -> tuple[list[DueRow], int]:
    """Due rows that go now, and how many were looked at. One query per priority keeps to the index."""
    rows: list[DueRow] = []
    allowed = restore_gate.may_go(session, runtime)
    for priority in priorities:
        if len(rows) < limit:
            rows.extend(_due(session, priority, now, limit - len(rows), allowed))
    alive = [row for row in rows if row.expires_at > now]
    decisions = decide(session, runtime, alive, now)
    going = [row for row in alive if _apply(session, runtime, row, decisions.get(row.id, Go()), now)]
    return going, len(rows)


def _due(
    session: Session, priority: int, now: datetime, limit: int, allowed: Any | None = None
) -> Sequence[DueRow]:
    return session.execute(
        select(*NEEDED)
        .where(
            PLANNED,
            MESSAGES.c.priority == priority,
            MESSAGES.c.due_at <= now,
            *([] if allowed is None else [allowed]),
        )
        .order_by(MESSAGES.c.due_at, MESSAGES.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def decide(session: Session, runtime: Runtime, rows: Sequence[DueRow], now: datetime) -> dict[str, Decision]:
    """The plan's word on check-ins and reminders. One that cannot be decided waits alone."""
    scheduled = [row for row in rows if row.kind in SCHEDULED_KINDS]
    if not scheduled:
        return {}
    try:
        with session.begin_nested():
            return plan.release(session, runtime, scheduled, now)
    except SQLAlchemyError:
        raise
    except Exception as error:
        if len(scheduled) == 1:
            log.error("text %s cannot be decided: %s", scheduled[0].id, type(error).__name__)
            return {scheduled[0].id: Wait(now + UNDECIDED_WAIT, f"undecided: {type(error).__name__}")}
    decisions: dict[str, Decision] = {}
    for row in scheduled:
        decisions |= decide(session, runtime, [row], now)
    return decisions


def _apply(session: Session, runtime: Runtime, due: DueRow, decision: Decision, now: datetime) -> bool:
    """Write a decision that is not Go; True when the text goes."""
    if isinstance(decision, Go):
        return True
    row = session.get_one(OutboundMessage, due.id)
    if isinstance(decision, Wait):
        row.due_at, row.why = max(decision.until, now + timedelta(seconds=1)), decision.why or None
        session.add(row)
    elif isinstance(decision, Skip):
        row.status, row.why, row.settled_at = "cancelled", decision.why, now
        session.add(row)
    else:
        fates.expire(session, runtime, row, decision.why, now)
    return False


def _write_claims(session: Session, worker: str, ids: Sequence[str], now: datetime) -> None:
    session.flush()
    session.execute(
        update(OutboundMessage)
        .where(among(session, col(OutboundMessage.id), ids))
        .values(
            status="claimed",
            claimed_by=worker,
            lease_until=now + LEASE,
            fence=col(OutboundMessage.fence) + 1,
            attempts=col(OutboundMessage.attempts) + 1,
            dispatched_at=now,
            why=None,
        )
        .execution_options(synchronize_session=False)
    )


def expire_late(runtime: Runtime, now: datetime) -> int:
    """Texts whose useful time is over before they were sent: expired, each with its task. Commits."""
    with session_on(runtime.engine) as session:
        if restore_gate.is_waiting(session, runtime):
            session.rollback()
            return 0
        rows: list[OutboundMessage] = []
        for priority in (*outbox.URGENT_LANE, *outbox.ROUTINE_LANE):  # each its own query: see ``_going``
            late = (
                select_rows(OutboundMessage)
                .where(
                    PLANNED,
                    OutboundMessage.priority == priority,
                    OutboundMessage.due_at <= now,
                    OutboundMessage.expires_at <= now,
                )
                .order_by(col(OutboundMessage.due_at), col(OutboundMessage.id))
                .limit(SWEEP)
            )
            rows += session.exec(late.with_for_update(skip_locked=True))
        late = restore_gate.why_late(session, runtime)
        decisions = {} if late else decide(session, runtime, rows, now)
        for row in rows:
            decision = decisions.get(row.id)
            if not isinstance(decision, Skip) and row.error_code:
                decision = Expire(row.why or f"the carrier refused it with code {row.error_code}")
            elif not isinstance(decision, Skip | Expire):
                decision = Expire(late or row.why or "it could not be offered to the carrier in time")
            _apply(session, runtime, row, decision, now)
        session.commit()
    return len(rows)
