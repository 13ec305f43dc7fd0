"""Reading a text with the rules of the catalogue: the half of triage that can always say why.

1. Our own words are blanked, the rest is cut into words.
2. Patterns of the catalogue are found; surroundings give each its status (denied, gone, someone else's ...).
3. Numbers are read: temperatures, scores, changes of score, the answer to the question asked.
4. The most serious of all decides. ``none`` only where the text is positively known to need nobody.
"""

from dataclasses import replace

from messages.reply import reaction_to, strip_own_words
from messages.triage import numbers
from messages.triage.answers import opens_with, read_answer, yes_or_no
from messages.triage.assessment import Answer, Context, Finding, RuleReading
from messages.triage.catalogue import catalogue
from messages.triage.heat import temperatures
from messages.triage.match import Matches, match_all
from messages.triage.quiet import is_quiet
from messages.triage.raising import raised
from messages.triage.scope import Hit, settle
from messages.triage.tokens import cut
from messages.urgency import Urgency, worst


def read_rules(
    text: str, asked: str | None = None, language: str | None = None, context: Context | None = None
) -> RuleReading:
    """What the rules alone make of ``text``. Raises CatalogueError when the catalogue cannot be read.

    Both languages are always read: ``language`` is the enrollment's, and people mix.
    """
    known = catalogue()
    own = strip_own_words(text)
    if own != text and (reaction_to(text) or not own.strip()):
        return _reaction(text, asked)
    tokens = cut(own, known.merges, known.fillers)
    matches = match_all(tokens, asked, language)
    findings, unsure = _findings(matches, text, asked)
    heat = temperatures(own, asked)
    findings += numbers.fever_findings(heat, text)
    answer = read_answer(own, asked, heat)
    findings += numbers.pain_findings(own, text, asked, answer, matches)
    findings = [_with_owner(finding, matches) for finding in findings]
    findings += _yes_to_symptoms(own, text, asked, answer, findings, matches)
    findings = _tidy(findings)
    if context is not None:
        findings, answer_urgency = raised(findings, answer, context)
    else:
        answer_urgency = Urgency.NONE
    urgency, understood = _decide(own, asked, findings, answer, matches)
    if answer_urgency > urgency:
        urgency, understood = answer_urgency, True
    hinted = "hint" in matches.found
    return RuleReading(urgency, understood, tuple(findings), answer, hinted, tuple(_tidy(unsure)))


def _with_owner(finding: Finding, matches: Matches) -> Finding:
    """A number that is someone else's ("mi nieto trae 39") or only supposed is not the patient's."""
    if finding.rule not in ("fever.temperature", "severe_pain.score", "breathing.oxygen"):
        return finding
    tokens = matches.tokens
    inside = [i for i, start in enumerate(tokens.starts) if finding.start <= start < finding.end]
    if not inside:
        return finding
    rule = replace(catalogue().rules[0], name=finding.rule, concept=finding.concept, fixed=True)
    hit = Hit(rule, inside[0], inside[-1] + 1)
    settle([hit], matches)
    if hit.status not in ("other_person", "hypothetical"):
        return finding
    return replace(finding, status=hit.status, urgency=Urgency.ROUTINE)


def _reaction(text: str, asked: str | None) -> RuleReading:
    """A phone's reaction to one of our texts: liking is an acknowledgement, never a denial of symptoms."""
    word = reaction_to(text) or ""
    pleased = word in ("liked", "loved", "laughed", "le", "me", "se")
    if pleased and asked != "symptoms":
        return RuleReading(Urgency.NONE, True, (), None)
    return RuleReading(Urgency.ROUTINE, False, (), None)


_LOWERED = {
    "present": None,
    "denied": Urgency.NONE,
}


def _findings(matches: Matches, text: str, asked: str | None) -> tuple[list[Finding], list[Finding]]:
    """What was found, and apart from it the bare words that nothing else supports."""
    hits = [
        Hit(rule, start, end, kind == "weak")
        for kind in ("rule", "weak")
        for rule, start, end in matches.found.get(kind, ())
    ]
    settle(hits, matches)
    starts, ends = matches.tokens.starts, matches.tokens.ends
    result: list[Finding] = []
    unsure: list[Finding] = []
    for hit in hits:
        start, end = starts[hit.start], ends[hit.end - 1]
        urgency = _LOWERED.get(hit.status, Urgency.ROUTINE) or hit.rule.urgency
        one = Finding(hit.rule.concept, hit.status, text[start:end], start, end, hit.rule.name, urgency)
        if not hit.weak or _supported(hit, matches, asked):
            result.append(one)
        elif hit.status == "present":
            unsure.append(one)
    return result, unsure


# A bare symptom word that is all there is to a short answer to the symptoms question means what it says.
_SHORT = 6


def _supported(hit: Hit, matches: Matches, asked: str | None) -> bool:
    """Whether a bare word that people also use in other senses is meant as a symptom of the writer's."""
    if hit.status != "present":
        return hit.status != "asked" or "?" in matches.tokens.words
    if matches.found.get("calm") or matches.found.get("benign"):
        return False
    segments = matches.tokens.segments
    here = segments[hit.start]
    if any(segments[start] == here for start, _ in matches.spans.get("@figurative", ())):
        return False
    if asked == "symptoms" and matches.tokens.weights[-1] <= _SHORT:
        return True
    if matches.tokens.weights[-1] <= 3:
        return True
    return any(segments[start] == here for start, _ in matches.spans.get("@evidence", ()))


def _tidy(findings: list[Finding]) -> list[Finding]:
    """One finding per concept and place: the most serious, then the longest."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda one: (-one.urgency.rank, one.start - one.end)):
        if not any(
            other.concept == finding.concept and other.start < finding.end and finding.start < other.end
            for other in kept
        ):
            kept.append(finding)
    return sorted(kept, key=lambda one: (one.start, one.end, one.concept))


def _yes_to_symptoms(
    own: str, text: str, asked: str | None, answer: Answer | None, findings: list[Finding], matches: Matches
) -> list[Finding]:
    """YES to the symptoms question asks for a call even when nothing more is said (guide)."""
    if asked != "symptoms" or answer is None or answer.kind != "yes":
        return []
    if yes_or_no(own) is None and (findings or matches.found.get("calm") or matches.found.get("routine")):
        return []
    words = text.strip()
    start = text.index(words) if words else 0
    end = start + len(words)
    return [
        Finding(
            "other_urgent", "present", text[start:end], start, end, "answer.yes_to_symptoms", Urgency.URGENT
        )
    ]


def _decide(
    own: str, asked: str | None, findings: list[Finding], answer: Answer | None, matches: Matches
) -> tuple[Urgency, bool]:
    urgency = worst(*(finding.urgency for finding in findings))
    if urgency >= Urgency.ROUTINE:
        return urgency, True
    if _wants_something(matches, _settled_by(asked, answer)):
        return Urgency.ROUTINE, True
    if "?" in matches.tokens.words:
        return Urgency.ROUTINE, False
    from_answer = _answer_urgency(own, asked, answer)
    if from_answer is Urgency.ROUTINE:
        return Urgency.ROUTINE, True
    if is_quiet(own, asked, findings, answer, matches):
        return Urgency.NONE, True
    return Urgency.ROUTINE, False


def _settled_by(asked: str | None, answer: Answer | None) -> tuple[str, ...]:
    """Topics that a YES to the question settles: "yes, dr patel said start warfarin friday" asks for
    nothing."""
    if answer is None or answer.kind != "yes":
        return ()
    return {"blood_thinner": ("medicine",), "bandage": ("bandage", "medicine")}.get(asked or "", ())


def _wants_something(matches: Matches, settled: tuple[str, ...] = ()) -> bool:
    """Whether a question, wish or trouble is told that a person should read tomorrow, and not denied ("no
    need of a refill")."""
    found = matches.found.get("routine", [])
    if settled and "?" not in matches.tokens.words:
        found = [one for one in found if not one[0].name.endswith(settled)]
    hits = [Hit(rule, start, end) for rule, start, end in found]
    settle(hits, matches)
    return any(hit.status != "denied" for hit in hits)


def _answer_urgency(own: str, asked: str | None, answer: Answer | None) -> Urgency:
    """What the answer to the question asks for by itself (guide): pain 5-7 and NO to bandage or blood
    thinner."""
    if answer is None:
        return Urgency.NONE
    if asked == "pain" and answer.kind == "score" and answer.value is not None and answer.value >= 5:
        return Urgency.ROUTINE
    if asked in ("bandage", "blood_thinner", "follow_up") and answer.kind == "no":
        if yes_or_no(own) == "no" or opens_with(own) == "no":
            return Urgency.ROUTINE
    return Urgency.NONE
