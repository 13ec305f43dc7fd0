"""The demonstration: a sample clinic whose past was really played, on a database that is thrown away.

Nothing is inserted behind the use cases' back: patients are enrolled at their time, texts go through the
outbox and the simulated carrier, answers come in through the inbox and are triaged, members act. Only the
clock is put back meanwhile.
"""

import atexit
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, func, select

from service import accounts, dispatch, escalations, inbox
from service.carriers.simulator import SimulatorCarrier
from service.db import session_on, upgrade
from service.demo_clock import DemoClock
from service.enrollment_request import parse_request
from service.enrollments import enroll
from service.index_keys import adopt
from service.models import Enrollment, Escalation, OutboundMessage, Patient, PlanItem, Reply
from service.runtime import Runtime, make_runtime
from service.settings import load_settings

CLINIC = Path(__file__).parent / "demo_clinic.toml"
Run = Callable[[Runtime, datetime], Mapping[str, int]]

STEPS = (
    "You are Kim, the nurse on call. The queue below holds people who need a call now: open one and see why.",
    "Open the phone of Maria Alvarez under Phones and answer as she might: “tengo dormida la pierna”.",
    "Watch the queue: her words arrive within a second, the red flag marked, and a page goes to Kim's phone.",
    "Acknowledge, record the call, resolve. Every step is on the timeline of the escalation.",
)
ANSWERS = {
    "en": {"welcome": "ok", "symptoms": "no", "blood_thinner": "yes", "bandage": "yes", "follow_up": "yes",
           "change": "better", "general": "no thanks, all good"},
    "es": {"welcome": "ok", "symptoms": "no", "blood_thinner": "si", "bandage": "si", "follow_up": "si",
           "change": "mejor", "general": "no gracias, todo bien"},
}  # fmt: skip
RECENT = timedelta(hours=30)
ONLY_LATELY = ("page_on_call", "settle_unknown")
NIGHT = "sam@lakeside.example"
ANSWERED_AFTER = timedelta(minutes=11)


@dataclass(frozen=True)
class Welcome:
    """What the sign-in page and the queue tell a newcomer."""

    email: str
    password: str
    steps: Sequence[str]


def open_demo(
    *, port: int, speed: float = 1, jobs: Mapping[str, Run] | None = None, folder: Path | None = None
) -> tuple[Runtime, str]:
    """A runtime on a fresh sample clinic, and the words to print. ``jobs``: what time passing does (silence,
    pages), by name. The database is thrown away at exit unless ``folder`` is given."""
    place = folder or Path(mkdtemp(prefix="aftercare-demo-"))
    if folder is None:
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    clock = DemoClock(speed)
    clinic = tomllib.loads(CLINIC.read_text(encoding="utf-8"))
    runtime = _runtime(place, port, clock)
    _Past(runtime, clock, clinic, jobs or {}).play()
    clock.start()
    first = clinic["member"][0]
    runtime.welcome = Welcome(first["email"], clinic["password"], STEPS)
    address = runtime.settings.public_url
    words = (
        f"\n  Aftercare demonstration: {address}\n"
        f"  Sign in:  {first['email']}   password: {clinic['password']}\n"
        f"  Phones:   {address}/phones  (write as a patient, no sign-in needed on this machine)\n"
        + (f"  The clock runs {speed:g} times as fast.\n" if speed != 1 else "")
        + "  Stop with Ctrl-C; the sample clinic is thrown away.\n"
    )
    return runtime, words


def _runtime(place: Path, port: int, clock: DemoClock) -> Runtime:
    settings = load_settings(
        database_url=f"sqlite:///{place / 'demo.sqlite3'}",
        carrier="simulator",
        public_url=f"http://127.0.0.1:{port}",
        secret_key=token_hex(32),
        clinic_name="Lakeside Spine Center",
        clinic_phone="312-555-0142",
        timezone="America/Chicago",
        quiet_hours="none",  # a newcomer may come at night: the welcome must not wait for the morning
        clock_offset=0,
    )
    runtime = make_runtime(settings, clock=clock)
    upgrade(runtime.engine)
    adopt(runtime.engine, runtime.clock())
    return runtime


class _Past:
    """Plays the clinic's past in order of time: enrollments, due texts, answers, acts."""

    def __init__(
        self, runtime: Runtime, clock: DemoClock, clinic: Mapping[str, Any], jobs: Mapping[str, Run]
    ) -> None:
        self.runtime, self.clock, self.clinic, self.jobs = runtime, clock, clinic, jobs
        self.present = clock()
        self.ahead: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self.order = count()
        self.scores: dict[str, list[int]] = {}
        self.people: dict[str, Mapping[str, Any]] = {}
        self.asked: set[str] = set()

    def at(self, when: datetime, act: Callable[[datetime], None]) -> None:
        if when <= self.present:
            heappush(self.ahead, (when, next(self.order), act))

    def play(self) -> None:
        self.clock.put(self.present - timedelta(days=60))
        self._members()
        for person in self.clinic["patient"]:
            self._expect(person)
        for stranger in self.clinic.get("stranger", ()):
            when = self.present - timedelta(minutes=stranger["minutes_ago"])
            self.at(when, lambda now, s=stranger: self._write(s["phone"], s["text"], now))
        while (when := self._next()) is not None:
            self.clock.put(when)
            while self.ahead and self.ahead[0][0] <= when:
                heappop(self.ahead)[2](when)
            later = when + timedelta(seconds=4)  # what we answer comes after what was said
            self.clock.put(later)
            self._pass_time(later)
        self.clock.put(self.present)

    def _members(self) -> None:
        now = self.clock()
        with session_on(self.runtime.engine) as session:
            for row in self.clinic["member"]:
                accounts.add_member(
                    session, now=now, email=row["email"], name=row["name"], role=row["role"],
                    phone=row.get("phone"), on_call=row.get("tier"), password=self.clinic["password"],
                )  # fmt: skip

    def _expect(self, person: Mapping[str, Any]) -> None:
        self.people[person["phone"]] = person
        self.scores[person["phone"]] = list(person["pain"])
        done = self._procedure_at(person)
        self.at(done + timedelta(minutes=70), lambda now: self._enroll(person, done, now))
        for said in person.get("says", ()):
            when = self.present - timedelta(minutes=said["minutes_ago"])
            self.at(when, lambda now, s=said: self._say(person, s, now))

    def _procedure_at(self, person: Mapping[str, Any]) -> datetime:
        if "hours_ago" in person:
            return self.present - timedelta(hours=person["hours_ago"])
        zone = ZoneInfo(person["timezone"])
        day = self.present.astimezone(zone).date() - timedelta(days=person["days_ago"])
        return datetime.combine(day, time.fromisoformat(person["at"]), zone).astimezone(self.present.tzinfo)

    def _enroll(self, person: Mapping[str, Any], done: datetime, now: datetime) -> None:
        given = ("name", "phone", "timezone", "language", "caregiver_phone")
        patient = {key: person[key] for key in given if key in person}
        patient["caregiver_consent"] = "caregiver_phone" in person
        values = {
            "patient": patient,
            "protocol": person["protocol"],
            "procedure_at": done.isoformat(),
            "discharged_at": (done + timedelta(hours=1)).isoformat(),
            "on_blood_thinner": person.get("on_blood_thinner"),
            "baseline_pain": person["baseline_pain"],
            "levels": person["levels"],
            "sedation": "conscious",
            "consent": {"method": "written", "at": (done - timedelta(hours=3)).isoformat()},
        }
        request = parse_request(values, now=now, protocols=self.runtime.protocols)
        with session_on(self.runtime.engine) as session:
            enroll(session, self.runtime, request, now=now, actor="kim@lakeside.example")

    def _next(self) -> datetime | None:
        """The next time at which anything happens, at least a minute on."""
        with session_on(self.runtime.engine) as session:
            due = session.exec(
                select(func.min(OutboundMessage.due_at)).where(OutboundMessage.status == "planned")
            ).one()
            silent = session.exec(select(func.min(PlanItem.silent_at)).where(PlanItem.status == "sent")).one()
        now = self.clock()
        # Long ago a coarse clock will do; the last hours are played to the minute.
        step = timedelta(minutes=15 if self.present - now > RECENT else 1)
        times = [max(when, now + step) for when in (due, silent) if when is not None]
        times += [max(self.ahead[0][0], now)] if self.ahead else []
        return min((when for when in times if when <= self.present), default=None)

    def _pass_time(self, now: datetime) -> None:
        dispatch.send_due(self.runtime, now)
        is_recent = self.present - now < RECENT
        for name in ("flag_silence", *(ONLY_LATELY if is_recent else ())):
            if name in self.jobs:
                self.jobs[name](self.runtime, now)
        if not is_recent:
            self._clear(now)
        with session_on(self.runtime.engine) as session:
            fresh = session.exec(
                select(PlanItem, Patient, Enrollment)
                .join(Enrollment, col(Enrollment.id) == PlanItem.enrollment_id)
                .join(Patient, col(Patient.id) == Enrollment.patient_id)
                .where(PlanItem.status == "sent", col(PlanItem.asks).is_not(None))
            ).all()
        for item, patient, course in fresh:
            if item.id not in self.asked:
                self.asked.add(item.id)
                self._answer_later(item, patient, course, now)

    def _clear(self, now: datetime) -> None:
        """What came up long ago was dealt with by the team of that day, within the hour."""
        with session_on(self.runtime.engine) as session:
            waiting = session.exec(
                select(Escalation.id).where(
                    Escalation.status == "open", Escalation.opened_at < now - timedelta(minutes=20)
                )
            ).all()
            for escalation_id in waiting:
                given = {
                    "now": now,
                    "site": self.runtime.site,
                    "escalation_id": escalation_id,
                    "actor": NIGHT,
                }
                escalations.acknowledge(session, **given)
                escalations.contact(session, **given, method="phone")
                escalations.resolve(session, **given, disposition="advice_given", note="Called; doing well.")

    def _answer_later(self, item: PlanItem, patient: Patient, course: Enrollment, now: datetime) -> None:
        person = self.people[patient.phone]
        day = (now - course.procedure_at) / timedelta(days=1)
        if day >= person.get("silent_from", 1000):
            return
        # Whoever wrote something alarming a moment ago has left the questions after it unanswered.
        spoke = [self.present - timedelta(minutes=said["minutes_ago"]) for said in person.get("says", ())]
        when = now + ANSWERED_AFTER
        if any(at - timedelta(minutes=30) <= when for at in spoke):
            return
        words = self._words(item.asks or "", patient)
        self.at(when, lambda at: self._write(patient.phone, words, at))

    def _words(self, asks: str, patient: Patient) -> str:
        if asks == "pain":
            scores = self.scores[patient.phone]
            return str(scores.pop(0) if len(scores) > 1 else (scores[0] if scores else 2))
        return ANSWERS[patient.language].get(asks, "ok")

    def _write(self, phone: str, text: str, now: datetime, picture: str = "") -> Reply:
        carrier = self.runtime.carrier
        if not isinstance(carrier, SimulatorCarrier):
            raise TypeError("the demonstration runs on the simulated carrier only")
        pictures = [(CLINIC.parent / picture).read_bytes()] if picture else []
        arrived = carrier.receive(phone, text, pictures)
        with session_on(self.runtime.engine) as session:
            reply, _ = inbox.receive(
                session, now=now, carrier_sid=arrived.carrier_sid, from_phone=phone,
                to_phone=carrier.sender, body=text, media=[{"url": None, "type": None} for _ in pictures],
            )  # fmt: skip
        inbox.triage_reply(self.runtime, reply.id, now)
        return reply

    def _say(self, person: Mapping[str, Any], said: Mapping[str, Any], now: datetime) -> None:
        self._write(person["phone"], said["text"], now, said.get("picture", ""))
        later = now
        for name, minutes in (("acknowledged", 3), ("contacted", 6), ("disposition", 30)):
            if name in said:
                later += timedelta(minutes=minutes)
                self.at(later, lambda at, step=name: self._act(person["phone"], step, said, at))

    def _act(self, phone: str, step: str, said: Mapping[str, Any], now: datetime) -> None:
        with session_on(self.runtime.engine) as session:
            item = self._escalation(session, phone)
            if item is None:
                return
            site, actor = self.runtime.site, said["acknowledged"]
            given = {"now": now, "site": site, "escalation_id": item.id, "actor": actor}
            if step == "acknowledged":
                escalations.acknowledge(session, **given)
            elif step == "contacted":
                escalations.contact(session, **given, method=said["contacted"], note=said["note"])
            else:
                escalations.resolve(session, **given, disposition=said["disposition"], note=said["note"])

    def _escalation(self, session: Session, phone: str) -> Escalation | None:
        return session.exec(
            select(Escalation)
            .join(Patient, col(Patient.id) == Escalation.patient_id)
            .where(Patient.phone == phone, Escalation.kind == "clinical", Escalation.status != "resolved")
            .order_by(col(Escalation.opened_at).desc())
        ).first()
