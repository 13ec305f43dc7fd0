"""A reply read as an answer: yes or no, a score from 0 to 10, a temperature. Clinical notes 3.6."""

import re
from dataclasses import dataclass

from messages.reply import normalise
from messages.triage.assessment import Answer

# Fever from here on (clinical notes 3.6: the lowest published threshold).
FEVER = {"F": 100.4, "C": 38.0}
HIGH_FEVER = {"F": 103.0, "C": 39.4}
_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "cero": 0, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6,
    "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
}  # fmt: skip
_NUMBER = r"(?:\d+(?:[.,]\d+)?|" + "|".join(_WORDS) + r")"
_TENS = {"ninety": 90, "hundred": 100, "cien": 100, "ciento": 100, "treinta": 30}
_SPOKEN = re.compile(
    r"\b(?P<base>(?:one |a )?hundred|ninety|ciento?|treinta)(?: (?:and|y))?[ -]?"
    r"(?P<ones>one|two|three|four|five|six|seven|eight|nine|uno|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve)?"
    r"(?: (?:point|dot|punto|coma|con) (?P<part>zero|one|two|three|four|five|six|seven|eight|nine|oh|cero|uno|dos|"
    r"tres|cuatro|cinco|seis|siete|ocho|nueve|\d))?\b"
)
_DEGREES = re.compile(
    r"(?<![\w.,/$:#])(?P<whole>3[4-9]|4[0-3]|9[3-9]|10[0-9]|11[0-2])(?:(?:[.,]| point | punto | coma )(?P<part>\d{1,2}))?"
    r"(?![\d/:]|[.,]\d|%)\s*(?P<unit>(?:degrees?|grados?|deg|°)?\s*(?:fahrenheit|celsius|centigrade|centigrados|f\b|c\b)?"
    r"|degrees?|grados?|°)"
)
_RUN_TOGETHER = re.compile(r"(?<![\d.,/])(?:10[0-6][0-9]|100 4|99[0-9])(?![\d.,/])")
_HEAT = re.compile(
    r"\b(?:temp|temps|tempature|temperature|temperatura|temperture|tempeture|thermometer|thermomter|termometro|fever|"
    r"fevers|fevr|feverish|fiebre|fievre|calentura|calenturita|febril|degrees|grados|celsius|fahrenheit|oral|"
    r"forehead|under the tongue|tympanic|tymp|axila)\b|°|\bt\s*[:=]?\s*(?=3[5-9]|9[5-9]|10\d)"
)
_NOT_HEAT = re.compile(
    r"\b(?:outside|weather|oven|heat index|sun|shade|highway|hwy|interstate|route|miles?|bpm|pulse|heart rate|hr|bp|"
    r"sugar|glucose|lbs?|pounds|kilos|years?|anos|percent|dollars|bucks|room|channel|degrees out|fm|station|spo2|"
    r"o2|ox|oxygen|oxigeno|azucar|presion|afuera|clima|sombra|horno|oxigen|sat|sats|garage|attic|pulso|radio)\b"
)


@dataclass(frozen=True, slots=True)
class Temperature:
    """Degrees with unit, and where they stand in the text."""

    value: float
    unit: str
    start: int
    end: int


def temperatures(text: str, asked: str | None) -> list[Temperature]:
    """Body temperatures in a text: with a word or unit of heat, or bare with a decimal, or a bare answer."""
    folded = normalise(text)
    found: list[Temperature] = []
    if not (
        any(map(str.isdigit, folded)) or "hundred" in folded or "treinta" in folded or "ninety" in folded
    ):
        return found
    warm = bool(_HEAT.search(folded))
    for match in _DEGREES.finditer(folded):
        whole, part, unit = int(match["whole"]), match["part"], match["unit"].strip()
        if (part is None and not warm and not unit and len(folded.strip()) > 6) or (
            unit and unit[0].isspace()
        ):
            continue
        around = folded[max(0, match.start() - 18) : match.end() + 22]
        if _NOT_HEAT.search(around) and not _HEAT.search(
            folded[max(0, match.start() - 25) : match.end() + 12]
        ):
            continue
        if (
            part is None
            and not unit
            and not _HEAT.search(folded[max(0, match.start() - 40) : match.end() + 25])
        ):
            if len(folded.strip()) > 6:
                continue
        found.append(_temperature(whole + (float(f"0.{part}") if part else 0.0), unit, match.span()))
    if warm or len(folded.strip()) <= 6:
        for match in _RUN_TOGETHER.finditer(folded):
            digits = match.group().replace(" ", "")
            found.append(_temperature(int(digits) / 10, "f", match.span()))
    for match in _SPOKEN.finditer(folded):
        if match["part"] is None and not (warm and match["ones"]):
            continue
        base = 100 if "hundred" in match["base"] or match["base"].startswith("cien") else _TENS[match["base"]]
        value = base + _ones(match["ones"]) + (0 if match["part"] is None else _ones(match["part"]) / 10)
        found.append(_temperature(value, "", match.span()))
    return found


def _ones(word: str | None) -> int:
    if word is None or word == "oh":
        return 0
    return int(word) if word.isdigit() else 1 if word == "una" else _WORDS[word]


def _temperature(value: float, unit: str, span: tuple[int, int]) -> Temperature:
    letter = "C" if value < 50 else "F"
    return Temperature(round(value, 2), letter, *span)


_OUT_OF_TEN = re.compile(
    rf"(?<![\w/.,])(?P<value>{_NUMBER})\s*(?:/\s*10|out\s*(?:of|a|o|da)\s*(?:10|ten)|of\s+10\b|over\s+10\b|"
    r"de\s+(?:10|diez)|sobre\s+(?:10|diez)|on (?:the|a|your) (?:pain )?scale)\b"
)
_RANGE = re.compile(
    rf"(?<![\w/.,])(?P<low>{_NUMBER})\s*(?:-|to|or|o|a|and|n|/|u|maybe)\s*(?:maybe\s*|a\s*)?(?P<high>{_NUMBER})(?![\w/]|[.,]\d)"
)
_CORRECTION = re.compile(
    rf"\b(?:i me(?:an|ant)|meant|sorry|correction|actually|make (?:that|it)|quise decir|perdon|digo|mejor dicho|"
    rf"no wait|wait|oops|scratch that|typo)\W+(?:\w+\W+){{0,3}}?(?P<value>{_NUMBER})(?![\w/]|[.,]\d)"
)
_CURRENT = re.compile(
    rf"\b(?:now|today|today its|tonight|currently|right now|ahora|ahorita|hoy|this morning|esta manana|down to|"
    rf"baj\w+ a|up to|subio a|at an?|is an?|its an?|im at|call it|say|its|is|es|es un|como un|un|about|around|like)\W+"
    rf"(?:(?:its|is|it|an?|at|about|around|like|maybe|es|un|a|en|como|to|only|just|only|solo|more like|esta|estoy|mas|or|so)\W+)"
    rf"{{0,4}}(?P<value>{_NUMBER})(?![\w/:%]|[.,]\d)"
)
_BARE = re.compile(rf"(?<![\w/.,:$#-])(?P<value>{_NUMBER})(?:ish\b|\+|s\b)?(?![\w/:%]|[.,]\d)")
_NOT_SCORE_AFTER = re.compile(
    r"^\s*(?:\+\s*)?(?:am\b|pm\b|a\.m|p\.m|oclock|mg|ml|mcg|milligram|hours?|hrs?|hr\b|minutes?|mins?|days?|dys?|weeks?|wks?|"
    r"months?|years?|yrs?|times?|x\b|pills?|tablets?|tabs?|tylenol|advil|norco|percocet|oxy|of (?:the|them|my|those|these|us)|"
    r"blocks?|miles?|laps?|steps?|stairs?|people|kids?|grandkids?|dogs?|cats?|pillows?|blankets?|nights?|"
    r"horas?|dias?|semanas?|meses|anos?|veces|pastillas?|tabletas?|cuadras?|minutos?|noches?|nietos?|hijos?|"
    r"inches|inch|cm|feet|foot|pounds|lbs|cups?|glasses|weeks|spots?|fingers|toes|legs|nd\b|th\b|st\b|rd\b|dedos|"
    r"de la (?:manana|tarde|noche|madrugada)|in the morning|at night|bandages?|pads?|gauze|towels?|one\b|big|little|good days|"
    r"thing|more|mas\b|person|side|leg|hand|foot|part|place)"
)
_NOT_SCORE_BEFORE = re.compile(
    r"(?:\bat|\bday|\bdia|\broom|\bpost op day|\btook|\btake|\btome|\btomo|\btomado|\bfor|\bpor|\bsince|\bdesde(?: las)?|\ba las|"
    r"\bhace|\bapril|\bmay|\bjune|\bthe|\bchapter|\bpsalm|\blevel l|\bonly one|\bthis|\bthat|\bno|\bwhich|\bel|\bcada|"
    r"\bevery|\baround the|\bchannel|\bthese|\bthose|\blas|\blos|\bslept|\bmy|\bbefore|\bin|\ben|\bde|\bby|\bsome|\bany|\bbar|\bgate)\s*$"
)


def scores(text: str) -> list[tuple[float, int, int]]:
    """Numbers from 0 to 10 that can be a pain score, with places: not dates, doses, hours, counts."""
    folded = normalise(text)
    found = []
    for match in _BARE.finditer(folded):
        value = _value(match["value"])
        word = match["value"]
        if not 0 <= value <= 11 or _NOT_SCORE_AFTER.match(folded[match.end() :][:24]):
            continue
        before = folded[max(0, match.start() - 16) : match.start()]
        if _NOT_SCORE_BEFORE.search(before):
            continue
        if word in ("one", "uno", "dos", "once") and len(folded.split()) > 4:
            continue  # far too common a word to be a score by itself
        found.append((min(value, 10.0), match.start(), match.end()))
    return found


def _value(word: str) -> float:
    return float(_WORDS[word]) if word in _WORDS else float(word.replace(",", "."))


def pain_score(text: str) -> float | None:
    """The score a reply to the pain question gives: a correction wins, then "x/10", then a range (the higher),
    then what is said of now, then the only number. None when there is none, or when it is above 11."""
    folded = normalise(text).strip()
    if folded.strip(" .!") in ("o", "none", "nada", "ninguno", "nothing", "cero", "nil", "zip", "zilch"):
        return 0.0
    for pattern in (_CORRECTION, _OUT_OF_TEN):
        matches = [match for match in pattern.finditer(folded) if _is_score(match, folded)]
        if matches:
            return min(_value(matches[-1]["value"]), 10.0)
    for match in _RANGE.finditer(folded):
        low, high = _value(match["low"]), _value(match["high"])
        if max(low, high) <= 10 and not _NOT_SCORE_AFTER.match(folded[match.end() :][:24]):
            if not _NOT_SCORE_BEFORE.search(folded[max(0, match.start() - 16) : match.start()]):
                return max(low, high)
    found = scores(folded)
    if not found:
        return None
    current = [match for match in _CURRENT.finditer(folded) if _is_score(match, folded)]
    places = {start for _, start, _ in found}
    current = [match for match in current if match.start("value") in places]
    if current and len(found) > 1:
        return min(_value(current[-1]["value"]), 10.0)
    return found[0][0] if len(found) == 1 else max(value for value, _, _ in found)


def _is_score(match: re.Match[str], folded: str) -> bool:
    return _value(match["value"]) <= 11 and not _NOT_SCORE_AFTER.match(folded[match.end() :][:24])


_NO_TAIL = r"(?:,? ?(?:maam|mam|sir|sirree|siree|thanks?|thank you|ty|thx|nada|gracias|senora|senorita|senor|doctor|doc|dear|hun|hon|honey|love|not? at all|not really|all good|im (?:good|fine|ok(?:ay)?)|para nada|sweetie|mija|nurse|po|sis|sister|bro|mate|worries|problems?|doctora|enfermera|ninguno|nothing|none|no|nope|nah))*"
_NO = re.compile(
    r"^\W*(?:no+|nope+|n|nah+|naw|nop|negative|none|neg|nay|nel|nones|para nada|not at all|not really|no way|none of (?:that|those|it|them|the above)|"
    rf"nada|nada de eso|ninguno|ninguna|nun|na|nil|nothing|nuh uh|negativo|ni uno|ningun)\b{_NO_TAIL}\W*$"
)
_YES = re.compile(
    r"^\W*(?:y+|ye+s+|yea+h?|yep+|yup+|yess+|si+|sip|simon|sii+|yeah|yah|ya|aye|affirmative|correct|i do|i did|it is|i have|claro|asi es|"
    r"sure|sure did|sure is|of course|afirmativo|yes indeed|uh huh|uh-huh|yessir|yes i (?:do|did|have)|yes it is|k|ok|okay)"
    r"\b(?:,? ?(?:maam|mam|sir|thanks?|thank you|ty|senora|senorita|senor|doctor|doc|dear|hun|hon|honey|love|gracias|"
    r"i did|it is|i do|i have|a little|a lil(?: bit)?|un poco|poquito|some|po|sis|nurse|doctora|enfermera|claro|still|todavia|yes|yep|si))*\W*$"
)
_STARTS_YES = re.compile(
    r"^\W*(?:y|yes+|yea+h?|yep+|yup+|si|yah|aye|ya|affirmative|yessir|sip)\b(?!\W*(?:but no|and no)\b)"
)
_STARTS_NO = re.compile(r"^\W*(?:no+|n|nope+|nah+|naw|nop|negative|nay|not yet|todavia no|aun no)\b")


def yes_or_no(text: str) -> str | None:
    """``yes`` or ``no`` when the whole reply says just that (English or Spanish), else None."""
    folded = normalise(text).replace("'", "").replace("\x01", "")
    if len(folded) > 60:
        return None
    if _NO.match(folded):
        return "no"
    return "yes" if _YES.match(folded) else None


def opens_with(text: str) -> str | None:
    """``yes`` or ``no`` when the reply begins with it and goes on."""
    folded = normalise(text).replace("'", "").replace("\x01", "")
    if _STARTS_YES.match(folded):
        return "yes"
    return "no" if _STARTS_NO.match(folded) else None


def read_answer(text: str, asked: str | None, heat: list[Temperature]) -> Answer | None:
    """``text`` as the answer to ``asked``."""
    if asked == "pain":
        score = pain_score(text)
        if heat and not any(float(h.value) == score for h in heat) and score is None:
            return Answer("temperature", heat[-1].value, heat[-1].unit)
        return None if score is None else Answer("score", score)
    whole = yes_or_no(text) or (
        opens_with(text) if asked in ("bandage", "blood_thinner", "symptoms") else None
    )
    if whole == "yes" and asked is not None:
        return Answer("yes")
    if whole == "no" and asked is not None:
        return Answer("no")
    if heat:
        return Answer("temperature", heat[-1].value, heat[-1].unit)
    return None
