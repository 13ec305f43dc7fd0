"""What the service knows about the patient may raise an urgency; it never lowers one. Clinical notes 2 and 3."""

from dataclasses import replace

from messages.triage.answers import HIGH_FEVER
from messages.triage.assessment import Answer, Context, Finding
from messages.urgency import Urgency

_NERVE = ("numbness", "tingling")
_BLOOD = ("bleeding", "other_urgent", "fall", "headache_severe")
# A deficit that came and went in the first week still needs a call (clinical notes 3.3).
_FIRST_WEEK = 7
_HIGH = HIGH_FEVER


def raised(findings: list[Finding], answer: Answer | None, context: Context) -> tuple[list[Finding], Urgency]:
    """The findings with what the context makes of them, and the urgency of the answer alone."""
    result = []
    for finding in findings:
        urgency = finding.urgency
        early = context.day is not None and 0 <= context.day <= _FIRST_WEEK
        if finding.status == "resolved" and early:
            urgency = max(urgency, Urgency.URGENT)
        if finding.status == "present" and context.on_blood_thinner and early:
            if finding.concept in _NERVE or finding.concept in ("heavy_bleeding",):
                urgency = Urgency.EMERGENCY
        if finding.status == "asked" and early:
            urgency = max(urgency, Urgency.URGENT)
        result.append(replace(finding, urgency=urgency))
    return result, _pain_urgency(answer, context)


def _pain_urgency(answer: Answer | None, context: Context) -> Urgency:
    """A score two points above the last one or above what was there before the procedure asks for a call."""
    if answer is None or answer.kind != "score" or answer.value is None:
        return Urgency.NONE
    if context.last_pain is not None and answer.value >= context.last_pain + 2 and answer.value >= 4:
        return Urgency.URGENT
    if context.baseline_pain is not None and answer.value >= context.baseline_pain + 2 and answer.value >= 4:
        return Urgency.URGENT
    return Urgency.NONE
