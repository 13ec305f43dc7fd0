"""Takes up changes of the clinic's values that were made in another process."""

from datetime import datetime

from service import site_versions
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Look for a newer version of the clinic's values."""
    return {"changed": 1} if site_versions.refresh(runtime) else {}
