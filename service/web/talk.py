"""One conversation: what a patient wrote and what we sent, with the fate of each text, oldest first."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import union
from sqlmodel import Session, col, or_, select

from service.models import Enrollment, OutboundMessage, PlanItem, Redaction, Reply, StoredAssessment
from service.redacted_words import MARKER
from service.web.queue_rows import marks_of

MOST_LINES = 80


@dataclass(frozen=True)
class Line:
    """One text. ``direction`` ``in`` is the patient's. ``status`` is the plain word of CONTRACT 3."""

    id: str
    direction: str
    at: datetime
    body: str
    status: str
    kind: str
    author: str | None = None
    urgency: str | None = None
    why: str | None = None
    from_caregiver: bool = False
    caught_up: bool = False
    pictures: int = 0
    marked: tuple[dict[str, Any], ...] = ()
    redacted: Redaction | None = None

    @property
    def redact_at(self) -> str:
        """Where it is redacted; empty while it is on its way or not read yet."""
        if self.redacted is not None or self.status in ("planned", "claimed", "not read yet"):
            return ""
        return f"/{'replies' if self.direction == 'in' else 'messages'}/{self.id}/redact"


def conversation(
    session: Session, *, patient_id: str | None, phone: str | None, most: int = MOST_LINES
) -> list[Line]:
    """The last texts with one patient, or with a phone that belongs to nobody we know. Pages to members are
    not part of it; texts still to come and cancelled ones neither."""
    heard = select(Reply)
    said = select(OutboundMessage).where(
        OutboundMessage.kind != "page", col(OutboundMessage.status).not_in(("planned", "cancelled"))
    )
    waiting = select(OutboundMessage).where(
        OutboundMessage.status == "planned", col(OutboundMessage.kind).in_(("safety", "notice", "member"))
    )
    if patient_id is not None:
        # A phone that two patients share: the reply is stored once, assessed for both. Joined as a union each
        # half has its index; as one condition PostgreSQL read half a million rows.
        both = select(StoredAssessment.reply_id).where(StoredAssessment.patient_id == patient_id)
        own = select(Reply.id).where(Reply.patient_id == patient_id)
        heard = heard.where(col(Reply.id).in_(union(own, both)))
        said = said.where(OutboundMessage.patient_id == patient_id)
        waiting = waiting.where(OutboundMessage.patient_id == patient_id)
    else:
        heard = heard.where(Reply.from_phone == phone, col(Reply.patient_id).is_(None))
        # Whoever has the number now may be a patient of another team: only what nobody known was sent.
        nobodys = (OutboundMessage.to_phone == phone, col(OutboundMessage.patient_id).is_(None))
        said, waiting = said.where(*nobodys), waiting.where(*nobodys)
    replies = session.exec(heard.order_by(col(Reply.received_at).desc()).limit(most)).all()
    sent = session.exec(said.order_by(col(OutboundMessage.created_at).desc()).limit(most)).all()
    queued = session.exec(waiting.limit(most)).all()
    marks = marks_of(session, [reply.id for reply in replies])
    lines = [_heard(reply, marks.get(reply.id, [])) for reply in replies]
    lines += [_said(message) for message in (*sent, *queued)]
    lines = _with_redactions(session, lines)
    return sorted(lines, key=lambda line: (line.at, line.direction == "out"))[-most:]


def _with_redactions(session: Session, lines: list[Line]) -> list[Line]:
    """One query: few texts are redacted, and those say so in their words."""
    ids = [line.id for line in lines if line.body == MARKER]
    if not ids:
        return lines
    rows = session.exec(
        select(Redaction).where(or_(col(Redaction.reply_id).in_(ids), col(Redaction.message_id).in_(ids)))
    )
    found = {row.reply_id or row.message_id: row for row in rows}
    return [replace(line, redacted=found.get(line.id)) for line in lines]


def _heard(reply: Reply, findings: list[dict[str, Any]]) -> Line:
    return Line(
        id=reply.id,
        direction="in",
        at=reply.received_at,
        body=reply.body,
        status="received" if reply.triaged_at else "not read yet",
        kind="reply",
        urgency=reply.urgency,
        from_caregiver=reply.from_caregiver,
        caught_up=reply.caught_up,
        pictures=len(reply.media or ()),
        marked=tuple(findings),
    )


def _said(message: OutboundMessage) -> Line:
    return Line(
        id=message.id,
        direction="out",
        at=message.dispatched_at or message.accepted_at or message.due_at,
        body=message.body,
        status=message.status,
        kind=message.kind,
        author=message.author,
        why=message.why or message.error_code,
    )


@dataclass(frozen=True)
class PlanLine:
    """One check-in of a plan with the text it sends."""

    item: PlanItem
    text: str

    @property
    def why(self) -> str:
        """Why it did not go out, as pages say it: names of conditions and check-ins are no reader's words."""
        why = self.item.why or ""
        if why.startswith("not needed: "):
            return "not needed"
        return "the question it belongs to did not go out" if why.startswith("it follows ") else why


def plan_lines(session: Session, course: Enrollment, texts: dict[str, str]) -> list[PlanLine]:
    """The plan of one enrollment by due time. ``texts``: check-in key to wording, where nothing went out."""
    items = session.exec(
        select(PlanItem).where(PlanItem.enrollment_id == course.id).order_by(col(PlanItem.due_at))
    ).all()
    sent = session.exec(
        select(OutboundMessage.plan_item_id, OutboundMessage.body).where(
            OutboundMessage.patient_id == course.patient_id,  # has an index; the course alone has none
            OutboundMessage.enrollment_id == course.id,
            OutboundMessage.kind == "check_in",
        )
    ).all()
    bodies = {item_id: body for item_id, body in sent if item_id}
    return [PlanLine(item, bodies.get(item.id) or texts.get(item.key, item.key)) for item in items]


def pain_scores(session: Session, patient_id: str) -> list[tuple[datetime, float]]:
    """Every pain score a patient gave, with its time, oldest first."""
    found = session.exec(
        select(Reply.received_at, StoredAssessment.answer)
        .join(StoredAssessment, col(StoredAssessment.reply_id) == Reply.id)
        .where(StoredAssessment.patient_id == patient_id, col(StoredAssessment.answer).is_not(None))
        .order_by(col(Reply.received_at))
    ).all()
    return [
        (at, float(answer["value"]))
        for at, answer in found
        if answer and answer.get("kind") == "score" and answer.get("value") is not None
    ]


def flag_times(session: Session, patient_id: str) -> list[tuple[datetime, str]]:
    """When an urgent or emergency text came in, for the plot."""
    found = session.exec(
        select(Reply.received_at, StoredAssessment.urgency)
        .join(StoredAssessment, col(StoredAssessment.reply_id) == Reply.id)
        .where(
            StoredAssessment.patient_id == patient_id,
            col(StoredAssessment.urgency).in_(("urgent", "emergency")),
        )
        .order_by(col(Reply.received_at))
    ).all()
    return list(found)
