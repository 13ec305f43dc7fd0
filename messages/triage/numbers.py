"""Findings that come from numbers: fever, severe pain, pain that went up, oxygen, blood pressure."""

import re

from messages.reply import normalise
from messages.triage.assessment import Answer, Finding
from messages.triage.heat import FEVER, Temperature
from messages.triage.match import Matches
from messages.triage.scores import pain_score, scores
from messages.urgency import Urgency

# Severe pain from here on (guide; Schmitt-Thompson counts 8-10 as severe).
SEVERE = 8.0
_PAST = re.compile(
    r"\b(?:was|were|went from|gone from|from|yesterday|last (?:night|nite|week)|this morning|earlier|before|"
    r"monday|mon|tuesday|tues|"
    r"wednesday|weds|thursday|thurs|friday|saturday|sunday|sun|sat|fri|used to|been|started|day 1|ayer|antes|"
    r"anoche|era|estaba|"
    r"de un|de|manana|lunes|martes|miercoles|jueves|viernes|sabado|domingo|primero|at first|"
    r"a couple days ago|when i left|woke up)\b"
)
_NOW = re.compile(
    r"\b(?:now|today|tonight|to|hoy|ahora|ahorita|ya|subio|a un|a|and now|going on|up to|this evening|rn|"
    r"currently|more like|"
    r"its|pushing|climbing|went up|jumped)\b"
)
_DOWN = re.compile(r"\b(?:down|better|baj\w+|mejor|menos|improv\w+|used to be|dropped|less)\b")
_OXYGEN = re.compile(
    r"\b(?:oxygen|oxigeno|oxigenacion|o2|spo2|pulse ?ox|oximeter|oximetro|sats?|saturacion|saturando|"
    r"ox)\b(?:\W+(?!\d)\w+){0,5}\W+(?P<value>\d{2})(?![\d./])"
)
_PRESSURE = re.compile(r"(?<![\d/])(?P<high>[12]\d\d)\s*(?:/|over|sobre|con)\s*(?P<low>\d{2,3})(?![\d/])")
# As said where pressure is told in centimetres: "la tension 20/12" is 200/120. Only beside the word: else
# 20/12 is a date.
_PRESSURE_CM = re.compile(
    r"\b(?:presion|tension|tensiometro|baumanometro)\b(?:\W+(?!\d)\w+){0,5}\W+"
    r"(?P<high>1[3-9]|2\d)(?:[.,]\d)?\s*(?:/|con|sobre)\s*(?P<low>\d{1,2})(?![\d/])"
)
_PULSE = re.compile(
    r"\b(?:pulse|heart rate|hr|heart|pulso|bpm)\b(?:\W+(?!\d)\w+){0,4}\W+(?P<value>1[3-9]\d|2\d\d)\b(?!\W*/)"
)


def fever_findings(heat: list[Temperature], text: str) -> list[Finding]:
    """One finding per temperature at or above the published threshold; none for a gone one is known here."""
    found = []
    folded = normalise(text)
    for one in heat:
        if one.value >= FEVER[one.unit]:
            before = folded[max(0, one.start - 60) : one.start]
            after = folded[one.end : one.end + 40]
            if re.search(
                r"(?:\bif\b|\bover|\babove|what temp|at what|hits?\b|reaches|pasa de|mas de|"
                r"si )[^.;,]{0,25}$",
                before,
            ):
                if not re.search(
                    r"\b(?:its|it is|was|is|am|running|got|over here|been)\b[^.;]{0,12}$", before
                ):
                    continue
            gone = re.search(
                r"\b(?:before (?:the )?(?:surgery|procedure)|last (?:year|month)|(?:years?|months?) ago)\b",
                after,
            )
            broke = re.search(
                r"\b(?:broke|gone|normal|back to|98|97|36)\b.{0,40}\b(?:since|every|days)\b",
                folded[one.end :],
            )
            if gone or broke:
                continue
            found.append(
                Finding(
                    "fever",
                    "present",
                    text[one.start : one.end],
                    one.start,
                    one.end,
                    "fever.temperature",
                    Urgency.URGENT,
                )
            )
    return found


def pain_findings(
    own: str, text: str, asked: str | None, answer: Answer | None, matches: Matches
) -> list[Finding]:
    """Severe pain by score, pain that went up, and vital signs that speak for themselves."""
    folded = normalise(own)
    if not any(map(str.isdigit, folded)) and asked != "pain" and "@score_word" not in matches.spans:
        return []
    found = _vitals(folded, text)
    painful = asked == "pain" or "@pain_word" in matches.spans
    rise = _rise(folded, painful)
    if rise is not None:
        found.append(_finding("worse_pain", "worse_pain.score_rise", rise[0], rise[1], text))
    severe = _severe(folded, asked, answer, painful)
    if severe is not None:
        found.append(_finding("severe_pain", "severe_pain.score", *severe, text))
    return found


def _finding(
    concept: str, rule: str, start: int, end: int, text: str, urgency: Urgency = Urgency.URGENT
) -> Finding:
    return Finding(concept, "present", text[start:end], start, end, rule, urgency)


def _vitals(folded: str, text: str) -> list[Finding]:
    found = []
    for match in _OXYGEN.finditer(folded):
        if 50 <= int(match["value"]) < 92:  # clinical notes 3.6
            found.append(_finding("breathing", "breathing.oxygen", *match.span(), text, Urgency.EMERGENCY))
    for match in _PRESSURE.finditer(folded):
        if int(match["high"]) >= 180 or (int(match["low"]) >= 120 and int(match["high"]) >= 130):
            found.append(_finding("other_urgent", "other_urgent.blood_pressure", *match.span(), text))
        elif int(match["high"]) < 90 and int(match["low"]) < 60:
            found.append(_finding("other_urgent", "other_urgent.blood_pressure", *match.span(), text))
    for match in _PRESSURE_CM.finditer(folded):
        if int(match["high"]) >= 18 or 12 <= int(match["low"]) <= 16:
            found.append(_finding("other_urgent", "other_urgent.blood_pressure", *match.span(), text))
    for match in _PULSE.finditer(folded):
        found.append(_finding("other_urgent", "other_urgent.pulse", *match.span(), text))
    return found


def _rise(folded: str, painful: bool) -> tuple[int, int] | None:
    """Where a text tells of a score that went up ("was a 3 yesterday now its a 6")."""
    found = scores(folded)
    if len(found) < 2 or not painful:
        return None
    for (first, start, end), (second, start2, end2) in zip(found, found[1:], strict=False):
        between = folded[end:start2]
        before = folded[max(0, start - 24) : start]
        if len(between) > 60:
            continue
        after = folded[end2 : end2 + 24]
        past_first = _PAST.search(before) or _PAST.search(between[:22])
        if second > first and second >= 4 and past_first and (_NOW.search(between) or _NOW.search(after)):
            if not _DOWN.search(folded[max(0, start - 24) : end2]):
                return start, end2
        if (
            first > second
            and first >= 4
            and re.search(r"\b(?:was|yesterday|ayer|era|last night|before|antes)\b", between)
        ):
            if re.search(
                r"\b(?:now|today|hoy|ahora|its)\b", folded[max(0, start - 16) : start] + " " + between[:10]
            ):
                if re.search(r"\b(?:up|worse|subio|peor)\b", folded):
                    return start, end2
    return None


def _severe(folded: str, asked: str | None, answer: Answer | None, painful: bool) -> tuple[int, int] | None:
    """Where a score of 8 to 10 stands that is about now."""
    if asked == "pain" and answer is not None and answer.kind == "score":
        if answer.value is None or answer.value < SEVERE:
            return None
        places = [(start, end) for value, start, end in scores(folded) if value == answer.value]
        return places[-1] if places else (0, len(folded))
    if not painful:
        return None
    value = pain_score(folded)
    if value is None or value < SEVERE:
        return None
    if not re.search(
        r"\b(?:pain|hurt\w*|dolor|duele|ache\w*|sore\w*|level|scale|out of|head|back|espalda|cabeza|pierna|"
        r"leg|hip)\b|/ ?10",
        folded,
    ):
        return None
    found = [(start, end) for number, start, end in scores(folded) if number == value]
    if not found:
        return None
    start, end = found[-1]
    around = folded[max(0, start - 22) : start]
    told = re.search(r"\bdolor(?:es)? (?:como )?de (?:un )?$", around)
    then = r"\b(?:was|were|from|used to be|before|era|estaba|antes|de)\b(?:\W+\w+){0,2}\W*$"
    if not told and re.search(then, around):
        return None
    return start, end
