"""Settles safety answers and pages of unknown fate: nothing else stands before them."""

from datetime import datetime

from service import reconcile
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Settle; counts by verdict. What goes again is sent at once."""
    counts = reconcile.settle(runtime, now, reconcile.URGENT)
    if counts.get("sent_again"):
        runtime.wake.set()
    return counts
