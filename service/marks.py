"""Small facts about the running system, one row each: last ticks, cursors, counts of refusals."""

from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from service.models import Mark


def set_mark(
    session: Session, name: str, at: datetime, *, add: int = 0, detail: dict[str, Any] | None = None
) -> None:
    """Write the mark ``name`` and add to its count, safely from several processes. The caller commits."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Mark).values(name=name, at=at, count=add, detail=detail)
    updates: dict[str, Any] = {"at": at, "count": Mark.__table__.c.count + add}  # type: ignore[attr-defined]
    if detail is not None:
        updates["detail"] = detail
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=updates))


def get_mark(session: Session, name: str) -> Mark | None:
    """The mark as last committed."""
    return session.get(Mark, name)
