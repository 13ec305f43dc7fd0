"""An unanswered red-flag question gets its one reminder."""

from datetime import datetime

from sqlmodel import col, select

from service import plan
from service.db import session_on
from service.models import PlanItem
from service.runtime import Runtime

BATCH = 200


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Queue the reminders due by ``now``. Returns how many."""
    with session_on(runtime.engine) as session:
        items = session.exec(
            select(PlanItem)
            .where(col(PlanItem.remind_at) <= now, PlanItem.status == "sent")
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for item in items:
            plan.queue_reminder(session, runtime, item, now)
        session.commit()
    return {"reminders": len(items)}
