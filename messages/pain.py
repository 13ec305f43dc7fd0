"""What a pain score from 0 to 10 asks for, given the day and the scores before it (clinical notes, section
1)."""

from dataclasses import dataclass

from messages.urgency import Urgency

SEVERE = 8
MODERATE = 4
CHANGE_THAT_COUNTS = 2
SETTLED_BY_DAY = 3
IMPROVED_BY_DAY = 14


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """One rule that a score met. ``concept``: the catalogue's word, None where no red flag is meant."""

    rule: str
    concept: str | None
    urgency: Urgency


def rules_met(
    score: float, day: int | None, baseline: float | None = None, last: float | None = None
) -> tuple[ScoreRule, ...]:
    """Every rule this score meets; empty: it is written down, nothing more.

    ``day``: whole days since the procedure. ``baseline``: before the procedure; ``last``: the score before
    this one. 8-10 is urgent at any time; so is a rise of 2 or more to at least 4, and anything above the
    baseline. From day 3 on 4-7 without a fall of 2 from the baseline is routine, and from day 14 on a score
    that has not improved.
    """
    met = []
    if score >= SEVERE:
        met.append(ScoreRule("pain.severe", "severe_pain", Urgency.URGENT))
    if last is not None and score - last >= CHANGE_THAT_COUNTS and score >= MODERATE:
        met.append(ScoreRule("pain.rise", "worse_pain", Urgency.URGENT))
    if baseline is not None:
        if score > baseline:
            met.append(ScoreRule("pain.above_baseline", "worse_pain", Urgency.URGENT))
        slow = day is not None and day >= SETTLED_BY_DAY and MODERATE <= score < SEVERE
        if slow and baseline - score < CHANGE_THAT_COUNTS:
            met.append(ScoreRule("pain.slow_relief", None, Urgency.ROUTINE))
        if day is not None and day >= IMPROVED_BY_DAY and score >= baseline and score > 0:
            met.append(ScoreRule("pain.not_improved", None, Urgency.ROUTINE))
    return tuple(met)
