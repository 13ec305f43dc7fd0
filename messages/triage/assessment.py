"""What triage hands back: plain frozen values, the same for rules and learned reader."""

from dataclasses import dataclass
from typing import Literal

from messages.urgency import Urgency

Status = Literal["present", "denied", "resolved", "past", "other_person", "asked", "hypothetical", "baseline"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One concept found in a text. ``words == text[start:end]`` in code points of the text as given.

    ``rule`` names the rule of the catalogue that fired (``numbness.sensation_place``). ``urgency`` is what
    the finding asks for by itself, with its status taken into account (a denied one asks for ``none``).
    """

    concept: str
    status: Status
    words: str
    start: int
    end: int
    rule: str
    urgency: Urgency


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply read as an answer. ``value`` is 0-10 for a score, degrees in ``unit`` (``F`` or ``C``) for a
    temperature, else None."""

    kind: Literal["score", "yes", "no", "temperature"]
    value: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """Words that weighed in the learned reader, and how much (positive: towards a person looking)."""

    words: str
    weight: float


@dataclass(frozen=True, slots=True)
class Context:
    """What the service knows about the patient. It may only raise an urgency, never lower one.

    ``day``: whole days since the procedure (0 = that day). ``baseline_pain``: 0-10 before the procedure.
    ``last_pain``: the score given before this reply. ``recent_questions``: what was asked lately, newest
    first.
    """

    day: int | None = None
    on_blood_thinner: bool | None = None
    baseline_pain: int | None = None
    last_pain: float | None = None
    recent_questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleReading:
    """What the rules alone made of a text. ``hinted``: something worth noticing stands there, below the level
    at which a rule fires. ``unsure`` are words that people also use in other senses: they count when the
    learned reader thinks so too, and always when there is none."""

    urgency: Urgency
    understood: bool
    findings: tuple[Finding, ...]
    answer: Answer | None
    hinted: bool = False
    unsure: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """The result of triage. ``catalogue`` is the version of the red-flag catalogue that was used;
    ``urgency`` ``none`` implies ``understood``."""

    urgency: Urgency
    understood: bool
    findings: tuple[Finding, ...]
    answer: Answer | None
    catalogue: str
    weighed: tuple[Weight, ...] = ()
