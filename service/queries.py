"""Reading for pages and programs: whole lists with a fixed number of queries, never one per row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, and_, col, or_, select

from messages.urgency import Urgency
from service import cursors
from service.instants import zulu, zulu_or_none
from service.models import (
    AuditEvent,
    Enrollment,
    Escalation,
    OutboundMessage,
    Patient,
    PlanItem,
    Reply,
    StoredAssessment,
    Team,
)
from service.sight import Sight, audit_in_sight

OLDEST_FIRST = (datetime, str)
QUEUE_ORDER = (int, datetime, str)


@dataclass(frozen=True)
class Page:
    """One page of a list. ``next`` is the cursor of the following page, None on the last."""

    items: list[dict[str, Any]]
    next: str | None = None


def enrollment_item(session: Session, enrollment: Enrollment) -> dict[str, Any]:
    """An enrollment with its plan, in the order of due times."""
    named = select(Team.name).join(Patient, col(Patient.team_id) == Team.id)
    team = session.exec(named.where(Patient.id == enrollment.patient_id)).one_or_none()
    plan = session.exec(
        select(PlanItem)
        .where(PlanItem.enrollment_id == enrollment.id)
        .order_by(col(PlanItem.due_at), col(PlanItem.key))
    )
    return {
        "id": enrollment.id,
        "patient_id": enrollment.patient_id,
        "team": team,
        "status": enrollment.status,
        "protocol": enrollment.protocol,
        "version": enrollment.version,
        "procedure_at": zulu(enrollment.procedure_at),
        "discharged_at": zulu_or_none(enrollment.discharged_at),
        "follow_up_on": enrollment.follow_up_on.isoformat() if enrollment.follow_up_on else None,
        "enrolled_at": zulu(enrollment.enrolled_at),
        "plan": [{"key": item.key, "due_at": zulu(item.due_at), "status": item.status} for item in plan],
    }


def messages_of(
    session: Session, sight: Sight, patient_id: str, *, limit: int, cursor: str | None = None
) -> Page:
    """Every text to and from a patient, oldest first, those still planned at the end. Raises CursorError."""
    after = cursors.read(cursor, OLDEST_FIRST) if cursor else None
    out_at = func.coalesce(OutboundMessage.accepted_at, OutboundMessage.due_at)
    mine = sight.of_patient_id(col(Patient.id))
    known = select(Patient.id).where(Patient.id == patient_id, mine)
    out = select(OutboundMessage, out_at.label("at")).where(col(OutboundMessage.patient_id).in_(known))
    # A phone that two patients share: the reply is stored once and assessed for both.
    both = select(StoredAssessment.reply_id).where(col(StoredAssessment.patient_id).in_(known))
    got = select(Reply).where(or_(col(Reply.patient_id).in_(known), col(Reply.id).in_(both)))
    if after:
        out = out.where(_after(out_at, OutboundMessage.id, after))
        got = got.where(_after(Reply.received_at, Reply.id, after))
    rows: list[tuple[datetime, str, dict[str, Any]]] = []
    for message, _ in session.exec(out.order_by(out_at, col(OutboundMessage.id)).limit(limit + 1)):
        rows.append((message.accepted_at or message.due_at, message.id, outbound_item(message)))
    for reply in session.exec(got.order_by(col(Reply.received_at), col(Reply.id)).limit(limit + 1)):
        rows.append((reply.received_at, reply.id, _inbound_item(reply)))
    rows.sort(key=lambda row: row[:2])
    following = cursors.make(*rows[limit - 1][:2]) if len(rows) > limit else None
    return Page([item for _at, _id, item in rows[:limit]], following)


def outbound_item(message: OutboundMessage) -> dict[str, Any]:
    """A text of ours. ``at``: when the carrier took it, before that when it is due."""
    item = {
        "id": message.id,
        "direction": "out",
        "body": message.body,
        "at": zulu(message.accepted_at or message.due_at),
        "status": message.status,
        "kind": message.kind,
    }
    if message.carrier_sid:
        item["carrier_sid"] = message.carrier_sid
    return item


def _inbound_item(reply: Reply) -> dict[str, Any]:
    item = {
        "id": reply.id,
        "direction": "in",
        "body": reply.body,
        "at": zulu(reply.received_at),
        "status": "received",
        "kind": "reply",
        "carrier_sid": reply.carrier_sid,
    }
    if reply.urgency:
        item["urgency"] = reply.urgency
    return item


def escalations(
    session: Session,
    sight: Sight,
    *,
    now: datetime,
    limit: int,
    status: str | None = None,
    urgency: str | None = None,
    cursor: str | None = None,
) -> Page:
    """Escalations, the most urgent first and among those the oldest first. Raises CursorError.

    One look per urgency, each along the index, however many are resolved.
    """
    rank, *place = cursors.read(cursor, QUEUE_ORDER) if cursor else (Urgency.EMERGENCY.rank,)
    rows: list[Escalation] = []
    for level in sorted(Urgency, key=lambda word: -word.rank):
        if level.rank > rank or (urgency is not None and level != urgency):
            continue
        wanted = select(Escalation).where(Escalation.urgency_rank == level.rank, sight.of_escalations())
        if status is not None:
            wanted = wanted.where(_stands_at(status, now))
        if place and level.rank == rank:
            wanted = wanted.where(_after(Escalation.opened_at, Escalation.id, place))
        wanted = wanted.order_by(col(Escalation.opened_at), col(Escalation.id)).limit(limit + 1 - len(rows))
        rows += session.exec(wanted)
        if len(rows) > limit:
            break
    last = rows[limit - 1] if len(rows) > limit else None
    following = cursors.make(last.urgency_rank, last.opened_at, last.id) if last else None
    return Page(escalation_items(session, rows[:limit], now), following)


def _stands_at(status: str, now: datetime) -> ColumnElement[bool]:
    """An acknowledgement that has expired counts as open, also before the job has written it."""
    expired = and_(Escalation.status == "acknowledged", col(Escalation.acknowledgement_expires_at) <= now)
    if status == "resolved":
        return col(Escalation.status) == "resolved"
    unresolved = col(Escalation.status) != "resolved"
    if status == "open":
        return and_(unresolved, or_(Escalation.status == "open", expired))
    return and_(unresolved, Escalation.status == status, ~expired if status == "acknowledged" else unresolved)


def escalation_item(session: Session, escalation: Escalation, now: datetime) -> dict[str, Any]:
    """One escalation as programs see it."""
    return escalation_items(session, [escalation], now)[0]


def escalation_items(session: Session, rows: Sequence[Escalation], now: datetime) -> list[dict[str, Any]]:
    """Escalations as programs see them, in the order given; their replies are read with one query."""
    ids = {row.reply_id for row in rows if row.reply_id}
    found = session.exec(select(Reply.id, Reply.body).where(col(Reply.id).in_(ids))).all() if ids else ()
    bodies = {reply_id: body for reply_id, body in found}
    return [_escalation_item(row, bodies.get(row.reply_id or ""), now) for row in rows]


def _escalation_item(row: Escalation, body: str | None, now: datetime) -> dict[str, Any]:
    expires = row.acknowledgement_expires_at
    is_stale = row.status == "acknowledged" and expires is not None and expires <= now
    item: dict[str, Any] = {
        "id": row.id,
        "code": row.code,
        "patient_id": row.patient_id,
        "enrollment_id": row.enrollment_id,
        "phone": None if row.patient_id else row.phone,
        "urgency": row.urgency,
        "status": "open" if is_stale else row.status,
        "reason": row.reason,
        "summary": row.summary,
        "opened_at": zulu(row.opened_at),
        "acknowledge_by": zulu(row.acknowledge_by),
        "contact_by": zulu(row.contact_by),
        "contact_tries": row.contact_tries,
        "cannot_be_texted": row.cannot_be_texted,
        "findings": row.findings,
    }
    if body is not None:
        item["reply"] = {"id": row.reply_id, "body": body}
    if row.acknowledged_by and not is_stale:
        item |= {"acknowledged_by": row.acknowledged_by, "acknowledged_at": zulu_or_none(row.acknowledged_at)}
    if row.contacted_at:
        item |= {
            "contacted_by": row.contacted_by,
            "contacted_at": zulu(row.contacted_at),
            "contact_method": row.contact_method,
        }
    if row.resolved_at:
        item |= {
            "resolved_by": row.resolved_by,
            "resolved_at": zulu(row.resolved_at),
            "disposition": row.disposition,
            "note": row.note,
        }
    return item


def audit_trail(
    session: Session,
    sight: Sight,
    reader: str,
    *,
    since: datetime | None,
    limit: int,
    cursor: str | None = None,
) -> Page:
    """The audit trail as ``reader`` may see it, from a time on (included), oldest first. Raises
    CursorError."""
    wanted = select(AuditEvent).where(audit_in_sight(sight, reader))
    if since is not None:
        wanted = wanted.where(AuditEvent.at >= since)
    if cursor:
        wanted = wanted.where(_after(AuditEvent.at, AuditEvent.id, cursors.read(cursor, OLDEST_FIRST)))
    rows = session.exec(wanted.order_by(col(AuditEvent.at), col(AuditEvent.id)).limit(limit + 1)).all()
    following = cursors.make(rows[limit - 1].at, rows[limit - 1].id) if len(rows) > limit else None
    return Page([_audit_item(row) for row in rows[:limit]], following)


def _audit_item(row: AuditEvent) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": zulu(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject_kind": row.subject_kind,
        "subject_id": row.subject_id,
        "address": row.address,
        "detail": row.detail,
        "seal_number": row.seal_number,
        "seal": row.seal,
    }


def _after(at: Any, row_id: Any, place: Sequence[Any]) -> ColumnElement[bool]:
    """Behind a place in an order by time, then id. Written so that an index on both can be used."""
    return and_(at >= place[0], or_(at > place[0], row_id > place[1]))
