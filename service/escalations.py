"""Escalations: what an open one stops, and all that is done with them under one name.

Opening and joining is in ``service.escalation_opening``, what members do in ``service.escalation_acts``.
Building blocks do not commit; acts do.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from messages.urgency import Urgency
from service.db import among
from service.escalation_acts import (
    METHODS,
    acknowledge,
    contact,
    expire_acknowledgement,
    hand_over,
    note,
    take_over,
)
from service.escalation_opening import open_escalation, unresolved
from service.escalation_rows import (
    UNRESOLVED,
    ContactNeeded,
    EscalationError,
    HeldByOther,
    InvalidAct,
    UnknownEscalation,
    WrongState,
    locked,
    timeline,
    write_event,
)
from service.models import Enrollment, Escalation, OutboundMessage
from service.resolutions import DISPOSITIONS, false_alarm, reopen, resolve

__all__ = [
    "DISPOSITIONS",
    "METHODS",
    "ContactNeeded",
    "EscalationError",
    "HeldByOther",
    "InvalidAct",
    "UnknownEscalation",
    "WrongState",
    "acknowledge",
    "cannot_be_texted",
    "contact",
    "expire_acknowledgement",
    "false_alarm",
    "hand_over",
    "locked",
    "note",
    "open_escalation",
    "pauses_check_ins",
    "reopen",
    "resolve",
    "take_over",
    "timeline",
    "unresolved",
]

CHAT_LASTS = timedelta(minutes=60)


def cannot_be_texted(session: Session, *, now: datetime, escalation_id: str, code: str | None = None) -> None:
    """The carrier refused our answer (opted out, no such phone): note on the escalation that only a call
    helps.

    Opens nothing new. Does not commit.
    """
    row = session.get(Escalation, escalation_id, with_for_update=True)
    if row is None or row.cannot_be_texted:
        return
    row.cannot_be_texted = True
    write_event(session, row, now=now, kind="cannot_be_texted", actor="aftercare", code=code)


def pauses_check_ins(
    session: Session, enrollment_ids: Collection[str], now: datetime | None = None
) -> set[str]:
    """The enrollments among these whose routine check-ins wait: an emergency of their patient is unresolved,
    or a member wrote to them within the last hour (only when ``now`` is given). Safety answers and the
    welcome never wait."""
    if not enrollment_ids:
        return set()
    wanted = among(session, col(Enrollment.id), enrollment_ids)
    emergencies = session.exec(
        select(Enrollment.id)
        .join(Escalation, col(Escalation.patient_id) == Enrollment.patient_id)
        .where(wanted, UNRESOLVED, Escalation.urgency == str(Urgency.EMERGENCY))
    )
    paused = set(emergencies)
    if now is not None:
        chatting = session.exec(
            select(Enrollment.id)
            .join(OutboundMessage, col(OutboundMessage.patient_id) == Enrollment.patient_id)
            .where(
                wanted,
                OutboundMessage.kind == "member",
                OutboundMessage.created_at > now - CHAT_LASTS,
                OutboundMessage.created_at <= now,
            )
        )
        paused.update(chatting)
    return paused
