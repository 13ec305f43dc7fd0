"""Who is looking at or writing to whom, so that two do not call the same patient at once. A hint, no lock.

Kept as marks that grow stale by themselves; names of members only, nothing of patients.
"""

from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select

from service import marks
from service.models import Mark, Member

LASTS = timedelta(seconds=15)
KEPT = timedelta(hours=1)


def note_presence(
    session: Session, *, now: datetime, escalation_id: str, member_id: str, is_typing: bool = False
) -> None:
    """This member has the escalation before them, and perhaps writes. Commits."""
    detail = {"typing": is_typing}
    marks.set_mark(session, f"looking:{escalation_id}:{member_id}", now, detail=detail)
    stale = col(Mark.name).startswith("looking:") & (col(Mark.at) < now - KEPT)
    session.exec(delete(Mark).where(stale))
    session.commit()


def people_at(
    session: Session, *, now: datetime, escalation_id: str = "", lasts: timedelta = LASTS
) -> list[tuple[str, str, bool, str]]:
    """Who is there now: member id, name, whether they write, escalation id; by name. Without
    ``escalation_id``: at any escalation."""
    prefix = f"looking:{escalation_id}:" if escalation_id else "looking:"
    rows = session.exec(
        select(Mark).where(col(Mark.name).startswith(prefix), col(Mark.at) > now - lasts)
    ).all()
    found = [(*row.name.split(":")[1:3], bool((row.detail or {}).get("typing"))) for row in rows]
    wanted = select(Member.id, Member.name).where(col(Member.id).in_({key for _, key, _ in found}))
    names = {key: name for key, name in session.exec(wanted)}
    there = [(key, names[key], typing, where) for where, key, typing in found if key in names]
    return sorted(there, key=lambda one: (one[1], one[0], one[3]))
