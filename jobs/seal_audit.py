"""Seal what was added to the audit trail, and forget answers kept for repeated requests after 24 h."""

import logging
from datetime import datetime

from service import audit_chain, idempotency
from service.db import session_on
from service.runtime import Runtime

log = logging.getLogger("aftercare.audit")

MOST_BATCHES = 20


def run(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Returns how many rows were sealed and how many old answers forgotten."""
    sealed = 0
    with session_on(runtime.engine) as session:
        for _ in range(MOST_BATCHES):
            done = audit_chain.seal_new(session, now)
            sealed += done
            if done < audit_chain.BATCH:
                break
        if sealed:
            # A log that is kept elsewhere is what a rewritten chain can be held against.
            log.info("audit trail sealed up to %s", audit_chain.last_sealed(session))
        forgotten = idempotency.forget_old(session, now)
    return {"sealed": sealed, "forgotten": forgotten}
