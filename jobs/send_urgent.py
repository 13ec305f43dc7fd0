"""Sends safety answers, pages and texts a person waits for, in a lane that check-ins cannot hold up."""

from datetime import datetime

from service import dispatch
from service.runtime import Runtime

SECONDS = 0.25  # a slow call stays in the lane's hands; newer texts do not wait for it


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Send what is due; counts by outcome."""
    return dispatch.send_urgent(runtime, now, seconds=SECONDS)
