"""What the service knows about the patient may raise an urgency; it never lowers one. Clinical notes 2, 3."""

from dataclasses import replace

from messages.triage.assessment import Answer, Context, Finding
from messages.triage.heat import HIGH_FEVER
from messages.urgency import Urgency, worst

# A deficit that came and went in the first week still needs a call (clinical notes 3.3).
_FIRST_WEEK = 7
# Points of pain above the last score, or above what was there before, that ask for a call. Below 4: soreness.
_RISE, _SORENESS = 2, 4


def raised(findings: list[Finding], answer: Answer | None, context: Context) -> tuple[list[Finding], Urgency]:
    """The findings with what the context makes of them, and the urgency of the answer alone.

    1. Gone or only asked about in the first week: a call, not tomorrow's list.
    2. Numb, tingling or a bad headache in the first week on a blood thinner: emergency (haematoma).
    """
    early = context.day is not None and 0 <= context.day <= _FIRST_WEEK
    result = []
    for finding in findings:
        urgency = finding.urgency
        if early and finding.status in ("resolved", "asked"):
            urgency = worst(urgency, Urgency.URGENT)
        if early and finding.status == "present" and context.on_blood_thinner:
            if finding.concept in ("numbness", "tingling", "headache_severe") and urgency >= Urgency.URGENT:
                urgency = Urgency.EMERGENCY
        result.append(replace(finding, urgency=urgency))
    return result, worst(_pain_urgency(answer, context), _heat_urgency(answer))


def _pain_urgency(answer: Answer | None, context: Context) -> Urgency:
    """A score two points above the last one or above what was there before the procedure asks for a call."""
    if answer is None or answer.kind != "score" or answer.value is None or answer.value < _SORENESS:
        return Urgency.NONE
    known = (context.last_pain, context.baseline_pain)
    rose = any(before is not None and answer.value >= before + _RISE for before in known)
    return Urgency.URGENT if rose else Urgency.NONE


def _heat_urgency(answer: Answer | None) -> Urgency:
    """From 103 F / 39.4 C on a patient we know to be ours a fever is an emergency (project rule, notes 2)."""
    if answer is None or answer.kind != "temperature" or answer.value is None:
        return Urgency.NONE
    return Urgency.EMERGENCY if answer.value >= HIGH_FEVER[answer.unit or "F"] else Urgency.NONE
