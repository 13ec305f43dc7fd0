"""The plan while it runs: what was sent, answered, failed, asked again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select as select_columns
from sqlalchemy import update
from sqlmodel import Session, col, select

from messages import schedule
from messages.protocol import reminder_of
from service import outbox
from service.db import among
from service.models import Enrollment, OutboundMessage, Patient, PlanItem, metadata
from service.planning import facts_of, protocol_of
from service.release import release
from service.runtime import Runtime

__all__ = [
    "answered",
    "not_asked_yet",
    "queue_reminder",
    "release",
    "text_failed",
    "texts_sent",
]

# Done for every text that goes out: plain rows, no objects.
ENROLLMENTS, ITEMS = metadata.tables["enrollments"], metadata.tables["plan_items"]
REMINDER_USEFUL = timedelta(hours=3)


def texts_sent(session: Session, runtime: Runtime, plan_item_ids: Sequence[str], now: datetime) -> None:
    """The carrier accepted these check-ins: their questions are open from now on."""
    wanted = (
        select_columns(ITEMS.c.id.label("item_id"), ITEMS.c.key, col(Patient.timezone), ENROLLMENTS)
        .where(among(session, ITEMS.c.id, plan_item_ids), ITEMS.c.status == "planned")
        .where(ITEMS.c.enrollment_id == ENROLLMENTS.c.id, ENROLLMENTS.c.patient_id == Patient.id)
    )
    rows: Sequence[Any] = session.execute(wanted).all()
    together: dict[tuple[datetime | None, datetime | None], list[str]] = {}
    for row in rows:
        check_in = protocol_of(session, runtime, row).check_in(row.key)
        silent_at = remind_at = None
        if check_in.asks:
            facts, quiet = facts_of(row, row), runtime.settings.quiet
            silent_at = schedule.silent_at(check_in, now, facts, quiet)
            remind_at = schedule.reminder_at(check_in, now, facts, quiet)
        together.setdefault((silent_at, remind_at), []).append(row.item_id)
    for (silent_at, remind_at), ids in together.items():  # mostly one: the same question in the same zone
        session.execute(
            update(ITEMS)
            .where(among(session, ITEMS.c.id, ids), ITEMS.c.status == "planned")
            .values(status="sent", sent_at=now, silent_at=silent_at, remind_at=remind_at)
        )


def not_asked_yet(session: Session, plan_item_id: str) -> None:
    """The text of this check-in did not reach the phone and is tried again: its question is not put until
    then, and nobody waits for an answer."""
    item = session.get(PlanItem, plan_item_id)
    if item is None or item.status != "sent":
        return
    item.status, item.sent_at, item.remind_at, item.silent_at = "planned", None, None, None
    session.add(item)


def text_failed(session: Session, plan_item_id: str, why: str, now: datetime) -> None:
    """The text of this check-in never reached the phone: no answer can be expected.

    The task for the team is opened by whoever learned it from the carrier.
    """
    item = session.get(PlanItem, plan_item_id)
    if item is None or item.status not in ("planned", "sent"):
        return
    item.status = "silent" if item.asks else "expired"
    item.silence_cause = "undelivered" if item.asks else None
    item.why, item.remind_at, item.silent_at = why, None, None
    session.add(item)


def answered(
    session: Session, runtime: Runtime, item: PlanItem, answer: dict[str, Any] | None, now: datetime
) -> None:
    """The question was answered and triaged: the next one of the day need not wait for its two hours.

    A later answer to the same question replaces what is shown, and nothing else.
    """
    enrollment = session.get_one(Enrollment, item.enrollment_id)
    if answer and answer.get("kind") == "score":
        enrollment.last_score = float(answer["value"])
        session.add(enrollment)
    item.answer = answer or item.answer
    first = item.answered_at is None
    if item.status in ("sent", "silent"):
        item.status = "answered"
    item.answered_at, item.remind_at, item.silent_at = now, None, None
    session.add(item)
    if first:
        _bring_forward(session, runtime, enrollment, item.key, now)


def _bring_forward(
    session: Session, runtime: Runtime, enrollment: Enrollment, key: str, now: datetime
) -> None:
    protocol = protocol_of(session, runtime, enrollment)
    following = [check_in.key for check_in in protocol.check_ins if check_in.after == key]
    if not following:
        return
    with session.no_autoflush:  # what was planned is stored; what this reply adds is no check-in
        rows = session.exec(
            select(OutboundMessage, PlanItem)
            .where(
                OutboundMessage.plan_item_id == PlanItem.id,
                PlanItem.enrollment_id == enrollment.id,
                col(PlanItem.key).in_(following),
                OutboundMessage.status == "planned",
                OutboundMessage.kind == "check_in",
            )
            # One in a worker's hands is due anyway; its worker may be waiting for the course we hold.
            .with_for_update(of=OutboundMessage, skip_locked=True)
        ).all()
    for message, item in rows:
        message.due_at = min(message.due_at, now)
        item.due_at = min(item.due_at, now)
        session.add(message)
        session.add(item)


def queue_reminder(session: Session, runtime: Runtime, item: PlanItem, now: datetime) -> None:
    """The one reminder of an unanswered question goes into the outbox."""
    enrollment = session.get_one(Enrollment, item.enrollment_id)
    patient = session.get_one(Patient, enrollment.patient_id)
    check_in = protocol_of(session, runtime, enrollment).check_in(item.key)
    item.remind_at = None
    session.add(item)
    outbox.queue(
        session,
        now=now,
        key=f"{enrollment.id}:{item.key}:reminder",
        kind="reminder",
        to_phone=patient.phone,
        body=reminder_of(check_in, patient.language, runtime.site),
        language=patient.language,
        due_at=now,
        expires_at=now + REMINDER_USEFUL,
        patient_id=patient.id,
        enrollment_id=enrollment.id,
        plan_item_id=item.id,
    )
