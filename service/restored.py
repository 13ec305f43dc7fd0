"""After a restore: what may have been sent between the backup and now is compared with the carrier's log
before anything goes out.

The database has gone back in time, phones have not. So the gate is shut: only pages, and answers to what
arrives after the restore, go out. Behind it, once the carrier's log can be read:

1. Each text of the log that no row knows is given to the row it belongs to: same phone, same words, sent when
   that row could have been. The row is accepted at that time, and its question was put then. The same for
   reminders that are due now. 2. Replies of the gap are fetched, triaged and escalated. 3. What that makes us
   want to say (safety answers) is compared with the log in the same way. 4. The gate opens: what is left was
   never sent. Texts of people we no longer know of, and members' own of the gap, are only counted.

While the log cannot be read nothing else goes out: after ``PATIENCE`` what is too late becomes a task, which
says that it may have been sent before.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import col, select

from service import audit, carrier_log, fates, inbox, receipts
from service.carriers import CarrierError, LoggedMessage
from service.db import reading, session_on
from service.models import Mark, OutboundMessage, Reply
from service.restore_gate import GAP, Gap, gap_of
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

PATIENCE = timedelta(minutes=10)
SKEW = timedelta(minutes=10)  # the carrier's clock and ours
EARLIER = timedelta(hours=36)  # an answer may have brought a check-in forward, by its day at most
WORKS_FOR = timedelta(minutes=5)  # longer than reading the log takes: then another worker may try
Free = dict[tuple[str, str], list[LoggedMessage]]


def settle(
    runtime: Runtime, now: datetime, remind: Callable[[Runtime, datetime], object] = lambda *_: None
) -> dict[str, int]:
    """Compare with the carrier's log and open the gate. Returns counts; nothing when there is no gap.

    ``remind`` queues the reminders that are due, so that they are compared too.
    """
    with reading(runtime.engine) as session:
        gap = gap_of(session, runtime)
    if gap is None or not _take(runtime, now):
        return {}
    counts: Counter[str] = Counter()
    try:
        free = _unknown_lines(runtime, gap)
        counts += _give_out(runtime, gap, free, now)
        remind(runtime, now)
        counts += _give_out(runtime, gap, free, now)
        caught = carrier_log.catch_up(runtime, now, at_least=gap.since - SKEW)
        if "unreadable" in caught:
            raise CarrierError("the log of replies cannot be read", outcome="unknown")
        counts["replies"] += caught["caught_up"]
        inbox.triage_backlog(runtime, now)
        counts += _give_out(runtime, gap, free, now)
        counts += _give_out_wordless(runtime, gap, free, now)
        counts["of_no_row"] = sum(len(lines) for lines in free.values())
    except CarrierError as error:
        log.error("a backup was restored, and the carrier's log cannot be read: texts wait (%s)", error)
        _note(runtime, now, gave_up=now - gap.until >= PATIENCE, busy_until=None)
        return {"unreadable": 1}
    _note(runtime, now, state="settled", counts=dict(counts))
    runtime.gap_is_settled = True
    log.info("the restored database is settled with the carrier's log: %s", dict(counts))
    runtime.wake.set()
    return {"settled": 1, **counts}


def _take(runtime: Runtime, now: datetime) -> bool:
    """One worker at a time compares."""
    with session_on(runtime.engine) as session:
        mark = session.get(Mark, GAP, with_for_update=True)
        detail = dict((mark.detail or {}) if mark is not None else {})
        busy = detail.get("busy_until")
        taken = detail.get("state") != "open" or (busy is not None and datetime.fromisoformat(busy) > now)
        if mark is not None and not taken:
            mark.detail = detail | {"busy_until": (now + WORKS_FOR).isoformat()}
            session.add(mark)
        session.commit()
    return not taken


def _note(runtime: Runtime, now: datetime, **values: Any) -> None:
    with session_on(runtime.engine) as session:
        mark = session.get(Mark, GAP, with_for_update=True)
        assert mark is not None
        mark.at, mark.detail = now, {**(mark.detail or {}), **values}
        session.add(mark)
        if values.get("state") == "settled":
            audit.record(
                session, now=now, actor=audit.SYSTEM, action="settle restored texts",
                detail={"counts": values.get("counts")},
            )  # fmt: skip
        session.commit()


def _unknown_lines(runtime: Runtime, gap: Gap) -> Free:
    """Texts of the carrier's log since the backup that no row of ours knows, by phone and words, oldest
    first."""
    lines = runtime.carrier.log(since=gap.since - SKEW, direction="out")
    known: set[str | None] = set()
    with reading(runtime.engine) as session:
        for start in range(0, len(lines), 500):
            sids = [line.carrier_sid for line in lines[start : start + 500]]
            known |= set(
                session.exec(
                    select(OutboundMessage.carrier_sid).where(col(OutboundMessage.carrier_sid).in_(sids))
                )
            )
    free: Free = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.created_at):
        if line.carrier_sid not in known and line.to_phone:
            free[(line.to_phone, line.body.strip())].append(line)
    return free


def _give_out(runtime: Runtime, gap: Gap, free: Free, now: datetime) -> Counter[str]:
    """Each row that may have been sent takes over the line it belongs to."""
    counts: Counter[str] = Counter()
    for row, heard_at in _unsent(runtime):
        lines = free.get((row.to_phone, row.body.strip()), [])
        line = next((line for line in lines if _fits(row, heard_at, line, gap)), None)
        if line is not None:
            lines.remove(line)
            counts["sent_before"] += _take_over(runtime, row, line, now)
    return counts


def _unsent(runtime: Runtime) -> list[tuple[OutboundMessage, datetime | None]]:
    """Rows that were not sent as far as we know, with when the reply they answer came; by due time."""
    with reading(runtime.engine) as session:
        return list(
            session.exec(
                select(OutboundMessage, Reply.received_at)
                .outerjoin(Reply, col(Reply.id) == OutboundMessage.reply_id)
                .where(
                    OutboundMessage.kind != "page",
                    col(OutboundMessage.status).in_(("planned", "claimed", "unknown")),
                    col(OutboundMessage.settled_at).is_(None),
                )
                .order_by(col(OutboundMessage.due_at), col(OutboundMessage.id))
            ).all()
        )


def _fits(row: OutboundMessage, heard_at: datetime | None, line: LoggedMessage, gap: Gap) -> bool:
    """Whether this row can have been that text."""
    if row.created_at <= gap.until:  # it was in the backup
        earliest, latest = row.due_at - EARLIER, row.expires_at + SKEW
    elif row.kind == "member":
        return False  # written after the restore, by a person who decided so
    else:
        earliest, latest = gap.since - SKEW, gap.until + SKEW
    if heard_at is not None:
        earliest = max(earliest, heard_at - SKEW)
    return max(earliest, gap.since - SKEW) <= line.created_at <= latest


def _take_over(runtime: Runtime, row: OutboundMessage, line: LoggedMessage, now: datetime) -> int:
    """The row was sent then, as that text: accepted at its time, its fate learned now."""
    with session_on(runtime.engine) as session:
        given = {"message_id": row.id, "carrier_sid": line.carrier_sid, "error_code": line.error_code}
        sent_at = min(line.created_at, now)
        done = receipts.record(session, runtime, **given, status="accepted", now=sent_at)
        if line.status.lower() in receipts.STATES:
            receipts.record(session, runtime, **given, status=line.status, now=now)
        session.commit()
    return done == "moved"


def _give_out_wordless(runtime: Runtime, gap: Gap, free: Free, now: datetime) -> Counter[str]:
    """Texts whose words the carrier has forgotten: nobody can say which row they were. A row that may have
    been one of them is not sent: the team decides."""
    forgotten: dict[str, Sequence[LoggedMessage]] = {
        phone: lines for (phone, words), lines in free.items() if not words and lines
    }
    counts: Counter[str] = Counter()
    for row, heard_at in _unsent(runtime) if forgotten else ():
        lines = list(forgotten.get(row.to_phone, ()))
        line = next((line for line in lines if _fits(row, heard_at, line, gap)), None)
        if line is None or row.due_at > gap.until + SKEW:
            continue
        forgotten[row.to_phone] = [other for other in lines if other is not line]
        with session_on(runtime.engine) as session:
            fresh = session.get_one(OutboundMessage, row.id, with_for_update=True)
            fates.give_up_unknown(session, runtime, fresh, now)
            session.commit()
        counts["left_to_team"] += 1
    return counts
