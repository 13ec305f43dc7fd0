"""``aftercare simulate``: a made-up clinic played in fast motion through the real use cases and jobs.

Nothing is inserted behind the use cases' back: only the clock, the patients' answers and the team's acts are
made up, from one seed. The database is thrown away. At the end the counts say what was sent, answered,
escalated, doubled and lost; the last two are what a run is for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress
from sqlmodel import Session, col, func, select

from service import accounts, escalations, inbox
from service.carriers.simulator import SimulatorCarrier
from service.db import reading, session_on, upgrade
from service.enrollment_request import parse_request
from service.enrollments import enroll
from service.index_keys import adopt
from service.instants import zulu
from service.models import Enrollment, Escalation, OutboundMessage, Patient, PlanItem, Reply, SimulatedText
from service.runtime import Runtime, make_runtime
from service.settings import load_settings

START = datetime(2027, 3, 1, 14, 0, tzinfo=UTC)  # a Monday morning in Chicago; the clock changes on day 13
SHORTEST_STEP = timedelta(minutes=5)
LONGEST_STEP = timedelta(hours=1)
ENROLLED_WITHIN_DAYS = 3
ANSWERS_AT_ALL = 0.8
ALARMING = 0.04
STAFF = ("kim@clinic.example", "lee@clinic.example")
ZONES = ("America/Chicago", "America/New_York", "America/Denver", "America/Phoenix", "America/Los_Angeles")
ALARMS = {
    "en": (
        "my legs are numb",
        "I have chest pain",
        "the bandage is soaked with blood",
        "fever of 102 and chills",
    ),
    "es": ("tengo dolor en el pecho", "no siento las piernas", "tengo fiebre de 39", "no puedo orinar"),
}
PLAIN = {
    "en": {"symptoms": "no", "blood_thinner": "yes", "bandage": "yes", "welcome": "ok"},
    "es": {"symptoms": "no", "blood_thinner": "si", "bandage": "si", "welcome": "ok"},
}
Run = Callable[[Runtime, datetime], Mapping[str, int]]


@dataclass
class _Clock:
    """Stands still until the play moves it. ``speed``: as the dashboard's demo clock has it."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class _Play:
    """One run: what is ahead, in order of time."""

    runtime: Runtime
    clock: _Clock
    jobs: Sequence[Run]
    random: Random
    end: datetime
    ahead: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)
    seen: set[str] = field(default_factory=set)

    def at(self, when: datetime, act: Callable[[datetime], None]) -> None:
        heappush(self.ahead, (when, next(self.order), act))

    def step(self) -> None:
        """Do what is due now, run every job, look at what is new, move the clock to the next event."""
        now = self.clock.now
        while self.ahead and self.ahead[0][0] <= now:
            heappop(self.ahead)[2](now)
        for run in self.jobs:
            run(self.runtime, now)
        with reading(self.runtime.engine) as session:
            self._expect_answers(session, now)
            self._expect_acts(session, now)
            following = self._next(session, now)
        self.clock.now = min(max(following, now + SHORTEST_STEP), now + LONGEST_STEP)

    def _next(self, session: Session, now: datetime) -> datetime:
        due = select(func.min(OutboundMessage.due_at)).where(OutboundMessage.status == "planned")
        paged = select(func.min(Escalation.next_event_at)).where(Escalation.status != "resolved")
        silent = select(func.min(PlanItem.silent_at)).where(PlanItem.status == "sent")
        times = [session.exec(question).one() for question in (due, paged, silent)]
        times += [self.ahead[0][0]] if self.ahead else []
        return min((when for when in times if when is not None and when > now), default=now + LONGEST_STEP)

    def _expect_answers(self, session: Session, now: datetime) -> None:
        asked = session.exec(
            select(PlanItem, Patient)
            .join(Enrollment, col(Enrollment.id) == PlanItem.enrollment_id)
            .join(Patient, col(Patient.id) == Enrollment.patient_id)
            .where(PlanItem.status == "sent", col(PlanItem.asks).is_not(None))
            .order_by(col(PlanItem.sent_at))
        )
        for item, patient in sorted(asked, key=lambda each: (each[0].sent_at or now, each[1].phone)):
            if item.id not in self.seen:
                self.seen.add(item.id)
                if self.random.random() < ANSWERS_AT_ALL:
                    words = self._words(item.asks or "", patient.language)
                    wait = timedelta(minutes=self.random.randint(1, 120))
                    self.at(now + wait, lambda at, p=patient.phone, w=words: self._write(p, w))

    def _words(self, asks: str, language: str) -> str:
        if self.random.random() < ALARMING:
            return self.random.choice(ALARMS[language])
        if asks == "pain":
            return str(self.random.choice((1, 2, 2, 3, 3, 4)))
        return PLAIN[language].get(asks, "ok")

    def _write(self, phone: str, words: str) -> None:
        carrier = self.runtime.carrier
        assert isinstance(carrier, SimulatorCarrier)
        arrived = carrier.receive(phone, words)
        with session_on(self.runtime.engine) as session:
            reply, _is_new = inbox.receive(
                session,
                now=self.clock.now,
                carrier_sid=arrived.carrier_sid,
                from_phone=phone,
                to_phone=carrier.sender,
                body=words,
            )
        inbox.triage_reply(self.runtime, reply.id, self.clock.now)

    def _expect_acts(self, session: Session, now: datetime) -> None:
        waiting = session.exec(
            select(Escalation.id)
            .where(Escalation.status != "resolved")
            .order_by(col(Escalation.opened_at), col(Escalation.subject))
        )
        for escalation_id in waiting:
            if escalation_id not in self.seen:
                self.seen.add(escalation_id)
                wait = timedelta(minutes=self.random.randint(1, 40))
                actor = self.random.choice(STAFF)
                self.at(now + wait, lambda at, e=escalation_id, a=actor: self._care(e, a))

    def _care(self, escalation_id: str, actor: str) -> None:
        given: dict[str, Any] = {
            "now": self.clock.now, "site": self.runtime.site, "escalation_id": escalation_id, "actor": actor,
        }  # fmt: skip
        with session_on(self.runtime.engine) as session:
            escalations.take_over(session, **given)
            escalations.contact(session, **given, method="phone")
            escalations.resolve(session, **given, disposition="advice_given", note="Called; doing well.")
        self.seen.discard(escalation_id)

    def enroll(self, number: int, now: datetime) -> None:
        """Patient ``number`` went through the procedure a few hours ago."""
        values = {
            "patient": {
                "name": f"Patient {number}",
                "phone": f"+1{312 + number // 100}555{number % 100 + 100:04d}",
                "timezone": ZONES[number % len(ZONES)],
                "language": "es" if number % 4 == 3 else "en",
            },
            "protocol": sorted(self.runtime.protocols)[number % len(self.runtime.protocols)],
            "procedure_at": zulu(now - timedelta(hours=3)),
            "discharged_at": zulu(now - timedelta(hours=1)),
            "on_blood_thinner": (True, False, None)[number % 3],
            "baseline_pain": number % 11,
            "consent": {"method": "written", "at": zulu(now - timedelta(hours=5))},
        }
        request = parse_request(values, now=now, protocols=self.runtime.protocols)
        with session_on(self.runtime.engine) as session:
            enroll(session, self.runtime, request, now=now, actor=STAFF[0])


def play(jobs: Sequence[Run], *, patients: int, days: int, seed: int) -> Iterator[str]:
    """Play ``days`` days of a clinic with ``patients`` patients; yields the lines of its account.

    The same seed gives the same counts. Shows progress on a terminal.
    """
    with TemporaryDirectory(prefix="aftercare-simulate-") as folder:
        clock = _Clock()
        settings = load_settings(
            database_url=f"sqlite:///{Path(folder) / 'simulated.sqlite3'}",
            carrier="simulator",
            public_url="http://127.0.0.1:8000",
            heartbeat_url=None,
            clinic_name="Made-up Spine Clinic",
            clinic_phone="312-555-0142",
            timezone="America/Chicago",
            clock_offset=0,
        )
        runtime = make_runtime(settings, clock=clock)
        try:
            upgrade(runtime.engine)
            adopt(runtime.engine, clock.now)
            end = START + timedelta(days=days)
            played = _Play(runtime, clock, jobs, Random(seed), end)
            _open(played, patients)
            _run_to_end(played)
            with reading(runtime.engine) as session:
                yield f"{patients} patients, {days} days, seed {seed}"
                yield from account(session, clock.now)
        finally:
            runtime.close()


def _open(played: _Play, patients: int) -> None:
    with session_on(played.runtime.engine) as session:
        for tier, email in enumerate(STAFF, start=1):
            accounts.add_member(
                session, now=START, email=email, name=email.split("@")[0].title(), role="nurse",
                phone=f"+1312555099{tier}", on_call=tier,
            )  # fmt: skip
    for number in range(patients):
        day = played.random.randrange(min(ENROLLED_WITHIN_DAYS, max(1, (played.end - START).days)))
        when = START + timedelta(days=day, minutes=played.random.randrange(480))
        played.at(when, lambda now, n=number: played.enroll(n, now))


def _run_to_end(played: _Play) -> None:
    total = (played.end - START).total_seconds()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Playing", total=total)
        while played.clock.now < played.end:
            played.step()
            progress.update(task, completed=(played.clock.now - START).total_seconds())


def account(session: Session, now: datetime) -> Iterator[str]:
    """What happened, one figure a line."""

    def number(question: Any) -> int:
        return int(session.exec(question).one())

    out = select(func.count()).select_from(SimulatedText).where(SimulatedText.direction == "out")
    yield f"texts that reached a phone: {number(out)}"
    yield f"replies: {number(select(func.count()).select_from(Reply))}"
    by = select(Escalation.urgency, func.count()).group_by(Escalation.urgency).order_by(Escalation.urgency)
    counted = ", ".join(f"{urgency} {many}" for urgency, many in session.exec(by))
    yield f"escalations: {counted or 'none'}"
    unresolved = select(func.count()).select_from(Escalation).where(Escalation.status != "resolved")
    yield f"escalations not resolved yet: {number(unresolved)}"
    yield f"doubles: {doubles(session)}"
    yield f"lost: {lost(session, now)}"


def doubles(session: Session) -> int:
    """Texts that reached a phone more than once."""
    again = (
        select(func.count() - 1)
        .where(SimulatedText.direction == "out", col(SimulatedText.message_id).is_not(None))
        .group_by(col(SimulatedText.message_id))
        .having(func.count() > 1)
    )
    return sum(session.exec(again))


def lost(session: Session, now: datetime) -> int:
    """Texts whose time is over without a fate, replies nobody read, red flags without an escalation."""
    silent_texts = select(func.count()).select_from(OutboundMessage)
    silent_texts = silent_texts.where(
        col(OutboundMessage.status).in_(("planned", "claimed", "unknown")),
        OutboundMessage.expires_at < now - LONGEST_STEP,
    )
    unread = select(func.count()).select_from(Reply).where(col(Reply.triaged_at).is_(None))
    told = select(Escalation.patient_id).where(col(Escalation.patient_id).is_not(None))
    untold = select(func.count()).select_from(Reply)
    untold = untold.where(col(Reply.urgency).in_(("urgent", "emergency")), col(Reply.patient_id).not_in(told))
    return sum(session.exec(question).one() for question in (silent_texts, unread, untold))
