"""How fast one sender may go, shared by all workers through one row.

The row says when the sender is free again. Urgent texts never wait for it, but they use it up: the plan's
texts come after them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from service.models import SenderPace

AHEAD = timedelta(seconds=1)  # texts are claimed for the coming second only
LONGEST_HOLD = timedelta(minutes=2)  # a clock that jumped back must not silence a sender for an hour


@dataclass(frozen=True, slots=True)
class Slots:
    """Room for ``count`` texts: the first at ``start``, each next one ``step`` later."""

    count: int
    start: datetime
    step: timedelta


def free_slots(session: Session, sender: str, per_second: float, now: datetime, wanted: int) -> Slots:
    """How many of ``wanted`` routine texts may be sent within the coming second. Locks the sender's row.

    ``per_second`` 0 means no pace, but a hold asked for by the carrier is kept all the same.
    """
    free_at = _free_at(session, sender, now, lock=per_second > 0)
    if per_second <= 0:
        return Slots(wanted if free_at <= now else 0, now, timedelta())
    step = timedelta(seconds=1 / per_second)
    start = max(free_at, now)
    if start >= now + AHEAD:
        return Slots(0, start, step)
    room = int((now + AHEAD - start) / step - 1e-9) + 1
    return Slots(min(wanted, room), start, step)


def take(session: Session, sender: str, per_second: float, now: datetime, count: int) -> None:
    """Use up ``count`` places of the pace. No commit."""
    if per_second <= 0 or count <= 0:
        return
    free_at = max(_free_at(session, sender, now, lock=True), now)
    _write(session, sender, free_at + timedelta(seconds=count / per_second))


def hold(session: Session, sender: str, until: datetime, now: datetime) -> None:
    """The carrier asked to slow down, or cannot be reached: routine texts of all workers wait. No commit."""
    until = min(until, now + LONGEST_HOLD)
    if until > _free_at(session, sender, now, lock=True):
        _write(session, sender, until)


def _free_at(session: Session, sender: str, now: datetime, lock: bool) -> datetime:
    row = session.get(SenderPace, sender, with_for_update=True if lock else None, populate_existing=True)
    if row is None or row.free_at > now + LONGEST_HOLD:
        return now
    return row.free_at


def _write(session: Session, sender: str, free_at: datetime) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(SenderPace).values(sender=sender, free_at=free_at)
    session.execute(statement.on_conflict_do_update(index_elements=["sender"], set_={"free_at": free_at}))
