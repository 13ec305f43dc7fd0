"""Rules and learned reader, put together so that the result always fails towards a person."""

import importlib
from functools import cache
from typing import Protocol

from messages.triage.answers import yes_or_no
from messages.triage.assessment import Assessment, Context, Finding, RuleReading, Weight
from messages.triage.catalogue import catalogue
from messages.triage.rules import read_rules
from messages.urgency import Urgency, worst

WORDS_LEFT = 5


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
        self,
        text: str,
        asked: str | None,
        language: str | None,
        findings: tuple[Finding, ...],
        features: tuple[str, ...],
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

    ``asked`` is the key of the last question put to the patient, ``language`` the enrollment's (both
    languages are always read). ``context`` may only raise the result. An error inside is ``routine`` and not
    understood.
    """
    try:
        rules = read_rules(text, asked, language, context)
    except Exception:  # promise: triage fails towards a human
        return Assessment(Urgency.ROUTINE, False, (), None, _version())
    weigh = _learned_reader()
    if weigh is None:
        return _with_unsure(rules)
    try:
        if yes_or_no(text) is not None:  # a bare yes or no means what the question makes of it, nothing more
            return _assessment(rules, rules.urgency, rules.understood, ())
        reading = weigh(text, asked, language, rules.findings, rules.features)
        urgency = Urgency(reading.urgency)
        if urgency is Urgency.EMERGENCY and _told_whole(text, rules):
            urgency = Urgency.URGENT
        return combine(rules, urgency, reading.is_none, reading.weighed)
    except Exception:
        return _with_unsure(rules)


def combine(rules: RuleReading, urgency: Urgency, quiet: bool, weighed: tuple[Weight, ...]) -> Assessment:
    """The more serious of both. Words the rules were unsure of count when the reader raises too; its
    ``none`` counts only where no rule knew the text."""
    if urgency >= Urgency.URGENT:
        return _assessment(rules, worst(urgency, _unsure_urgency(rules)), True, weighed, rules.unsure)
    unknown = not rules.understood and all(finding.status == "denied" for finding in rules.findings)
    if unknown and quiet and urgency is Urgency.NONE:
        return Assessment(Urgency.NONE, True, rules.findings, rules.answer, _version(), weighed)
    return _assessment(rules, urgency, rules.understood, weighed)


def _told_whole(text: str, rules: RuleReading) -> bool:
    """Whether what the rules found urgent is nearly all that was said ("my foot is numb"): then no words are
    left that could make it an emergency, and the reader's weighing of the same words does not."""
    if rules.urgency is not Urgency.URGENT:
        return False
    left = text
    for finding in rules.findings:
        if finding.status == "present":
            left = left.replace(finding.words, " ")
    return len(left.split()) <= WORDS_LEFT


def _with_unsure(rules: RuleReading) -> Assessment:
    """The rules without a learned reader beside them: every word they were unsure of counts."""
    raised = _unsure_urgency(rules)
    return _assessment(rules, raised, rules.understood or raised > Urgency.NONE, (), rules.unsure)


def _unsure_urgency(rules: RuleReading) -> Urgency:
    return worst(*(finding.urgency for finding in rules.unsure))


def _assessment(
    rules: RuleReading,
    urgency: Urgency,
    understood: bool,
    weighed: tuple[Weight, ...],
    unsure: tuple[Finding, ...] = (),
) -> Assessment:
    urgency = worst(rules.urgency, urgency)
    if urgency is Urgency.NONE and not understood:
        urgency = Urgency.ROUTINE
    findings = tuple(sorted((*rules.findings, *unsure), key=lambda finding: (finding.start, finding.end)))
    return Assessment(urgency, understood, findings, rules.answer, _version(), weighed)


def _version() -> str:
    try:
        return catalogue().version
    except Exception:
        return "unreadable"
