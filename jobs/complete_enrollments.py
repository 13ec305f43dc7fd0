"""Courses whose last check-in is over are completed."""

from datetime import datetime

from service.db import session_on
from service.enrollments import complete_ended
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Complete what ended by ``now``. Returns how many."""
    with session_on(runtime.engine) as session:
        return {"completed": complete_ended(session, now)}
