"""Triage replies that are stored but unread: left by a crash, a failed triage or a catch-up."""

from datetime import datetime

from service import inbox
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Oldest first; each reply in its own transaction."""
    return inbox.triage_backlog(runtime, now)
