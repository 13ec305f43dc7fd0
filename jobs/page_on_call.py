"""Walk the ladder of every escalation whose clock has come: page, page again, climb, open again."""

import logging
from collections import Counter
from datetime import datetime

from sqlmodel import Session, col, or_, select

from service import escalation_rows, paging
from service.db import session_on
from service.models import Escalation, OutboundMessage
from service.runtime import Runtime

log = logging.getLogger("aftercare.jobs")

MOST_PER_RUN = 200


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Each escalation in its own transaction, so that one broken row never holds back the others."""
    with session_on(runtime.engine) as session:
        due, failed = _due(session, now), _failed(session)
    counts = Counter(looked_at=0, pages=0)
    for escalation_id in dict.fromkeys([*due, *failed]):
        try:
            counts["pages"] += _advance(runtime, escalation_id, now, escalation_id in failed)
            counts["looked_at"] += 1
        except Exception as error:  # never its text; the auditor tries again and says so
            log.error("escalation %s could not be paged: %s", escalation_id, type(error).__name__)
            counts["failed"] += 1
    return dict(counts)


def _advance(runtime: Runtime, escalation_id: str, now: datetime, page_failed: bool) -> int:
    with session_on(runtime.engine) as session:
        row = escalation_rows.locked_if_free(session, escalation_id)
        if row is None:
            return 0  # another worker is at it
        if row.next_event_at is not None and row.next_event_at > now and not page_failed:
            return 0  # another worker was at it meanwhile
        pages = paging.advance(session, runtime, row, now)
        session.commit()
    if pages:
        runtime.wake.set()
    return pages


def _due(session: Session, now: datetime) -> list[str]:
    clock = session.exec(
        select(Escalation.id)
        .where(
            Escalation.status != "resolved",
            or_(col(Escalation.next_event_at) <= now, col(Escalation.next_event_at).is_(None)),
        )
        .order_by(col(Escalation.urgency_rank).desc(), col(Escalation.next_event_at))
        .limit(MOST_PER_RUN)
    )
    return list(clock)


def _failed(session: Session) -> set[str]:
    """Whoever learned that a page failed should have said so; the rows say it too."""
    found = session.exec(
        select(Escalation.id)
        .join(OutboundMessage, col(Escalation.id) == OutboundMessage.escalation_id)
        .distinct()
        .where(
            Escalation.status == "open",
            OutboundMessage.kind == "page",
            col(OutboundMessage.status).in_(paging.LOST),
            col(OutboundMessage.created_at) >= Escalation.ladder_started_at,
        )
    )
    return set(found)
