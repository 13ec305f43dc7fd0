"""Whether the service does its work, as plain questions to the database: for ``/readyz`` and ``check``."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from service import outbox
from service.db import current_revision, newest_revision, reading
from service.models import Mark, OutboundMessage
from service.runtime import Runtime

TICKED_WITHIN = timedelta(minutes=1)
URGENT_WITHIN = timedelta(seconds=60)
OTHERS_WITHIN = timedelta(minutes=15)
URGENT_PRIORITIES = (outbox.SAFETY,)  # safety answers and pages, see service.outbox
OTHER_PRIORITIES = (outbox.PERSON_WAITS, outbox.PLAN)

_newest = cache(newest_revision)


def reasons_not_ready(runtime: Runtime, now: datetime) -> list[str]:
    """Every reason why the service is not ready, as sentences; empty when it is.

    1. The database answers. 2. Its revision is this code's. 3. A job ticked within a minute. 4. No safety
    answer or page has waited 60 s. 5. No other text is later than 15 min beyond what the pace explains.
    """
    try:
        revision = current_revision(runtime.engine)
        if revision != _newest():
            return [f"The database is at revision {revision}, this version needs {_newest()}."]
        with reading(runtime.engine) as session:
            return list(_reasons(session, runtime, now))
    except SQLAlchemyError as error:
        return [f"The database cannot be reached ({type(error).__name__})."]


def _reasons(session: Session, runtime: Runtime, now: datetime) -> Iterator[str]:
    speed = max(
        1.0, float(getattr(runtime.clock, "speed", 1))
    )  # a rehearsal's clock runs faster than jobs do
    ticked_at = last_tick(session)
    if ticked_at is None:
        yield "No job has run yet: start aftercare run or aftercare work."
    elif now - ticked_at > TICKED_WITHIN * speed:
        yield f"The last job ran {_seconds(now - ticked_at)} s ago: is aftercare work running?"
    oldest = oldest_due(session, now, urgent=True)
    if oldest is not None and now - oldest > URGENT_WITHIN * speed:
        yield f"A safety answer or page has waited {_seconds(now - oldest)} s to be sent."
    late = lateness(session, runtime, now)
    if late > OTHERS_WITHIN * speed:
        yield f"A text is {_seconds(late)} s later than the pace of sending explains."


def _seconds(length: timedelta) -> int:
    return round(length.total_seconds())


def last_tick(session: Session) -> datetime | None:
    """When any job of any process last ran."""
    return session.exec(select(func.max(Mark.at)).where(col(Mark.name).startswith("tick:"))).one()


def oldest_due(session: Session, now: datetime, *, urgent: bool) -> datetime | None:
    """When the longest waiting text was due that has not been offered to the carrier; None: nothing waits.

    States and priorities stand in the question as words, not as parameters: SQLite uses an index over some
    rows only when it can see that the question asks for those.
    """
    due = select(func.min(OutboundMessage.due_at)).where(OutboundMessage.due_at <= now)
    priorities = URGENT_PRIORITIES if urgent else OTHER_PRIORITIES
    planned = due.where(text("status = 'planned'"))
    found = [session.exec(planned.where(text(f"priority = {one}"))).one() for one in priorities]
    in_hand = due.where(text("status IN ('claimed', 'unknown')"), text("status = 'claimed'"))
    found.append(session.exec(in_hand.where(col(OutboundMessage.priority).in_(priorities))).one())
    return min(filter(None, found), default=None)


def lateness(session: Session, runtime: Runtime, now: datetime) -> timedelta:
    """How long the oldest other text has waited, less the time needed for those sent meanwhile."""
    oldest = oldest_due(session, now, urgent=False)
    if oldest is None:
        return timedelta(0)
    waited, pace = now - oldest, runtime.settings.effective_pace
    if waited <= OTHERS_WITHIN or not pace:
        return waited
    sent = session.exec(
        select(func.count()).select_from(OutboundMessage).where(col(OutboundMessage.dispatched_at) > oldest)
    ).one()
    return max(timedelta(0), waited - timedelta(seconds=sent / pace))
