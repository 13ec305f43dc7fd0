"""What a chaos run left behind: every row against what the phones really got."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import col, func, or_, select

from service import marks
from service.db import reading
from service.models import Escalation, OutboundMessage, PlanItem, Reply, metadata
from service.runtime import Runtime

WITHOUT = "red flags the auditor found without an escalation"
SENT = ("accepted", "sent", "delivered")
UNSENT = ("failed", "undelivered", "expired", "unknown")


def unsettled(runtime: Runtime, written: int) -> int:
    """Texts still due, claimed or of unknown fate, and replies not stored or not triaged."""
    now = runtime.clock()
    with reading(runtime.engine) as session:
        texts = session.exec(
            select(func.count())
            .select_from(OutboundMessage)
            .where(
                or_(
                    (col(OutboundMessage.status) == "planned") & (col(OutboundMessage.due_at) <= now),
                    col(OutboundMessage.status) == "claimed",
                    (col(OutboundMessage.status) == "unknown") & col(OutboundMessage.settled_at).is_(None),
                )
            )
        ).one()
        unread = session.exec(
            select(func.count()).select_from(Reply).where(col(Reply.triaged_at).is_(None))
        ).one()
        stored = session.exec(select(func.count()).select_from(Reply)).one()
    return int(texts + unread + max(0, written - stored))


def read_all(runtime: Runtime, written: int) -> bool:
    """Whether every reply is stored and triaged."""
    with reading(runtime.engine) as session:
        unread = select(func.count()).select_from(Reply).where(col(Reply.triaged_at).is_(None))
        stored = session.exec(select(func.count()).select_from(Reply)).one()
        return stored >= written and session.exec(unread).one() == 0


def _read(runtime: Runtime, query: Any) -> list[Any]:
    with reading(runtime.engine) as session:
        return list(session.exec(query))


def _texts(runtime: Runtime) -> list[Any]:
    """Of every text what the count needs, as plain rows."""
    names = ("patient_id", "to_phone", "body", "kind", "status", "due_at", "settled_at")
    columns = [metadata.tables["outbound_messages"].c[name] for name in names]
    with reading(runtime.engine) as session:
        return list(session.execute(select_columns(*columns)))


def verdict(
    runtime: Runtime, got: Counter[tuple[str, str]], written: int
) -> tuple[dict[str, int], list[str]]:
    """Counts to print, and the promises that were broken."""
    # One session for each look: on a busy machine a long one would be ended by the database.
    rows = _texts(runtime)
    open_about = _read(runtime, select(Escalation.patient_id, Escalation.phone))
    tasks = {key for one in open_about for key in one if key is not None}
    (replies,) = _read(runtime, select(func.count()).select_from(Reply))
    (untriaged,) = _read(
        runtime, select(func.count()).select_from(Reply).where(col(Reply.triaged_at).is_(None))
    )
    (silent_items,) = _read(
        runtime,
        select(func.count())
        .select_from(PlanItem)
        .join(OutboundMessage, col(OutboundMessage.plan_item_id) == PlanItem.id)
        .where(col(OutboundMessage.status).in_(SENT), col(PlanItem.status) == "planned"),
    )
    now = runtime.clock()
    ours = Counter((row.to_phone, row.body) for row in rows)
    said_sent = Counter((row.to_phone, row.body) for row in rows if row.status in SENT)
    pages = {(row.to_phone, row.body) for row in rows if row.kind == "page"}
    lost = sum(max(0, times - got[key]) for key, times in said_sent.items())
    again = {key: got[key] - times for key, times in ours.items() if got[key] > times}
    pages_again = sum(times for key, times in again.items() if key in pages)
    doubled = sum(again.values()) - pages_again
    unsent = [row for row in rows if row.status in UNSENT]
    without_task = sum(not {row.patient_id, row.to_phone} & tasks for row in unsent if row.kind != "page")
    stuck = sum(
        (row.status == "planned" and row.due_at <= now)
        or row.status == "claimed"
        or (row.status == "unknown" and row.settled_at is None)
        for row in rows
    )
    not_ours = sum(key not in ours for key in got)
    counts = {
        "texts": len(rows),
        "texts sent": sum(row.status in SENT for row in rows),
        "texts not due yet or cancelled": sum(
            row.status == "cancelled" or (row.status == "planned" and row.due_at > now) for row in rows
        ),
        "texts unsent with a task": len(unsent) - without_task,
        "phones asked": len({phone for phone, _ in got}),
        "doubled": doubled,
        "lost": lost,
        "stuck": stuck,
        "unsent without a task": without_task,
        "pages sent more than once": pages_again,
        "texts nobody planned": not_ours,
        "questions sent but not opened": silent_items,
        "replies stored": replies,
        "replies lost": max(0, written - replies),
        "replies not triaged": untriaged,
    }
    promises = (
        "doubled",
        "lost",
        "stuck",
        "unsent without a task",
        "texts nobody planned",
        "questions sent but not opened",
        "replies lost",
        "replies not triaged",
    )
    return counts, [f"{counts[name]} {name}" for name in promises if counts[name]]


def repaired(runtime: Runtime, logs: Sequence[Path]) -> dict[str, int]:
    """What the auditor had to do, and how often a text was seen twice at the carrier, as the service itself
    noticed it. A red flag without an escalation is a broken promise even where it was repaired."""
    said = "".join(log.read_text(errors="replace") for log in logs if log.exists())
    with reading(runtime.engine) as session:
        twice = marks.get_mark(session, "texts:second_copy:other")
    return {
        WITHOUT: said.count("holds a red flag without an escalation"),
        "replies the auditor had to have read": said.count("was stored but not read"),
        "clocks the auditor started again": said.count("stood still; starting it again"),
        "second copies the service noticed": twice.count if twice else 0,
        "deadlocks": said.count("DeadlockDetected"),
    }
