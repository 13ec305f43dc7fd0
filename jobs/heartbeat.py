"""Tells an outside watcher, if one is set, that this scheduler still ticks."""

from datetime import datetime
from urllib.error import URLError
from urllib.request import urlopen

from service.runtime import Runtime

TIMEOUT_SECONDS = 5


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Call AFTERCARE_HEARTBEAT_URL once. A watcher that does not answer is counted, never raised."""
    address = runtime.settings.heartbeat_url
    if not address:
        return {}
    try:
        with urlopen(address, timeout=TIMEOUT_SECONDS):
            return {"pinged": 1}
    except (URLError, OSError, ValueError):
        return {"unanswered": 1}
