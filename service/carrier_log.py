"""What arrived while we were away, and receipts that never came: read from the carrier's own log."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from messages.urgency import Urgency
from service import escalations, inbox, marks, receipts
from service.carriers import CarrierError, LoggedMessage
from service.db import reading, session_on
from service.models import OutboundMessage, Reply
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

FIRST_LOOK_BACK = timedelta(hours=24)
CAUGHT_UP = "catch_up:inbound"
OVERLAP = timedelta(hours=1)
REFUSED_LATELY = timedelta(minutes=10)
RECEIPTS_BACK = timedelta(hours=3)


def catch_up(runtime: Runtime, now: datetime, at_least: datetime | None = None) -> dict[str, int]:
    """Store and triage every reply that is in the carrier's log and not with us. Commits one by one.

    The first time in a process the last day is read, later a little more than what is new; always from
    ``at_least`` on when it is given.
    """
    with reading(runtime.engine) as session:
        mark = marks.get_mark(session, CAUGHT_UP)
    since = now - FIRST_LOOK_BACK
    if mark is not None and mark.detail:
        newest_known = datetime.fromisoformat(mark.detail["newest"]) - OVERLAP
        since = min(newest_known, now - OVERLAP) if runtime.has_caught_up else min(newest_known, since)
    since = min(since, at_least) if at_least else since
    try:
        lines = runtime.carrier.log(since=since, direction="in")
    except CarrierError as error:
        log.error("the carrier's log of replies cannot be read: %s", error)
        return {"unreadable": 1}
    missing = _not_stored(runtime, lines)
    for line in sorted(missing, key=lambda line: line.created_at):
        _store_missed(runtime, line, now)
    with session_on(runtime.engine) as session:
        newest = max((line.created_at for line in lines), default=None)
        detail = {"newest": newest.isoformat()} if newest else None
        marks.set_mark(session, CAUGHT_UP, now, add=len(missing), detail=detail)
        if missing:
            _alarm(session, runtime, now)
        session.commit()
    runtime.has_caught_up = True
    return {"read": len(lines), "caught_up": len(missing)}


def _alarm(session: Session, runtime: Runtime, now: datetime) -> None:
    """Replies that only the log had, while our door refuses signatures: most likely it refuses the carrier.

    A wrong public address or proxy turns every red flag into a 403, and nothing else would show it.
    """
    refused = marks.get_mark(session, "refused:signature")
    if refused is None or now - refused.at > REFUSED_LATELY:
        return
    log.error("replies are refused at our door: check AFTERCARE_PUBLIC_URL and the proxy in front")
    escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason="webhook_refused",
        urgency=Urgency.URGENT,
        phone=runtime.carrier.sender,
        summary="Texts from patients were refused at our door and read from the carrier's log instead, later "
        "than they should be. Have AFTERCARE_PUBLIC_URL, the auth token and the proxy checked at once.",
    )


def _not_stored(runtime: Runtime, lines: Sequence[LoggedMessage]) -> list[LoggedMessage]:
    known: set[str] = set()
    sids = [line.carrier_sid for line in lines if line.from_phone]
    with reading(runtime.engine) as session:
        for start in range(0, len(sids), 500):
            part = sids[start : start + 500]
            known |= set(session.exec(select(Reply.carrier_sid).where(col(Reply.carrier_sid).in_(part))))
    return [line for line in lines if line.from_phone and line.carrier_sid not in known]


def _store_missed(runtime: Runtime, line: LoggedMessage, now: datetime) -> None:
    with session_on(runtime.engine) as session:
        reply, is_new = inbox.receive(
            session,
            now=now,
            carrier_sid=line.carrier_sid,
            from_phone=line.from_phone or "",
            to_phone=line.to_phone,
            body=line.body,
            media=[{"url": None, "type": None} for _ in range(line.media)] or None,
            received_at=line.created_at,
            caught_up=True,
        )
    if is_new:
        inbox.triage_reply(runtime, reply.id, now)
        runtime.wake.set()


def missed_receipts(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Read the carrier's log of our own texts for receipts that never came. Commits."""
    try:
        lines = runtime.carrier.log(since=now - RECEIPTS_BACK, direction="out")
    except CarrierError:
        return {"unreadable": 1}
    final = {
        line.carrier_sid: line for line in lines if line.status in ("delivered", "undelivered", "failed")
    }
    sids, moved = sorted(final), 0
    for start in range(0, len(sids), 500):
        with session_on(runtime.engine) as session:
            waiting = session.exec(
                select(OutboundMessage.carrier_sid).where(
                    col(OutboundMessage.carrier_sid).in_(sids[start : start + 500]),
                    col(OutboundMessage.status).in_(("accepted", "sent")),
                )
            ).all()
            for sid in waiting:
                line = final[sid or ""]
                moved += "moved" == receipts.record(
                    session,
                    runtime,
                    message_id=None,
                    carrier_sid=line.carrier_sid,
                    status=line.status,
                    error_code=line.error_code,
                    now=now,
                )
            session.commit()
    return {"receipts": moved}
