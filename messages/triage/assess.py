"""Rules and learned reader, put together so that the result always fails towards a person."""

import importlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from messages.reply import reaction_to
from messages.triage.answers import yes_or_no
from messages.triage.assessment import Assessment, Context, Finding, RuleReading, Weight
from messages.triage.catalogue import catalogue
from messages.triage.clauses import COURTESY, WORD, clauses, main_pieces, without_courtesy
from messages.triage.rules import read_rules
from messages.urgency import Urgency, worst

WORDS_LEFT = 5
NOT_NOW = ("denied", "other_person", "past")
"""What the rules may have found in a text that is left to nobody: the mule's lame leg, a fall in 1998."""
SCENE_WORDS = 5
"""Words beside those of the rules that make an image of them."""
LEANS, ALONE, LOUD, CHATTER, DOUBTED = -0.5, 0.25, 2.25, -8.0, -2.0
"""Log-odds from where the reader calls a text urgent: nearly so; too much in a clause for the text to be left
to nobody; so plainly that a clause speaks for all; so far below that no clause does; too much in a clause
that holds words the rules were unsure of."""


class Reading(Protocol):
    """What the learned reader returns."""

    @property
    def urgency(self) -> Urgency: ...
    @property
    def is_none(self) -> bool: ...
    @property
    def weighed(self) -> tuple[Weight, ...]: ...
    @property
    def margin(self) -> float: ...
    @property
    def harmless(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What the reader makes of the whole text and of its parts. ``quiet``: nobody needs to read it."""

    urgency: Urgency
    quiet: bool
    weighed: tuple[Weight, ...] = ()
    leans: bool = False
    harmless: bool = False


class Weigh(Protocol):
    def __call__(self, text: str, asked: str | None, language: str | None) -> Reading: ...


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
        heard = _hear(text, asked, language, rules, weigh)
        image = as_image(rules) if heard.harmless else rules
        if image is not rules and _is_scene(text, asked, language, rules, weigh):
            rules = image
        if heard.urgency is Urgency.EMERGENCY and _told_whole(text, rules):
            heard = replace(heard, urgency=Urgency.URGENT)
        opened = heard.quiet and _leaves_open(rules, heard.harmless)
        if opened and _speaks_up(text, asked, language, rules, weigh):
            heard = replace(heard, quiet=False)
        return combine(rules, heard)
    except Exception:
        return _with_unsure(rules)


def _read_twice(text: str, asked: str | None, language: str | None, context: Context | None) -> RuleReading:
    """The rules on the text and on the text without its courtesies: "collapsed, thanks" is "collapsed"."""
    rules = _as_denial(read_rules(text, asked, language, context), text, asked, language, context)
    bare = without_courtesy(text)
    if bare == text or rules.urgency is Urgency.EMERGENCY:
        return rules
    again = read_rules(bare, asked, language, context)
    moved = []
    for finding in again.findings:  # words that only met because a courtesy between them went say nothing
        start = text.find(finding.words)
        if start >= 0:
            moved.append(replace(finding, start=start, end=start + len(finding.words)))
    if worst(*(finding.urgency for finding in moved)) <= rules.urgency:
        return rules
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


def _hear(text: str, asked: str | None, language: str | None, rules: RuleReading, weigh: Weigh) -> Heard:
    """What the reader says of the whole text and, where it raised nothing there, of its parts.

    A reader that weighs all words together can be talked out of "cant walk" by ", thanks" or a happy day.

    1. The text without its courtesies, and a main clause with words the rules were unsure of, count like the
       whole text.
    2. Where the rules noticed anything, every clause is read alone (not in mere CHATTER): it raises when
       it is LOUD, and the rules' unsure words in it count when it sounds like a red flag.
    """
    reading = weigh(text, asked, language)
    quiet = reading.is_none and reaction_to(text) is None  # a thumb on our question denies nothing
    heard = Heard(Urgency(reading.urgency), quiet, reading.weighed, reading.margin >= LEANS, reading.harmless)
    if heard.urgency >= Urgency.URGENT:
        return heard
    whole = reading.margin
    main = main_pieces(text, rules.unsure)
    for piece in main:
        reading = weigh(piece, asked, language)
        if Urgency(reading.urgency) > heard.urgency:
            heard = replace(heard, urgency=Urgency(reading.urgency), weighed=reading.weighed)
        heard = replace(
            heard, quiet=heard.quiet and reading.is_none, leans=heard.leans or reading.margin >= LEANS
        )
    if heard.urgency >= Urgency.URGENT or not _noticed(rules) or (whole < CHATTER and not rules.unsure):
        return heard
    for clause in clauses(text):
        reading = weigh(clause, asked, language)
        if reading.margin >= LOUD:
            return replace(heard, urgency=Urgency(reading.urgency), weighed=reading.weighed)
        if reading.margin >= LEANS and any(finding.words in clause for finding in rules.unsure):
            leans = heard.leans or (reading.margin >= 0 and whole >= CHATTER)
            heard = replace(heard, leans=leans, harmless=False)
    return heard


def _speaks_up(text: str, asked: str | None, language: str | None, rules: RuleReading, weigh: Weigh) -> bool:
    """Whether a clause, read alone, forbids leaving the text to nobody: it sounds like a red flag ("911" in a
    happy text), or holds words the rules were unsure of and is not plainly harmless ("fever" between bingo
    and the weather)."""
    doubted = [one.words for one in rules.unsure if one.status == "present"]
    for clause in clauses(text, words=1):
        reading = weigh(clause, asked, language)
        if reading.margin >= ALONE or (reading.margin >= DOUBTED and any(one in clause for one in doubted)):
            return True
    return False


def _noticed(rules: RuleReading) -> bool:
    """Whether the rules saw anything that could matter, if only below the level at which one fires."""
    return bool(rules.unsure or rules.findings or rules.hinted)


def as_image(rules: RuleReading) -> RuleReading:
    """The rules where the reader is all but certain that nothing is wrong: images that people also use for
    films, weather and engines ("fell asleep in the chair") are read by a person tomorrow. Never ``none``; a
    number or one finding that is no such image keeps them all."""
    serious = [finding for finding in rules.findings if finding.urgency >= Urgency.URGENT]
    known = catalogue().figurative
    if not serious or any(one.rule not in known or one.status != "present" for one in serious):
        return rules
    if any(letter.isdigit() for one in serious for letter in one.words):  # a score or a temperature is none
        return rules
    if rules.urgency > worst(*(one.urgency for one in serious)):
        return rules
    findings = tuple(
        replace(one, status="hypothetical", urgency=Urgency.ROUTINE) if one in serious else one
        for one in rules.findings
    )
    return replace(rules, urgency=Urgency.ROUTINE, understood=False, findings=findings)


def _is_scene(text: str, asked: str | None, language: str | None, rules: RuleReading, weigh: Weigh) -> bool:
    """Whether enough is told beside the rules' words to make them an image of something, and the clause that
    holds them does not sound like a red flag when read alone ("Bingo, cake, the grandkids. Foot numb.")."""
    words = {one.words for one in rules.findings if one.urgency >= Urgency.URGENT}
    left = text.lower()
    for some in words:
        left = left.replace(some.lower(), " ")
    if len([word for word in WORD.findall(left) if word not in COURTESY]) < SCENE_WORDS:
        return False
    holding = [one for one in clauses(text, words=1) or [text] if any(some in one for some in words)]
    return not any(weigh(one, asked, language).margin >= LEANS for one in holding)


def combine(rules: RuleReading, heard: Heard) -> Assessment:
    """The more serious of both. Words the rules were unsure of count when the reader raises or ``leans``
    towards it, and stand in the way of ``none`` unless it is all but certain that they are ``harmless``; its
    ``none`` counts only where no rule knew the text."""
    unsure = _unsure_urgency(rules)
    if heard.urgency >= Urgency.URGENT or (heard.leans and unsure >= Urgency.URGENT):
        return _assessment(rules, worst(heard.urgency, unsure), True, heard.weighed, rules.unsure)
    if heard.quiet and heard.urgency is Urgency.NONE and _leaves_open(rules, heard.harmless):
        return Assessment(Urgency.NONE, True, rules.findings, rules.answer, _version(), heard.weighed)
    return _assessment(rules, heard.urgency, rules.understood, heard.weighed)


def _leaves_open(rules: RuleReading, harmless: bool) -> bool:
    """Whether the rules know nothing of the text that a person should see. What they found in somebody else
    or long ago, and words they were unsure of, need a reader that is all but certain."""
    if not harmless and _unsure_present(rules):
        return False
    if harmless and rules.findings and all(finding.status in NOT_NOW for finding in rules.findings):
        return True
    return not rules.understood and all(finding.status == "denied" for finding in rules.findings)


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
