"""Deletes what is older than the site keeps it, one small batch of each kind at a time."""

from datetime import datetime

from service import retention
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Returns how much was deleted, by kind."""
    return retention.purge(runtime, now)
