"""Figures for Prometheus: what waits, who waits for a human, what was refused. Never a name, number or text.

Figures of the service are read from the database at each scrape, those of the web process are counted in it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func
from sqlmodel import Session, col, select

from service.db import reading
from service.models import AuditEvent, Enrollment, Escalation, Mark, OutboundMessage, Reply
from service.readiness import oldest_due
from service.runtime import Runtime
from service.safety_figures import Board, safety_board
from service.sight import EVERYTHING

COUNT_EVERY = 30.0  # seconds; counting every text ever sent takes longest
BOARD_EVERY = 300.0
SAFETY_SPAN = timedelta(days=7)
STEPS = ("acknowledge", "contact")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Traffic:
    """Requests of one web process by route pattern: addresses themselves would carry ids."""

    def __init__(self, runtime: Runtime) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Figures(runtime))
        self._requests = Counter(
            "aftercare_http_requests", "Answered requests.", ("method", "route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "aftercare_http_seconds", "Time to answer.", ("route",), buckets=BUCKETS, registry=self.registry
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request. ``route`` is the pattern, such as ``/api/v1/enrollments/{id}``."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self.registry)


class _Figures(Collector):
    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._counted_at = float("-inf")
        self._counted: list[tuple[Any, ...]] = []
        self._board: Board | None = None
        self._board_at = float("-inf")

    def describe(self) -> Iterable[Any]:
        return ()  # nothing is asked of the database before the first scrape

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self.runtime.clock()
        with reading(self.runtime.engine) as session:
            yield from self._texts(session, now)
            yield from _people(session, now)
            yield from _system(session, now)
            yield from self._safety(session, now)

    def _safety(self, session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
        if self._board is None or monotonic() - self._board_at > BOARD_EVERY:
            self._board = safety_board(session, EVERYTHING, self.runtime.site, now, now - SAFETY_SPAN)
            self._board_at = monotonic()
        yield from _safety_rows(self._board)

    def _texts(self, session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
        if monotonic() - self._counted_at > COUNT_EVERY:
            by_state = select(OutboundMessage.kind, OutboundMessage.status, func.count())
            self._counted = [
                tuple(row)
                for row in session.exec(by_state.group_by(OutboundMessage.kind, OutboundMessage.status))
            ]
            self._counted_at = monotonic()
        yield _gauge(
            "aftercare_texts", "Texts to phones by kind and state.", ("kind", "status"), self._counted
        )
        waits = []
        for lane in ("urgent", "other"):
            oldest = oldest_due(session, now, urgent=lane == "urgent")
            waits.append((lane, (now - oldest).total_seconds() if oldest else 0))
        yield _gauge("aftercare_oldest_due_seconds", "How long the oldest due text waits.", ("lane",), waits)


def _safety_rows(board: Board) -> Iterator[GaugeMetricFamily]:
    steps = [(row.urgency, step, getattr(row, step)) for row in board.by_urgency for step in STEPS]
    for step in STEPS:
        minutes = [
            (figure, urgency, value)
            for urgency, named, found in steps
            for figure, value in (("median", found.median), ("p95", found.p95))
            if named == step and value is not None
        ]
        yield _gauge(f"aftercare_minutes_to_{step}", "Minutes, last 7 days.", ("figure", "urgency"), minutes)
    inside = [(step, urgency, found.inside) for urgency, step, found in steps if found.inside is not None]
    yield _gauge("aftercare_inside_target", "Share in time, last 7 days.", ("step", "urgency"), inside)
    yield _gauge("aftercare_silent_patients", "Patients silent now.", (), [(board.silent_patients,)])
    yield _gauge("aftercare_false_alarms", "False alarms, last 7 days.", (), [(board.false_alarms,)])


def _people(session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
    unresolved = col(Escalation.status) != "resolved"
    by = (Escalation.urgency, Escalation.status)
    rows = session.exec(select(*by, func.count()).where(unresolved).group_by(*by)).all()
    yield _gauge("aftercare_escalations", "Unresolved escalations.", ("urgency", "status"), rows)
    overdue = select(Escalation.urgency, func.count()).where(unresolved).group_by(Escalation.urgency)
    late = session.exec(overdue.where(Escalation.status == "open", Escalation.acknowledge_by < now)).all()
    yield _gauge("aftercare_escalations_overdue", "Open beyond the time to acknowledge.", ("urgency",), late)
    oldest = select(Escalation.urgency, func.min(Escalation.raised_at)).group_by(Escalation.urgency)
    waits = session.exec(oldest.where(unresolved, Escalation.status == "open")).all()
    ages = [(urgency, (now - since).total_seconds()) for urgency, since in waits]
    yield _gauge("aftercare_oldest_open_seconds", "Age of the oldest open escalation.", ("urgency",), ages)
    courses = session.exec(select(Enrollment.status, func.count()).group_by(Enrollment.status)).all()
    yield _gauge("aftercare_enrollments", "Enrollments by state.", ("status",), courses)
    unread = session.exec(
        select(func.count(), func.min(Reply.received_at)).where(col(Reply.triaged_at).is_(None))
    ).one()
    yield _gauge("aftercare_replies_untriaged", "Replies not read yet.", (), [(unread[0],)])


def _system(session: Session, now: datetime) -> Iterator[GaugeMetricFamily]:
    marks = session.exec(select(Mark)).all()
    named = {"tick:": [], "refused:": []}  # type: dict[str, list[tuple[str, float]]]
    for mark in marks:
        kind, _, name = mark.name.partition(":")
        if f"{kind}:" in named:
            value = (now - mark.at).total_seconds() if kind == "tick" else mark.count
            named[f"{kind}:"].append((name, value))
    yield _gauge("aftercare_tick_age_seconds", "Since each job last ran.", ("job",), named["tick:"])
    yield _gauge("aftercare_refused", "Webhook requests refused, by reason.", ("reason",), named["refused:"])
    unsealed = session.exec(
        select(func.count()).select_from(AuditEvent).where(col(AuditEvent.seal_number).is_(None))
    ).one()
    yield _gauge("aftercare_audit_unsealed", "Audit rows not sealed yet.", (), [(unsealed,)])


def _gauge(name: str, about: str, labels: tuple[str, ...], rows: Iterable[Any]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for *words, value in rows:
        family.add_metric([str(word) for word in words], float(value))
    return family
