"""The gate of a restored database: shut until it has been compared with the carrier's log."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import Session, col, select

from service import marks
from service.models import OutboundMessage, Reply
from service.runtime import Runtime

GAP = "restore:gap"
UNREADABLE = (
    "the database was restored from a backup and the carrier's log could not be read: it may have been sent"
)


@dataclass(frozen=True)
class Gap:
    """From the backup to the restore, aware UTC. ``gave_up``: the log could not be read for long."""

    since: datetime
    until: datetime
    gave_up: bool = False


def open_gap(session: Session, since: datetime, until: datetime) -> None:
    """Shut the gate, in the restored database's first transaction. The caller commits."""
    detail = {"since": since.isoformat(), "until": until.isoformat(), "state": "open"}
    marks.set_mark(session, GAP, until, detail=detail)


def gap_of(session: Session, runtime: Runtime) -> Gap | None:
    """The gap that is not settled yet; None when there is none, remembered by the process."""
    if runtime.gap_is_settled:
        return None
    mark = marks.get_mark(session, GAP)
    detail = (mark.detail or {}) if mark is not None else {}
    if detail.get("state") != "open":
        runtime.gap_is_settled = True
        return None
    since, until = (datetime.fromisoformat(detail[name]) for name in ("since", "until"))
    return Gap(since, until, bool(detail.get("gave_up")))


def may_go(session: Session, runtime: Runtime) -> ColumnElement[bool] | None:
    """Which texts may go while the gate is shut; None: every one, it is open."""
    gap = gap_of(session, runtime)
    if gap is None:
        return None
    fresh = select(Reply.id).where(Reply.received_at > gap.until)
    return or_(
        col(OutboundMessage.kind) == "page",
        and_(OutboundMessage.kind == "member", OutboundMessage.created_at > gap.until),
        col(OutboundMessage.reply_id).in_(fresh),
    )


def is_waiting(session: Session, runtime: Runtime) -> bool:
    """Whether nothing may be called late yet: the log may say that it was sent."""
    gap = gap_of(session, runtime)
    return gap is not None and not gap.gave_up


def why_late(session: Session, runtime: Runtime) -> str:
    """What to tell the team of a text that is too late behind the shut gate; empty when it is open."""
    return "" if gap_of(session, runtime) is None else UNREADABLE
