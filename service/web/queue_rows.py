"""What the queue shows: escalations by urgency and age with patient, words and owner, one page at a time.

Paging is by key, not by number: the next page begins after the last row's urgency, opening time and id, so it
costs the same at row 10,000 as at row 1. One query per urgency, each served by the queue's index.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case
from sqlmodel import Session, col, func, or_, select

from messages.site import Site
from messages.urgency import Urgency
from service import patient_search
from service.models import Enrollment, Escalation, Member, Patient, Reply, StoredAssessment
from service.phones import PhoneError, parse_phone
from service.sight import Sight

VIEWS = ("open", "mine", "unowned", "overdue", "silent", "resolved")
RANKS = tuple(sorted((urgency.rank for urgency in Urgency), reverse=True))
ROWS_PER_PAGE = 40


@dataclass(frozen=True)
class Row:
    """One escalation as the queue shows it."""

    escalation: Escalation
    patient: Patient | None
    enrollment: Enrollment | None
    reply: Reply | None
    marked: list[dict[str, Any]]
    day: int | None
    owner: str | None

    @property
    def name(self) -> str | None:
        return self.patient.name if self.patient else None

    @property
    def due_at(self) -> datetime | None:
        """The clock that runs now: until somebody has it, then until somebody has spoken with the patient."""
        if self.escalation.status == "open":
            return self.escalation.acknowledge_by
        return self.escalation.contact_by if self.escalation.status == "acknowledged" else None


def day_after(procedure_at: datetime, at: datetime, timezone: str) -> int:
    """Whole local days from the procedure's date to ``at`` (0: the same day)."""
    zone = ZoneInfo(timezone)
    return (at.astimezone(zone).date() - procedure_at.astimezone(zone).date()).days


def start_of_day(now: datetime, timezone: str) -> datetime:
    """When today began in that zone, as UTC."""
    local = now.astimezone(ZoneInfo(timezone))
    return datetime.combine(local.date(), time(), ZoneInfo(timezone)).astimezone(now.tzinfo)


def overdue(now: datetime) -> ColumnElement[bool]:
    """Nobody has it in time, or nobody has spoken with the patient in time."""
    waits = and_(col(Escalation.status) == "open", col(Escalation.acknowledge_by) < now)
    unspoken = and_(col(Escalation.status).in_(("open", "acknowledged")), col(Escalation.contact_by) < now)
    return or_(waits, unspoken)


def in_view(view: str, email: str, now: datetime, site: Site) -> ColumnElement[bool]:
    """The condition of one of the shared views. Raises KeyError for an unknown one."""
    unresolved = col(Escalation.status) != "resolved"
    return {
        "open": unresolved,
        "mine": and_(unresolved, col(Escalation.acknowledged_by) == email),
        "unowned": col(Escalation.status) == "open",
        "overdue": and_(unresolved, overdue(now)),
        "silent": and_(unresolved, col(Escalation.reason) == "silence"),
        "resolved": and_(
            col(Escalation.status) == "resolved",
            col(Escalation.resolved_at) >= start_of_day(now, site.timezone),
        ),
    }[view]


def view_counts(session: Session, sight: Sight, email: str, now: datetime, site: Site) -> dict[str, int]:
    """How many escalations in sight each view holds."""
    views = [view for view in VIEWS if view != "resolved"]
    sums = [func.sum(case((in_view(view, email, now, site), 1), else_=0)) for view in views]
    mine = sight.of_escalations()
    found = session.exec(select(*sums).where(col(Escalation.status) != "resolved", mine)).one()
    resolved = session.exec(
        select(func.count()).select_from(Escalation).where(in_view("resolved", email, now, site), mine)
    ).one()
    return {view: int(count or 0) for view, count in zip(views, found, strict=True)} | {"resolved": resolved}


def _searched(session: Session, words: str) -> ColumnElement[bool]:
    """Words of the patient's name, their record number or phone; the code of pages; a stranger's phone."""
    clean = words.strip()
    found = [patient_search.fitting(session, clean), col(Escalation.code) == clean]
    with suppress(PhoneError):
        found.append(col(Escalation.subject) == parse_phone(clean))
    return or_(*found)


def cursor_of(escalation: Escalation) -> str:
    stamp = escalation.resolved_at or escalation.opened_at
    return urlsafe_b64encode(
        f"{escalation.urgency_rank}|{stamp.isoformat()}|{escalation.id}".encode()
    ).decode()


def read_cursor(cursor: str) -> tuple[int, datetime, str] | None:
    """The place a cursor names; None for one that is not ours (then the list begins anew)."""
    try:
        rank, stamp, escalation_id = urlsafe_b64decode(cursor.encode()).decode().split("|")
        at = datetime.fromisoformat(stamp)
        return (int(rank), at, escalation_id) if at.tzinfo is not None else None
    except (ValueError, TypeError):
        return None


def rows(
    session: Session,
    sight: Sight,
    *,
    view: str,
    email: str,
    now: datetime,
    site: Site,
    words: str = "",
    cursor: str = "",
    limit: int = ROWS_PER_PAGE,
) -> tuple[list[Row], str | None]:
    """One page of a view and the cursor of the next page (None: this is the last)."""
    wanted = [in_view(view, email, now, site), sight.of_escalations()]
    if words.strip():
        wanted.append(_searched(session, words))
    place = read_cursor(cursor) if cursor else None
    pick = _newest_first if view == "resolved" else _urgent_first
    found = pick(session, wanted, place, limit + 1)
    more = cursor_of(found[limit - 1][0]) if len(found) > limit else None
    return _dressed(session, found[:limit], now), more


def _select(wanted: list[ColumnElement[bool]]) -> Any:
    return (
        select(Escalation, Patient, Enrollment, Reply)
        .outerjoin(Patient, col(Patient.id) == Escalation.patient_id)
        .outerjoin(Enrollment, col(Enrollment.id) == Escalation.enrollment_id)
        .outerjoin(Reply, col(Reply.id) == Escalation.reply_id)
        .where(*wanted)
    )


def _urgent_first(
    session: Session, wanted: list[ColumnElement[bool]], place: tuple[int, datetime, str] | None, limit: int
) -> list[Any]:
    found: list[Any] = []
    for rank in RANKS:
        if place is not None and rank > place[0]:
            continue
        query = _select([*wanted, col(Escalation.urgency_rank) == rank])
        if place is not None and rank == place[0]:
            query = query.where(_after(col(Escalation.opened_at), place[1], place[2]))
        query = query.order_by(col(Escalation.opened_at), col(Escalation.id)).limit(limit - len(found))
        found += session.exec(query).all()
        if len(found) >= limit:
            break
    return found


def _newest_first(
    session: Session, wanted: list[ColumnElement[bool]], place: tuple[int, datetime, str] | None, limit: int
) -> list[Any]:
    query = _select(wanted)
    if place is not None:
        at = col(Escalation.resolved_at)
        query = query.where(or_(at < place[1], and_(at == place[1], col(Escalation.id) < place[2])))
    query = query.order_by(col(Escalation.resolved_at).desc(), col(Escalation.id).desc()).limit(limit)
    return list(session.exec(query).all())


def _after(column: Any, at: datetime, escalation_id: str) -> ColumnElement[bool]:
    return or_(column > at, and_(column == at, col(Escalation.id) > escalation_id))


def _dressed(session: Session, found: list[Any], now: datetime) -> list[Row]:
    reply_ids = [reply.id for _, _, _, reply in found if reply is not None]
    marks = marks_of(session, reply_ids)
    owners = member_names(session, {row.acknowledged_by or row.resolved_by for row, _, _, _ in found})
    return [
        Row(
            escalation=row,
            patient=patient,
            enrollment=enrollment,
            reply=reply,
            marked=marks.get(reply.id, []) if reply is not None else [],
            day=day_after(enrollment.procedure_at, now, patient.timezone) if enrollment and patient else None,
            owner=owners.get(row.acknowledged_by or row.resolved_by or ""),
        )
        for row, patient, enrollment, reply in found
    ]


def marks_of(session: Session, reply_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The findings of these replies: words, place, status, rule."""
    if not reply_ids:
        return {}
    stored = session.exec(
        select(StoredAssessment.reply_id, StoredAssessment.findings).where(
            col(StoredAssessment.reply_id).in_(reply_ids)
        )
    ).all()
    marks: dict[str, list[dict[str, Any]]] = {}
    for reply_id, findings in stored:
        known = marks.setdefault(reply_id, [])
        known += [finding for finding in findings if finding not in known]
    return marks


def member_names(session: Session, emails: set[str | None]) -> dict[str, str]:
    """Names to show for actors; an actor that is no member (a token) keeps its own name."""
    wanted = {email for email in emails if email}
    if not wanted:
        return {}
    found = session.exec(select(Member.email, Member.name).where(col(Member.email).in_(wanted))).all()
    return {email: email for email in wanted} | {email: name for email, name in found}


SOON = timedelta(minutes=2)
