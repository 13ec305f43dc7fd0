"""Reads the carrier's log for replies that arrived while we were away, and for receipts that never came."""

from datetime import datetime, timedelta

from service import carrier_log, marks
from service.db import session_on
from service.runtime import Runtime

RECEIPTS_EVERY = timedelta(minutes=10)
RECEIPTS_READ = "catch_up:receipts"


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Catch up; counts of what was read and what was missing."""
    counts = carrier_log.catch_up(runtime, now)
    with session_on(runtime.engine) as session:
        mark = marks.get_mark(session, RECEIPTS_READ)
        if mark is not None and abs(now - mark.at) < RECEIPTS_EVERY:
            return counts
        marks.set_mark(session, RECEIPTS_READ, now)
        session.commit()
    return counts | carrier_log.missed_receipts(runtime, now)
