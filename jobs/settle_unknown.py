"""Settles check-ins and other texts of unknown fate (safety answers and pages: ``settle_urgent``), and hands
on the simulated carrier's receipts (a real one calls us)."""

from datetime import datetime

from service import receipts, reconcile
from service.carriers.simulator import SimulatorCarrier
from service.db import session_on
from service.runtime import Runtime


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Settle; counts by verdict."""
    counts = reconcile.settle(runtime, now, reconcile.ROUTINE)
    if isinstance(runtime.carrier, SimulatorCarrier):
        given = runtime.carrier.receipts()
        for text, code in given:
            with session_on(runtime.engine) as session:
                receipts.record(
                    session,
                    runtime,
                    message_id=text.message_id,
                    carrier_sid=text.carrier_sid,
                    status=text.status,
                    error_code=code,
                    now=now,
                )
                session.commit()
        if given:
            counts["receipts"] = len(given)
    return counts
