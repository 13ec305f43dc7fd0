"""Which check-ins that came due may go out now: reads where each enrollment stands, asks the pure rules.

What should happen is decided by ``messages.release``; here it is written down.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from messages import schedule
from messages.protocol import Protocol
from messages.schedule import Decision, Expire, Go, Skip, Standing, Wait
from messages.urgency import Urgency
from service import escalations
from service.db import among
from service.models import OutboundMessage, Patient, PlanItem, metadata
from service.planning import SCHEDULED_KINDS, facts_of, protocol_of
from service.reachability import unreachable
from service.runtime import Runtime
from service.seals import hashed

CLOSED = ("skipped", "expired", "cancelled", "silent")
ON_ITS_WAY = ("claimed", "accepted", "sent", "delivered", "undelivered", "unknown")


def release(
    session: Session, runtime: Runtime, messages: Sequence[OutboundMessage], now: datetime
) -> dict[str, Decision]:
    """What to do with check-ins and reminders that came due, by message id, and the plan's side of it.

    1. Lock the enrollments, so that two workers cannot put two questions to one patient.
    2. Look at where each stands: what was sent and answered, when this phone got its last scheduled text.
    3. Decide each with the pure rules; within one batch a phone gets at most one text.
    4. Write what became of plan items that are skipped or expired; an expired question becomes a task.

    The caller writes the messages' own fate. Nothing is committed here.
    """
    scheduled = [message for message in messages if message.kind in SCHEDULED_KINDS]
    if not scheduled:
        return {}
    situation = _Situation(session, runtime, scheduled, now)
    decisions: dict[str, Decision] = {}
    for message in sorted(scheduled, key=situation.place_of):
        decision = situation.decide(message, now)
        decisions[message.id] = decision
        if isinstance(decision, Go):
            situation.texted(message, now)
        elif message.kind == "check_in" and not isinstance(decision, Wait):
            _write_unsent(session, runtime, situation, message, decision, now)
    return decisions


# Every item of every patient of the batch is read: the columns that decide, and no more.
ENROLLMENTS, ITEMS = metadata.tables["enrollments"], metadata.tables["plan_items"]
TEXTS = metadata.tables["outbound_messages"]
ITEM_NEEDED = [
    ITEMS.c[name]
    for name in ("id", "enrollment_id", "key", "status", "due_at", "expires_at", "sent_at", "answered_at")
]


class _Situation:
    """Everything needed to decide on a batch of due texts, read with a handful of queries."""

    def __init__(
        self, session: Session, runtime: Runtime, messages: Sequence[OutboundMessage], now: datetime
    ) -> None:
        self.session, self.runtime = session, runtime
        ids = sorted({message.enrollment_id for message in messages if message.enrollment_id})
        # Plain rows, not objects: this is read for every text that goes out, and written for few.
        rows = (
            select_columns(ENROLLMENTS)
            .where(among(session, ENROLLMENTS.c.id, ids))
            .order_by(ENROLLMENTS.c.id)
        )
        self.enrollments: dict[str, Any] = {row.id: row for row in session.execute(rows.with_for_update())}
        patients = {row.patient_id for row in self.enrollments.values()}
        zones = select_columns(col(Patient.id), col(Patient.timezone))
        wanted = zones.where(among(session, col(Patient.id), patients))
        self.patients: dict[str, Any] = {row.id: row for row in session.execute(wanted)}
        self.items: dict[str, Any] = {}
        self.here = {message.plan_item_id for message in messages}
        self.sent: dict[str, dict[str, datetime]] = {key: {} for key in ids}
        self.answered: dict[str, set[str]] = {key: set() for key in ids}
        self.closed: dict[str, set[str]] = {key: set() for key in ids}
        self.planned: dict[str, list[Any]] = {key: [] for key in ids}
        every = select_columns(*ITEM_NEEDED).where(among(session, ITEMS.c.enrollment_id, ids))
        for item in session.execute(every):
            self.items[item.id] = item
            if item.status == "planned":
                self.planned[item.enrollment_id].append(item)
            if item.sent_at:
                self.sent[item.enrollment_id][item.key] = item.sent_at
            if item.answered_at:
                self.answered[item.enrollment_id].add(item.key)
            if item.status in CLOSED and item.sent_at is None:
                self.closed[item.enrollment_id].add(item.key)
        phones = {message.to_phone for message in messages}
        self.last_text = self._last_texts(phones, now)
        self.blocked = unreachable(session, phones)
        self.paused = escalations.pauses_check_ins(session, ids, now)

    def _last_texts(self, phones: set[str], now: datetime) -> dict[str, datetime]:
        """When each phone got its last scheduled text; one on its way just now counts as sent now."""
        at = func.coalesce(OutboundMessage.accepted_at, OutboundMessage.dispatched_at)
        hashes = {phone: hashed(self.session, "phone", phone) for phone in phones}
        rows = self.session.exec(
            select(OutboundMessage.to_phone_hash, func.max(at))
            .where(
                among(self.session, col(OutboundMessage.to_phone_hash), hashes.values()),
                col(OutboundMessage.kind).in_(SCHEDULED_KINDS),
                col(OutboundMessage.status).in_(ON_ITS_WAY),
                col(OutboundMessage.created_at) <= now,
            )
            .group_by(OutboundMessage.to_phone_hash)
        )
        by_hash = {found: last or now for found, last in rows}
        return {phone: by_hash[found] for phone, found in hashes.items() if found in by_hash}

    def decide(self, message: OutboundMessage, now: datetime) -> Decision:
        enrollment = self.enrollments.get(message.enrollment_id or "")
        item = self.items.get(message.plan_item_id or "")
        if enrollment is None or item is None:
            return Skip("its enrollment is gone")
        patient = self.patients[enrollment.patient_id]
        if message.to_phone in self.blocked:
            return Skip("the phone cannot be texted")
        protocol = protocol_of(self.session, self.runtime, enrollment)
        check_in = protocol.check_in(item.key)
        standing = self._standing(enrollment, message.to_phone, check_in.timing.at_enrollment)
        if message.kind == "reminder":
            return _decide_reminder(item, message, protocol, standing, now)
        if item.status != "planned":
            return Skip("no longer planned")
        decision = schedule.decide(
            check_in,
            item.due_at,
            item.expires_at,
            protocol,
            facts_of(enrollment, patient),
            standing,
            self.runtime.settings.quiet,
            now,
        )
        held_until = self._held_until(item, now) if isinstance(decision, Go) else None
        return decision if held_until is None else Wait(held_until, "an earlier text goes first")

    def place_of(self, message: OutboundMessage) -> tuple[datetime, str]:
        """Texts go in the order of the plan, however long each has waited."""
        item = self.items.get(message.plan_item_id or "")
        return (message.due_at if item is None else item.due_at, message.id)

    def _held_until(self, item: Any, now: datetime) -> datetime | None:
        """When an earlier text that waited for the end of a pause is looked at again: it goes before this."""
        earlier = [
            one.id
            for one in self.planned[item.enrollment_id]
            if one.id not in self.here and one.due_at < item.due_at and one.expires_at > now
        ]
        if not earlier:
            return None
        waiting = select_columns(func.max(TEXTS.c.due_at)).where(
            TEXTS.c.plan_item_id.in_(earlier),
            TEXTS.c.status == "planned",
            TEXTS.c.why == schedule.PAUSED,
            TEXTS.c.due_at > now,
        )
        until: datetime | None = self.session.execute(waiting).scalar_one()
        return None if until is None else min(until, item.expires_at)

    def _standing(self, enrollment: Any, phone: str, never_paused: bool) -> Standing:
        paused = enrollment.status == "paused" or enrollment.id in self.paused
        return Standing(
            last_text_at=self.last_text.get(phone),
            sent=self.sent[enrollment.id],
            answered=frozenset(self.answered[enrollment.id]),
            closed=frozenset(self.closed[enrollment.id]),
            last_pain=None if enrollment.last_score is None else round(enrollment.last_score),
            flagged=enrollment.flagged_at is not None,
            paused=paused and not never_paused,
            ended=enrollment.status in ("withdrawn", "completed"),
        )

    def texted(self, message: OutboundMessage, now: datetime) -> None:
        """For the rest of this batch; ``texts_sent`` writes it once the carrier has accepted."""
        self.last_text[message.to_phone] = now
        item = self.items.get(message.plan_item_id or "")
        if item is not None and message.kind == "check_in":
            self.sent[item.enrollment_id][item.key] = now


def _decide_reminder(
    item: Any, message: OutboundMessage, protocol: Protocol, standing: Standing, now: datetime
) -> Decision:
    if item.status != "sent" or item.answered_at or standing.ended or standing.paused:
        return Skip("no longer needed")
    if now >= message.expires_at:
        return Expire("too late for a reminder")
    if standing.last_text_at and now < standing.last_text_at + protocol.gap:
        return Wait(standing.last_text_at + protocol.gap, "another text went out just before")
    return Go()


def _write_unsent(
    session: Session,
    runtime: Runtime,
    situation: _Situation,
    message: OutboundMessage,
    decision: Decision,
    now: datetime,
) -> None:
    item = session.get(PlanItem, message.plan_item_id)
    enrollment = situation.enrollments.get(message.enrollment_id or "")
    if item is None or enrollment is None or item.status != "planned":
        return
    item.status = "expired" if isinstance(decision, Expire) else "skipped"
    item.why = getattr(decision, "why", None)
    situation.closed[enrollment.id].add(item.key)
    session.add(item)
    check_in = protocol_of(session, runtime, enrollment).check_in(item.key)
    if isinstance(decision, Expire) and (check_in.silence_task or check_in.silence_is_urgent):
        escalations.open_escalation(
            session,
            now=now,
            site=runtime.site,
            reason="late_text",
            urgency=Urgency.ROUTINE,
            patient_id=enrollment.patient_id,
            enrollment_id=enrollment.id,
            summary=f"The question {item.key} was not sent: {decision.why}.",
        )
