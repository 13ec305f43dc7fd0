"""After a restore: compares texts with the carrier's log before any is sent again."""

from datetime import datetime

from jobs import send_reminders
from service import restored
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Settle the gap between backup and restore, if there is one; counts of what was found."""
    return restored.settle(runtime, now, send_reminders.run)
