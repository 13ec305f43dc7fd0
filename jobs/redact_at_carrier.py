"""Asks the carrier to forget the words of texts that are old enough or were redacted here."""

from datetime import datetime

from service import carrier_redaction
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Note what became old, then ask for a round of what is due. Nothing when the setting is off."""
    noted = carrier_redaction.queue_old(runtime, now)
    counts = carrier_redaction.carry_out(runtime, now)
    return counts | ({"noted": noted} if noted else {})
