"""How well the clinic watches: figures of the last days, counted from the rows, nothing estimated."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, func, or_, select

from messages.site import Site
from service.models import Enrollment, Escalation, OutboundMessage, PlanItem, Reply
from service.sight import Sight

SPAN = timedelta(days=30)
ALARMING = ("emergency", "urgent")
MOST_ESCALATIONS = 20_000
JUDGED = (
    "urgency", "status", "disposition", "raised_at", "acknowledged_at", "contacted_at", "contact_by",
)  # fmt: skip


@dataclass(frozen=True)
class Speed:
    """How fast escalations of one urgency were met. Durations; None where there is nothing to count."""

    urgency: str
    opened: int
    acknowledged: timedelta | None
    contacted: timedelta | None
    in_time: int
    judged: int


@dataclass(frozen=True)
class Scoreboard:
    """Figures of ``SPAN`` before now."""

    speeds: tuple[Speed, ...]
    false_alarms: int
    resolved: int
    enrolled: int
    replies: int
    silent_by_cause: tuple[tuple[str, int], ...]
    texts_by_day: tuple[tuple[str, int, int, int], ...]
    replies_by_day: tuple[tuple[str, int, int, int], ...]
    answers: tuple[tuple[str, int, int], ...]


def scoreboard(session: Session, sight: Sight, site: Site, now: datetime) -> Scoreboard:
    """Count the last thirty days of the patients in sight."""
    since = now - SPAN
    # Plain columns: a busy month has tens of thousands, and objects would cost seconds.
    table = Escalation.__table__.c  # type: ignore[attr-defined]
    found = session.execute(
        select_columns(*(table[name] for name in JUDGED))
        .where(table.opened_at >= since, sight.of_escalations())
        .order_by(table.opened_at.desc())
        .limit(MOST_ESCALATIONS)
    ).all()
    resolved = [item for item in found if item.status == "resolved"]
    return Scoreboard(
        speeds=tuple(_speed(urgency, found, now) for urgency in ALARMING),
        false_alarms=sum(item.disposition == "false_alarm" for item in resolved),
        resolved=len(resolved),
        enrolled=_count(session, sight, Enrollment.enrolled_at, Enrollment.patient_id, since),
        replies=_count(session, sight, Reply.received_at, Reply.patient_id, since),
        silent_by_cause=_silent(session, sight, since),
        texts_by_day=_texts_by_day(session, sight, site, now),
        replies_by_day=_replies_by_day(session, sight, since),
        answers=_answers(session, sight, since),
    )


def _count(session: Session, sight: Sight, at: Any, patient_id: Any, since: datetime) -> int:
    mine = sight.of_patient_id(col(patient_id))
    return session.exec(select(func.count()).where(col(at) >= since, mine)).one()


def _speed(urgency: str, found: Sequence[Any], now: datetime) -> Speed:
    """Median time to acknowledgement and contact; in time means within the escalation's own clock."""
    mine = [item for item in found if item.urgency == urgency and item.disposition != "false_alarm"]
    acknowledged = [item.acknowledged_at - item.raised_at for item in mine if item.acknowledged_at]
    contacted = [item.contacted_at - item.raised_at for item in mine if item.contacted_at]
    judged = [item for item in mine if item.contacted_at or item.contact_by <= now]
    in_time = sum(1 for item in judged if item.contacted_at and item.contacted_at <= item.contact_by)
    return Speed(
        urgency,
        len(mine),
        median(acknowledged) if acknowledged else None,
        median(contacted) if contacted else None,
        in_time,
        len(judged),
    )


def _silent(session: Session, sight: Sight, since: datetime) -> tuple[tuple[str, int], ...]:
    rows = session.exec(
        select(PlanItem.silence_cause, func.count())
        .where(PlanItem.status == "silent", PlanItem.due_at >= since, _of_items(sight))
        .group_by(PlanItem.silence_cause)
    ).all()
    return tuple(sorted(((cause or "ignored", count) for cause, count in rows), key=lambda row: -row[1]))


def silent_courses(cause: str, now: datetime) -> ColumnElement[bool]:
    """The condition on ``Enrollment``: a question of the scoreboard's days stayed silent for this cause."""
    why = col(PlanItem.silence_cause)
    silent = select(PlanItem.enrollment_id).where(
        PlanItem.status == "silent",
        PlanItem.due_at >= now - SPAN,
        or_(why == cause, why.is_(None)) if cause == "ignored" else why == cause,
    )
    return col(Enrollment.id).in_(silent)


def _of_items(sight: Sight) -> ColumnElement[bool]:
    return sight.of_enrollment_id(col(PlanItem.enrollment_id))


def _texts_by_day(
    session: Session, sight: Sight, site: Site, now: datetime
) -> tuple[tuple[str, int, int, int], ...]:
    """Delivered, on their way, lost: per day of the last two weeks, days of the clinic."""
    zone = ZoneInfo(site.timezone)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(13, -1, -1)]
    starts = [datetime.combine(day, time(), zone).astimezone(UTC) for day in days]
    at = col(OutboundMessage.accepted_at)
    place = case(*((at < start, index) for index, start in enumerate(starts[1:])), else_=len(days) - 1)
    rows = session.exec(
        select(place, OutboundMessage.status, func.count())
        .where(at >= starts[0], at <= now, sight.of_patient_id(col(OutboundMessage.patient_id)))
        .group_by(place, col(OutboundMessage.status))
    ).all()
    seen: list[Counter[str]] = [Counter() for _ in days]
    for index, status, count in rows:
        seen[index][{"delivered": "good", "undelivered": "bad", "failed": "bad"}.get(status, "way")] += count
    return tuple(
        (f"{day:%m-%d}", fates["good"], fates["way"], fates["bad"])
        for day, fates in zip(days, seen, strict=True)
    )


def _replies_by_day(session: Session, sight: Sight, since: datetime) -> tuple[tuple[str, int, int, int], ...]:
    """Routine, urgent and emergency replies by day after the procedure, the first two weeks."""
    rows = session.exec(
        select(Reply.received_at, Reply.urgency, Enrollment.procedure_at)
        .join(Enrollment, col(Enrollment.patient_id) == Reply.patient_id)
        .where(Reply.received_at >= since, col(Reply.urgency).in_(("routine", *ALARMING)))
        .where(sight.of_patient_id(col(Reply.patient_id)))
        .limit(MOST_ESCALATIONS)
    ).all()
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for received_at, urgency, procedure_at in rows:
        day = (received_at - procedure_at).days
        if 0 <= day <= 14:
            seen[day][urgency] += 1
    return tuple(
        (str(day), seen[day]["routine"], seen[day]["urgent"], seen[day]["emergency"]) for day in range(15)
    )


def _answers(session: Session, sight: Sight, since: datetime) -> tuple[tuple[str, int, int], ...]:
    """Per check-in that asks something: how many were answered of those that are over."""
    rows = session.exec(
        select(PlanItem.key, PlanItem.status, func.count())
        .where(
            col(PlanItem.asks).is_not(None),
            PlanItem.due_at >= since,
            _of_items(sight),
            col(PlanItem.status).in_(("answered", "silent", "expired")),
        )
        .group_by(PlanItem.key, PlanItem.status)
    ).all()
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for key, status, count in rows:
        seen[key][status] += count
    shares = [(key, counted["answered"], sum(counted.values())) for key, counted in seen.items()]
    return tuple(
        sorted(
            shares,
            key=lambda share: [
                int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", share[0])
            ],
        )
    )
