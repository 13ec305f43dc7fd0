"""Playing a whole course in memory: the plan, the release decisions and triage are the real ones, only the
patient is made up. Nothing is stored or sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from messages.check_in import CheckIn
from messages.protocol import Protocol, reminder_of, text_of
from messages.schedule import (
    Expire,
    Facts,
    Go,
    PlannedCheckIn,
    QuietHours,
    Skip,
    Standing,
    Wait,
    decide,
    plan,
    reminder_at,
)
from messages.site import Site
from messages.triage import assess
from messages.urgency import Urgency
from messages.wording import standard_text

ANSWERED_AFTER = timedelta(minutes=11)
_ANSWERS = {
    "en": {"welcome": "OK", "symptoms": "NO", "blood_thinner": "YES", "bandage": "YES", "follow_up": "YES",
           "change": "BETTER", "general": "NO"},
    "es": {"welcome": "OK", "symptoms": "NO", "blood_thinner": "SI", "bandage": "SI", "follow_up": "SI",
           "change": "MEJOR", "general": "NO"},
}  # fmt: skip
_RED_FLAG = {
    "en": "my left foot is numb since last night",
    "es": "tengo el pie izquierdo dormido desde anoche",
}
_RED_FLAG_AT, _IGNORED = (
    "d14_symptoms",
    "d7_symptoms",
)  # one reply that needs a person; one question left alone
_SCORES = (5, 4, 4, 3, 2, 2, 1)
_TRIAGED = ("symptoms", "pain", "bandage", "blood_thinner", "general")
_BACK = {
    Urgency.EMERGENCY: "safety_emergency",
    Urgency.URGENT: "safety_urgent",
    Urgency.ROUTINE: "thanks_routine",
}


@dataclass(frozen=True)
class Moment:
    """One line of the rehearsal: ``who`` is ``clinic``, ``patient`` or ``note``; ``at`` aware."""

    at: datetime
    who: str
    text: str


@dataclass
class _Course:
    """What has happened so far; becomes a ``Standing`` whenever a text comes due."""

    last_text_at: datetime | None = None
    sent: dict[str, datetime] = field(default_factory=dict)
    answers: dict[str, datetime] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    scores: list[int] = field(default_factory=list)
    flagged_at: datetime | None = None

    def standing(self, now: datetime) -> Standing:
        return Standing(
            last_text_at=self.last_text_at,
            sent=self.sent,
            answered=frozenset(key for key, at in self.answers.items() if at <= now),
            closed=frozenset(self.closed),
            last_pain=self.scores[-1] if self.scores else None,
            flagged=self.flagged_at is not None and self.flagged_at <= now,
        )


def rehearsed(
    protocol: Protocol, facts: Facts, quiet: QuietHours, language: str, site: Site
) -> Iterator[Moment]:
    """The moments of one course in order of time."""
    course, moments = _Course(), list[Moment]()
    waiting = [(entry.due_at, entry) for entry in plan(protocol, facts, quiet, facts.enrolled_at)
               if entry.status == "planned"]  # fmt: skip
    course.closed = {each.key for each in protocol.check_ins} - {entry.check_in.key for _, entry in waiting}
    while waiting:
        waiting.sort(key=lambda each: (each[0], each[1].due_at))
        now, entry = waiting.pop(0)
        decision = decide(
            entry.check_in, entry.due_at, entry.expires_at, protocol, facts, course.standing(now), quiet, now
        )
        if isinstance(decision, Wait):
            answers = [at for at in course.answers.values() if now < at < decision.until]
            waiting.append((min([decision.until, *answers]), entry))
        elif isinstance(decision, Go):
            moments += _sent(entry, course, facts, quiet, language, site, now)
        else:
            course.closed.add(entry.check_in.key)
            moments += _unsent(entry, decision, now)
    yield from sorted(moments, key=lambda moment: moment.at)


def _sent(
    entry: PlannedCheckIn,
    course: _Course,
    facts: Facts,
    quiet: QuietHours,
    language: str,
    site: Site,
    now: datetime,
) -> Iterator[Moment]:
    check_in = entry.check_in
    course.sent[check_in.key] = course.last_text_at = now
    yield Moment(now, "clinic", text_of(check_in, language, site, facts.follow_up_on))
    if check_in.asks is None:
        return
    answered_at = now + ANSWERED_AFTER
    if check_in.key == _IGNORED and (again := reminder_at(check_in, now, facts, quiet)):
        yield Moment(again, "note", "No answer: the one reminder follows.")
        yield Moment(again, "clinic", reminder_of(check_in, language, site))
        answered_at = again + ANSWERED_AFTER
    course.answers[check_in.key] = answered_at
    yield from _answered(check_in, course, language, site, answered_at)


def _answered(
    check_in: CheckIn, course: _Course, language: str, site: Site, at: datetime
) -> Iterator[Moment]:
    if check_in.asks == "pain":
        course.scores.append(_SCORES[min(len(course.scores), len(_SCORES) - 1)])
        text = str(course.scores[-1])
    elif check_in.key == _RED_FLAG_AT:
        text = _RED_FLAG[language]
    else:
        text = _ANSWERS[language][check_in.asks or ""]
    yield Moment(at, "patient", text)
    if check_in.asks not in _TRIAGED:
        return
    urgency = assess(text, check_in.asks, language).urgency
    if urgency is Urgency.NONE:
        return
    if urgency >= Urgency.URGENT:
        course.flagged_at = at
    yield Moment(at, "note", f"Triage: {urgency}. A person of the care team is told.")
    back = standard_text(_BACK[urgency], language, clinic=site.clinic_name, phone=site.clinic_phone)
    yield Moment(at, "clinic", back)


def _unsent(entry: PlannedCheckIn, decision: Skip | Expire, now: datetime) -> Iterator[Moment]:
    if isinstance(decision, Expire):
        yield Moment(now, "note", f"Not sent: {entry.check_in.key}: {decision.why}.")
