"""Reading one reply as one patient's: the question it answers, the assessment, the pain rules, what is
unclear.

Decides and returns values; nothing is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from messages import pain
from messages.language import language_of
from messages.reply import carrier_word, normalise, reaction_to, strip_own_words
from messages.triage import Assessment, Context, Finding, assess, read_rules
from messages.urgency import Urgency, worst
from service.models import PlanItem, Reply
from service.surroundings import Around, Sender, last_question, recent_questions

BARE_MATTERS = frozenset({"symptoms", "bandage", "blood_thinner"})
MOST_WORDS_OF_A_BARE_ANSWER = 2
FIRST_DAYS = 3
PLAIN_SIGNS = 0x2000  # emoji and pictographs lie above
FIRST_WEEK = 7
PLEASED = frozenset({"liked", "loved", "laughed", "me", "le", "se"})
# Whole-text answers to questions that triage's guide does not know: they need nobody.
QUIET_ANSWERS = {
    "welcome": frozenset("ok okay k y yes si si. start listo bueno vale dale".split()),
    "change": frozenset(
        ("same", "better", "igual", "mejor", "the same", "lo mismo", "much better", "mucho mejor")
    ),
    "follow_up": frozenset("yes y yep yeah si s ya".split()),
    "general": frozenset(("no", "nope", "no thanks", "no thank you", "nothing", "nada", "no gracias")),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One reply, read for one patient (or for nobody known). ``item``: the question it was read against
    (``asked``); ``counts_for``: the question under which a bare yes or no is most serious.

    ``unclear``: a person must look within the hour, and the patient is asked once more. ``joined``: the
    result comes from this text and those just before it, put together. ``foreign``: written in a script of
    neither language. ``wordless``: a picture or sound without a word.
    """

    assessment: Assessment
    urgency: Urgency
    understood: bool
    findings: tuple[dict[str, Any], ...]
    asked: str | None
    counts_for: str | None
    item: PlanItem | None
    day: int | None
    language: str
    unclear: bool
    joined: bool = False
    foreign: bool = False
    wordless: bool = False

    @property
    def concepts(self) -> frozenset[str]:
        """The red flags that are present."""
        return frozenset(found["concept"] for found in self.findings if found["status"] == "present")

    def only(self, status: str) -> bool:
        """Whether everything in it that needs somebody has this one status (``asked``, ``other_person``)."""
        weighty = [found for found in self.findings if found["urgency"] != "none"]
        return bool(weighty) and all(found["status"] == status for found in weighty)


def read(around: Around, sender: Sender | None) -> Reading:
    """Read a stored reply as one sender's. ``sender`` None: nobody knows the number."""
    reply = around.reply
    at = reply.received_at
    item, unanswered = _questions(sender, at)
    asked = item.asks if item else None
    context = _context(sender, unanswered, at)
    default = sender.patient.language if sender else "en"
    text = reply.body
    if reaction_to(text) is None:
        text = strip_own_words(text, around.own_texts)
    found, counts_for = _assess(text, asked, default, context, unanswered)
    if _is_quiet_answer(text, asked, found):
        found = replace(found, urgency=Urgency.NONE, understood=True)
    before = around.before
    together = assess("\n".join([*before, text]), asked, default, context) if before else found
    joined = together.urgency > worst(found.urgency, *(assess(one, asked, default).urgency for one in before))
    if joined:
        found = together
    findings = [as_stored(finding) for finding in found.findings]
    findings += _pain_findings(reply.body, found, sender, context)
    urgency = worst(found.urgency, *(Urgency(one["urgency"]) for one in findings))
    language = language_of(text)
    wordless = not reply.body.strip() and bool(reply.media)
    urgency = worst(urgency, _floor(reply, asked, found, language, context))
    understood = found.understood or carrier_word(reply.body) is not None
    if wordless or _says_nothing(reply, text, asked):
        understood, urgency = False, worst(urgency, Urgency.ROUTINE)
    return Reading(
        assessment=found,
        urgency=urgency,
        understood=understood,
        findings=tuple(findings),
        asked=asked,
        counts_for=counts_for,
        item=item,
        day=context.day,
        language=language if language in ("en", "es") else default,
        unclear=not understood and urgency > Urgency.NONE and _matters_soon(asked, context),
        joined=joined,
        foreign=language == "other",
        wordless=wordless,
    )


def _says_nothing(reply: Reply, text: str, asked: str | None) -> bool:
    """No word and no number: bare punctuation always, a bare emoji as an answer to the symptoms question.
    Neither is a denial (clinical notes 3.7)."""
    if any(sign.isalnum() for sign in normalise(text)) or reaction_to(reply.body) is not None:
        return False
    return asked == "symptoms" or not any(ord(sign) > PLAIN_SIGNS for sign in text)


def as_stored(finding: Finding) -> dict[str, Any]:
    """A finding as plain JSON, in the words of the contract."""
    return {
        "concept": finding.concept,
        "status": finding.status,
        "words": finding.words,
        "start": finding.start,
        "end": finding.end,
        "rule": finding.rule,
        "urgency": str(finding.urgency),
    }


def _questions(sender: Sender | None, at: datetime) -> tuple[PlanItem | None, list[PlanItem]]:
    """The question the reply is read against (the last one put, answered or not), and those of the last 24 h
    that nobody has answered yet, newest first."""
    if sender is None or sender.enrollment is None:
        return None, []
    unanswered = [item for item in recent_questions(sender, at) if item.answered_at is None]
    return last_question(sender, at), unanswered


def _context(sender: Sender | None, unanswered: Sequence[PlanItem], at: datetime) -> Context:
    if sender is None or sender.enrollment is None:
        return Context()
    course = sender.enrollment
    zone = ZoneInfo(sender.patient.timezone)
    day = (at.astimezone(zone).date() - course.procedure_at.astimezone(zone).date()).days
    return Context(
        day=day,
        on_blood_thinner=course.on_blood_thinner,
        baseline_pain=course.baseline_pain,
        last_pain=course.last_score,
        recent_questions=tuple(item.asks for item in unanswered if item.asks),
    )


def _assess(
    text: str, asked: str | None, language: str, context: Context, unanswered: Sequence[PlanItem]
) -> tuple[Assessment, str | None]:
    """Triage, and the question under which it is most serious: a bare yes or no counts for every question
    still unanswered."""
    found = assess(text, asked, language, context)
    if not found.understood and not found.findings:
        # assess() never raises; a text that broke the rules must not look like one that is merely unclear.
        read_rules(text, asked, language, context)
    if len(normalise(text).split()) > MOST_WORDS_OF_A_BARE_ANSWER:
        return found, asked
    others = {item.asks for item in unanswered if item.asks and item.asks != asked} & BARE_MATTERS
    bare = [(assess(text, other, language, context), other) for other in sorted(others)]
    answers = [one for one in bare if one[0].answer is not None and one[0].answer.kind in ("yes", "no")]
    return max([(found, asked), *answers], key=lambda one: one[0].urgency.rank)


def _is_quiet_answer(text: str, asked: str | None, found: Assessment) -> bool:
    if found.findings or found.urgency > Urgency.ROUTINE:
        return False
    if reaction_to(text) in PLEASED and asked != "symptoms":
        return True  # liking a text of ours says nothing about symptoms
    whole = " ".join(normalise(text).strip(" .!\n\x01").split())
    return carrier_word(text) in ("stop", "start") or whole in QUIET_ANSWERS.get(asked or "", ())


def _pain_findings(
    body: str, found: Assessment, sender: Sender | None, context: Context
) -> list[dict[str, Any]]:
    """What the pain rules make of a score, as findings of their own; the scored words are the whole reply."""
    answer = found.answer
    if sender is None or answer is None or answer.kind != "score" or answer.value is None:
        return []
    met = pain.rules_met(answer.value, context.day, context.baseline_pain, context.last_pain)
    return [
        {
            "concept": rule.concept or "pain_score",
            "status": "present",
            "words": body,
            "start": 0,
            "end": len(body),
            "rule": rule.rule,
            "urgency": str(rule.urgency),
        }
        for rule in met
    ]


def _matters_soon(asked: str | None, context: Context) -> bool:
    """Unclear answers to the symptoms question, and anything unclear on days 0-3, cannot wait for a business
    day."""
    return asked == "symptoms" or (context.day is not None and context.day <= FIRST_DAYS)


def _floor(
    reply: Reply, asked: str | None, found: Assessment, language: str | None, context: Context
) -> Urgency:
    """The least urgency a reply gets whatever its words: pictures are always seen by a person, a bare HELP
    pages, a foreign script in the first week is urgent, NO to the follow-up question is a task."""
    least = Urgency.NONE
    if reply.media:
        least = Urgency.ROUTINE if reply.body.strip() else Urgency.URGENT
    if carrier_word(reply.body) == "help":
        least = Urgency.URGENT
    if language == "other":
        early = context.day is None or context.day <= FIRST_WEEK
        least = worst(least, Urgency.URGENT if early else Urgency.ROUTINE)
    if asked == "follow_up" and found.answer is not None and found.answer.kind == "no":
        least = worst(least, Urgency.ROUTINE)
    return least
