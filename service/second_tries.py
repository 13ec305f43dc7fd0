"""One second try for a text that surely did not arrive because the phone was switched off or out of reach.

The first row keeps its fate; the second is a row of its own under the first one's key and ``AGAIN``, so that
there can never be a third. Pages have none: the ladder moves on instead.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlmodel import Session, select

from service import outbox, plan
from service.keyring import Unreadable
from service.models import Enrollment, OutboundMessage, Patient, PlanItem
from service.planning import SCHEDULED_KINDS, protocol_of
from service.runtime import Runtime

AGAIN = ":again"
WAITS = {
    "safety": timedelta(minutes=2),
    "member": timedelta(minutes=10),
    "notice": timedelta(minutes=10),
    "check_in": timedelta(minutes=30),
    "reminder": timedelta(minutes=30),
}


def is_second(message: OutboundMessage) -> bool:
    """Whether this row is a second try."""
    return message.key.endswith(AGAIN)


def lay(session: Session, runtime: Runtime, first: OutboundMessage, now: datetime) -> OutboundMessage | None:
    """Plan the second try of a text that surely did not arrive; None where there can be none. No commit.

    It waits (``WAITS``, and for the end of quiet hours where the first one would have), and goes only while
    the text is useful. The question of a check-in is put when the second one goes: it was never read.
    """
    wait = WAITS.get(first.kind)
    if wait is None or is_second(first) or isinstance(first.to_phone, Unreadable):
        return None
    due_at = now + wait
    if first.kind in SCHEDULED_KINDS:
        may_go = _open_from(session, runtime, first, due_at)
        if may_go is None:
            return None
        due_at = may_go
    if due_at >= first.expires_at:
        return None
    if first.kind == "check_in":
        plan.not_asked_yet(session, first.plan_item_id or "")
    return outbox.queue(
        session,
        now=now,
        key=first.key + AGAIN,
        kind=first.kind,
        priority=first.priority,
        to_phone=first.to_phone,
        body=first.body,
        language=first.language,
        due_at=due_at,
        expires_at=first.expires_at,
        patient_id=first.patient_id,
        enrollment_id=first.enrollment_id,
        plan_item_id=first.plan_item_id,
        escalation_id=first.escalation_id,
        reply_id=first.reply_id,
        member_id=first.member_id,
        author=first.author,
    )


def call_off(session: Session, first: OutboundMessage, now: datetime, why: str) -> bool:
    """The second one is not sent any more if it is still waiting; whether it was. No commit."""
    second = _second_of(session, first)
    if second is None or second.status != "planned":
        return False
    second.status, second.why, second.settled_at = "cancelled", why, now
    session.add(second)
    return True


def withhold(session: Session, first: OutboundMessage, marker: str, now: datetime) -> bool:
    """The first one's words go (``marker`` stands for them): the second, which repeats them, does not go out
    and keeps none. False: it cannot be held back, because it is in a worker's hands or puts a question of
    the plan, which holds nobody's words. No commit."""
    second = _second_of(session, first)
    if second is None or second.status not in ("planned", "claimed", "unknown"):
        return True
    if second.kind in SCHEDULED_KINDS or not call_off(session, first, now, "its words were redacted"):
        return False
    second.body = marker
    return True


def _second_of(session: Session, first: OutboundMessage) -> OutboundMessage | None:
    """Locked, and as it is stored now."""
    return session.exec(
        select(OutboundMessage)
        .where(OutboundMessage.key == first.key + AGAIN)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()


def _open_from(session: Session, runtime: Runtime, first: OutboundMessage, at: datetime) -> datetime | None:
    """From when on a text of the plan may go: outside quiet hours, except the first evening's question. None:
    its question is answered or over."""
    item = session.get(PlanItem, first.plan_item_id)
    course = session.get(Enrollment, first.enrollment_id)
    patient = session.get(Patient, course.patient_id) if course else None
    if item is None or course is None or patient is None or item.status not in ("planned", "sent"):
        return None
    zone = ZoneInfo(patient.timezone)
    check_in = protocol_of(session, runtime, course).check_in(item.key)
    same_day = at.astimezone(zone).date() == item.due_at.astimezone(zone).date()
    if first.kind == "check_in" and check_in.time_critical and same_day:
        return at
    return runtime.settings.quiet.open_from(at, zone)
