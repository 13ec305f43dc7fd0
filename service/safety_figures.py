"""Safety in figures: minutes to acknowledge and to contact, share inside the target, silence, false alarms.

``figures`` is pure; ``safety_board`` reads the rows it needs. Minutes run from the moment an escalation was
raised to its present urgency until the first acknowledgement or contact after that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from zoneinfo import ZoneInfo

from sqlalchemy import case as sql_case
from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from messages.site import Site
from messages.urgency import Urgency
from service.models import Enrollment, Escalation, EscalationEvent, PlanItem
from service.sight import Sight

PATIENT_DAYS = 100
LEVELS = (Urgency.EMERGENCY, Urgency.URGENT, Urgency.ROUTINE)


@dataclass(frozen=True, slots=True)
class Case:
    """One escalation as the figures need it. Times aware UTC; None: has not happened."""

    urgency: Urgency
    raised_at: datetime
    acknowledge_by: datetime
    contact_by: datetime
    acknowledged_at: datetime | None
    contacted_at: datetime | None
    false_alarm: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """``count`` measured values in minutes; ``inside``: share of the cases, those still waiting past their
    deadline included, that kept it; None where there is nothing to share."""

    count: int
    median: float | None
    p95: float | None
    inside: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One row of the board. ``hour``: local hour of the day at which the cases were raised; None: all."""

    urgency: str
    hour: int | None
    cases: int
    acknowledge: Spread
    contact: Spread
    false_alarms: int


@dataclass(frozen=True, slots=True)
class Board:
    """Every figure for ``since`` .. ``until``."""

    since: datetime
    until: datetime
    by_urgency: tuple[Figures, ...]
    by_hour: tuple[Figures, ...]
    silent_patients: int
    patient_days: float
    escalations_per_100_patient_days: float | None
    false_alarms: int
    false_alarm_share: float | None


def spread(minutes: Sequence[float], kept: int, decided: int) -> Spread:
    """Median and 95th percentile (nearest rank) of ``minutes``; ``kept`` of ``decided`` cases were in
    time."""
    ordered = sorted(minutes)
    p95 = ordered[ceil(0.95 * len(ordered)) - 1] if ordered else None
    return Spread(
        len(ordered), median(ordered) if ordered else None, p95, kept / decided if decided else None
    )


def figures(cases: Iterable[Case], urgency: str, now: datetime, hour: int | None = None) -> Figures:
    """The row for some cases."""
    found = list(cases)
    return Figures(
        urgency=urgency,
        hour=hour,
        cases=len(found),
        acknowledge=_measured([(c.raised_at, c.acknowledged_at, c.acknowledge_by) for c in found], now),
        contact=_measured([(c.raised_at, c.contacted_at, c.contact_by) for c in found], now),
        false_alarms=sum(case.false_alarm for case in found),
    )


def _measured(times: Sequence[tuple[datetime, datetime | None, datetime]], now: datetime) -> Spread:
    minutes = [(done - raised) / timedelta(minutes=1) for raised, done, _ in times if done is not None]
    kept = sum(done is not None and done <= by for _, done, by in times)
    late = sum(by < (done or now) for _, done, by in times)
    return spread(minutes, kept, kept + late)


def safety_board(session: Session, sight: Sight, site: Site, now: datetime, since: datetime) -> Board:
    """Every figure of the patients in sight for what was raised from ``since`` (aware UTC) until now."""
    cases = _cases(session, sight, since, now)
    zone = ZoneInfo(site.timezone)
    hours = sorted({case.raised_at.astimezone(zone).hour for case in cases})
    days = _patient_days(session, sight, since, now)
    false_alarms = sum(case.false_alarm for case in cases)
    return Board(
        since=since,
        until=now,
        by_urgency=tuple(
            figures((case for case in cases if case.urgency is level), str(level), now) for level in LEVELS
        ),
        by_hour=tuple(
            figures((c for c in cases if c.raised_at.astimezone(zone).hour == hour), "all", now, hour)
            for hour in hours
        ),
        silent_patients=silent_patients(session, sight, now),
        patient_days=round(days, 2),
        escalations_per_100_patient_days=len(cases) / days * PATIENT_DAYS if days else None,
        false_alarms=false_alarms,
        false_alarm_share=false_alarms / len(cases) if cases else None,
    )


def _cases(session: Session, sight: Sight, since: datetime, now: datetime) -> list[Case]:
    """What was raised since, each with its first acknowledgement and contact after that moment."""
    event = EscalationEvent
    rows = session.exec(
        select(
            Escalation.urgency,
            Escalation.raised_at,
            Escalation.acknowledge_by,
            Escalation.contact_by,
            Escalation.disposition,
            func.min(event.at),
            func.min(sql_case((col(event.kind) == "contacted", event.at))),
        )
        .outerjoin(
            event,
            (col(event.escalation_id) == Escalation.id)
            & col(event.kind).in_(("acknowledged", "contacted"))
            & (col(event.at) >= Escalation.raised_at),
        )
        .where(Escalation.raised_at >= since, Escalation.raised_at <= now, sight.of_escalations())
        .group_by(Escalation.id)
    )
    return [
        Case(
            urgency=Urgency(urgency),
            raised_at=raised_at,
            acknowledge_by=acknowledge_by,
            contact_by=contact_by,
            acknowledged_at=acknowledged_at,
            contacted_at=contacted_at,
            false_alarm=disposition == "false_alarm",
        )
        for urgency, raised_at, acknowledge_by, contact_by, disposition, acknowledged_at, contacted_at in rows
    ]


def _patient_days(session: Session, sight: Sight, since: datetime, now: datetime) -> float:
    """Days patients were on a running course between ``since`` and now."""
    rows = session.exec(
        select(Enrollment.enrolled_at, Enrollment.ends_at, Enrollment.withdrawn_at).where(
            Enrollment.enrolled_at < now,
            Enrollment.ends_at > since,
            sight.of_patient_id(col(Enrollment.patient_id)),
        )
    )
    total = timedelta(0)
    for enrolled_at, ends_at, withdrawn_at in rows:
        start, end = max(since, enrolled_at), min(now, ends_at, withdrawn_at or now)
        total += max(timedelta(0), end - start)
    return total / timedelta(days=1)


def silent_patients(session: Session, sight: Sight, now: datetime) -> int:
    """Patients in sight on a running course whose newest question went unanswered past its time. One that
    still waits for its answer says nothing yet: who was silent before it is silent still."""
    later = aliased(PlanItem)
    newer = select(later.id).where(
        later.enrollment_id == PlanItem.enrollment_id,
        col(later.asks).is_not(None),
        later.status != "sent",
        col(later.sent_at) > PlanItem.sent_at,
        col(later.sent_at) <= now,
    )
    return session.exec(
        select(func.count(func.distinct(Enrollment.patient_id)))
        .join(PlanItem, col(PlanItem.enrollment_id) == Enrollment.id)
        .where(
            PlanItem.status == "silent",
            col(PlanItem.asks).is_not(None),
            col(PlanItem.sent_at) <= now,
            col(Enrollment.status).in_(("active", "paused")),
            sight.of_patient_id(col(Enrollment.patient_id)),
            ~newer.exists(),
        )
    ).one()
