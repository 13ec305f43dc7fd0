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
        due = _due(session, now)
    counts = Counter(looked_at=0, pages=0)
    for escalation_id in due:
        try:
            counts["pages"] += _advance(runtime, escalation_id, now)
            counts["looked_at"] += 1
        except Exception as error:  # never its text; the auditor tries again and says so
            log.error("escalation %s could not be paged: %s", escalation_id, type(error).__name__)
            counts["failed"] += 1
    return dict(counts)


def _advance(runtime: Runtime, escalation_id: str, now: datetime) -> int:
    with session_on(runtime.engine) as session:
        row = escalation_rows.locked_if_free(session, escalation_id)
        if row is None:
            return 0  # another worker is at it
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
    # Whoever learned that a page failed should have said so; the rows say it too.
    failed = session.exec(
        select(OutboundMessage.id, Escalation.id, OutboundMessage.key)
        .join(Escalation, col(Escalation.id) == OutboundMessage.escalation_id)
        .where(
            Escalation.status == "open",
            OutboundMessage.kind == "page",
            col(OutboundMessage.status).in_(paging.LOST),
            col(OutboundMessage.created_at) >= Escalation.ladder_started_at,
        )
    )
    return list(dict.fromkeys([*clock, *(escalation_id for _, escalation_id, _ in failed)]))
