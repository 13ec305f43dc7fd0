"""Rules and learned reader, put together so that the result always fails towards a person."""

import importlib
import re
from dataclasses import replace
from functools import cache
from typing import Protocol

from messages.reply import reaction_to
from messages.triage.answers import yes_or_no
from messages.triage.assessment import Assessment, Context, Finding, RuleReading, Weight
from messages.triage.catalogue import catalogue
from messages.triage.rules import read_rules
from messages.urgency import Urgency, worst

WORDS_LEFT = 5
MOST_PIECES = 4
MAIN_CLAUSE = 0.5
CLAUSE_END = re.compile(r"[.,;:!?\n]+\s*")
WORD = re.compile(r"\w+")
COURTESY = frozenset(
    (
        "ok okay k hi hello hey hiya dear good morning afternoon evening thanks thank you thx ty tysm many "
        "again so much a lot bye goodbye please pls plz call me ring let know doc doctor dr nurse there god "
        "bless take care sorry and hola buenos buenas dias días tardes noches oiga señorita senorita "
        "doctora gracias muchas mil por favor porfa fa llámeme llameme llámenme llamenme saludos "
        "bendiciones adios adiós dios los bendiga"
    ).split()
)


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
        rules = _read_twice(text, asked, language, context)
    except Exception:  # promise: triage fails towards a human
        return Assessment(Urgency.ROUTINE, False, (), None, _version())
    weigh = _learned_reader()
    if weigh is None:
        return _with_unsure(rules)
    try:
        if yes_or_no(text) is not None:  # a bare yes or no means what the question makes of it, nothing more
            return _assessment(rules, rules.urgency, rules.understood, ())
        reading = weigh(text, asked, language, rules.findings, rules.features)
        urgency, quiet, weighed = Urgency(reading.urgency), reading.is_none, reading.weighed
        quiet = quiet and reaction_to(text) is None  # a thumb on our question denies nothing
        if urgency < Urgency.URGENT:
            urgency, quiet, weighed = _piece_by_piece(text, asked, language, rules, weigh, quiet, weighed)
        if urgency is Urgency.EMERGENCY and _told_whole(text, rules):
            urgency = Urgency.URGENT
        return combine(rules, urgency, quiet, weighed)
    except Exception:
        return _with_unsure(rules)


def _read_twice(text: str, asked: str | None, language: str | None, context: Context | None) -> RuleReading:
    """The rules on the text and on the text without its courtesies: "collapsed, thanks" is "collapsed"."""
    rules = _as_denial(read_rules(text, asked, language, context), text, asked, language, context)
    bare = without_courtesy(text)
    if bare == text:
        return rules
    again = read_rules(bare, asked, language, context)
    if again.urgency <= rules.urgency:
        return rules
    moved = []
    for finding in again.findings:
        start = text.find(finding.words)
        if start >= 0:
            moved.append(replace(finding, start=start, end=start + len(finding.words)))
    return replace(rules, urgency=again.urgency, understood=again.understood, findings=tuple(moved))


def _as_denial(
    rules: RuleReading, text: str, asked: str | None, language: str | None, context: Context | None
) -> RuleReading:
    """ "No numbness or tingling" says the same unprompted as in answer to the symptoms question, where a list
    of denials with nothing unknown left in it needs nobody."""
    denied = bool(rules.findings) and all(finding.status == "denied" for finding in rules.findings)
    if rules.understood or asked not in (None, "general") or not denied or _unsure_present(rules):
        return rules
    again = read_rules(text, "symptoms", language, context)
    still_denied = all(finding.status == "denied" for finding in again.findings)
    if again.urgency is Urgency.NONE and again.understood and still_denied and not _unsure_present(again):
        return replace(again, answer=None)
    return rules


def without_courtesy(text: str) -> str:
    """``text`` without the clauses that only greet, thank or ask for a call; the text itself when nothing is
    left then."""
    clauses = [clause.strip() for clause in CLAUSE_END.split(text) if clause.strip()]
    kept = [clause for clause in clauses if not COURTESY.issuperset(WORD.findall(clause.lower()))]
    return ", ".join(kept) if kept and len(kept) < len(clauses) else text


def _piece_by_piece(
    text: str,
    asked: str | None,
    language: str | None,
    rules: RuleReading,
    weigh: Weigh,
    quiet: bool,
    weighed: tuple[Weight, ...],
) -> tuple[Urgency, bool, tuple[Weight, ...]]:
    """What the reader says of the parts, where it raised nothing over the whole text.

    A reader that weighs all words together can be talked out of "cant walk" by ", thanks". So each clause
    with words the rules were unsure of, where it is the main part, is read alone, and so is the text
    without its courtesies.
    """
    urgency = Urgency.NONE
    for piece in pieces(text, rules.unsure):
        reading = weigh(piece, asked, language, (), ())
        quiet = quiet and reading.is_none
        if Urgency(reading.urgency) > urgency:
            urgency, weighed = Urgency(reading.urgency), reading.weighed
    return urgency, quiet, weighed


def pieces(text: str, unsure: tuple[Finding, ...]) -> list[str]:
    """The clauses that hold unsure words, and the text without clauses of mere courtesy, when these differ
    from the text itself. At most MOST_PIECES, so that reading stays linear."""
    clauses = [clause.strip() for clause in CLAUSE_END.split(text) if clause.strip()]
    found = [
        clause
        for clause in clauses
        if len(clause) >= MAIN_CLAUSE * len(text) and any(finding.words in clause for finding in unsure)
    ]
    bare = without_courtesy(text)
    return [piece for piece in dict.fromkeys([bare, *found]) if piece != text][:MOST_PIECES]


def combine(rules: RuleReading, urgency: Urgency, quiet: bool, weighed: tuple[Weight, ...]) -> Assessment:
    """The more serious of both. Words the rules were unsure of count when the reader raises too; its
    ``none`` counts only where no rule knew the text."""
    if urgency >= Urgency.URGENT:
        return _assessment(rules, worst(urgency, _unsure_urgency(rules)), True, weighed, rules.unsure)
    unknown = not rules.understood and all(finding.status == "denied" for finding in rules.findings)
    if unknown and quiet and urgency is Urgency.NONE and not _unsure_present(rules):
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


def _unsure_present(rules: RuleReading) -> bool:
    return any(finding.status == "present" for finding in rules.unsure)


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
