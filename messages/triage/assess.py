"""Rules and learned reader, put together so that the result always fails towards a person."""

import importlib
from functools import cache
from typing import Protocol

from messages.triage.assessment import Answer, Assessment, Context, Finding, RuleReading, Weight
from messages.triage.catalogue import catalogue
from messages.triage.rules import read_rules
from messages.urgency import Urgency, worst


class Reading(Protocol):
    """What the learned reader returns."""

    @property
    def urgency(self) -> Urgency: ...
    @property
    def is_none(self) -> bool: ...
    @property
    def weighed(self) -> tuple[Weight, ...]: ...


class Weigh(Protocol):
    def __call__(
        self, text: str, asked: str | None, language: str | None, findings: tuple[Finding, ...]
    ) -> Reading: ...


@cache
def _learned_reader() -> Weigh | None:
    try:
        return importlib.import_module("messages.triage.reader").weigh  # type: ignore[no-any-return]
    except Exception:  # a reader that cannot load must never stop the rules
        return None


def assess(
    text: str, asked: str | None = None, language: str | None = None, context: Context | None = None
) -> Assessment:
    """How fast a person must look at ``text``, and why. Never raises.

    ``asked`` is the key of the last question put to the patient, ``language`` the enrollment's (both languages are
    always read). ``context`` may only raise the result. An error inside is ``routine`` and not understood.
    """
    try:
        rules = read_rules(text, asked, language, context)
    except Exception:  # promise: triage fails towards a human
        return Assessment(Urgency.ROUTINE, False, (), None, _version())
    weigh = _learned_reader()
    if weigh is None:
        return _assessment(rules.urgency, rules.understood, rules, ())
    try:
        reading = weigh(text, asked, language, rules.findings)
        urgency, weighed, quiet = Urgency(reading.urgency), reading.weighed, reading.is_none
    except Exception:
        return _assessment(worst(rules.urgency, Urgency.ROUTINE), rules.understood, rules, ())
    return combine(rules, urgency, quiet, weighed)


def combine(rules: RuleReading, urgency: Urgency, quiet: bool, weighed: tuple[Weight, ...]) -> Assessment:
    """The more serious of both; the reader's ``none`` counts only where no rule knew the text."""
    unknown = not rules.understood and all(finding.status == "denied" for finding in rules.findings)
    if unknown and quiet and urgency is Urgency.NONE:
        return _assessment(Urgency.NONE, True, rules, weighed)
    result = worst(rules.urgency, urgency)
    return _assessment(result, rules.understood or urgency > Urgency.ROUTINE, rules, weighed)


def _assessment(
    urgency: Urgency, understood: bool, rules: RuleReading, weighed: tuple[Weight, ...]
) -> Assessment:
    if urgency is Urgency.NONE and not understood:
        urgency = Urgency.ROUTINE
    answer: Answer | None = rules.answer
    return Assessment(urgency, understood, rules.findings, answer, _version(), weighed)


def _version() -> str:
    try:
        return catalogue().version
    except Exception:
        return "unreadable"
