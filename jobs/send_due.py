"""Sends the texts that came due, in batches, and turns those whose useful time is over into tasks."""

from datetime import datetime

from service import dispatch
from service.runtime import Runtime

SECONDS = 5.0  # then the next tick goes on: the ticker must be seen to tick


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Send what is due; counts by outcome."""
    return dispatch.send_due(runtime, now, seconds=SECONDS)
