"""What a recovery looks like over time: pain, temperatures, red flags, on the days after the procedure."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from messages.triage.heat import FEVER, temperatures
from service.models import Enrollment, Reply, StoredAssessment
from service.plots import HeatPlot, PainPlot, heat_plot, pain_plot
from service.web import talk

MOST_REPLIES = 400
NARROW = 420  # units wide: where a plot stands in a narrow column its words must not shrink


@dataclass(frozen=True)
class Trends:
    """The plots of one course."""

    pain: PainPlot
    heat: HeatPlot | None


def trends(session: Session, course: Enrollment, now: datetime, *, narrow: bool = False) -> Trends:
    """Both plots of a course."""
    scores = talk.pain_scores(session, course.patient_id)
    flags = talk.flag_times(session, course.patient_id)
    size = {"width": NARROW, "height": 190} if narrow else {}
    found = readings(session, course)
    heat_size = {"width": NARROW} if narrow else {}
    return Trends(
        pain_plot(scores, flags, course.procedure_at, now, course.baseline_pain, **size),
        heat_plot(found, course.procedure_at, now, FEVER["F"], **heat_size),
    )


def readings(session: Session, course: Enrollment) -> list[tuple[datetime, float]]:
    """Every temperature the patient wrote since the procedure, in degrees Fahrenheit, oldest first."""
    rows = session.exec(
        select(Reply.received_at, Reply.body, StoredAssessment.asked)
        .join(StoredAssessment, col(StoredAssessment.reply_id) == Reply.id)
        .where(StoredAssessment.patient_id == course.patient_id, Reply.received_at >= course.procedure_at)
        .order_by(col(Reply.received_at).desc())
        .limit(MOST_REPLIES)
    ).all()
    found = []
    for at, body, asked in rows:
        for heat in temperatures(body, asked):
            found.append((at, heat.value if heat.unit == "F" else heat.value * 9 / 5 + 32))
    return found[::-1]
