"""A reply read as an answer: yes or no, a score from 0 to 10, a temperature. Clinical notes 3.6."""

import re
from dataclasses import dataclass
from itertools import islice

from messages.reply import normalise
from messages.triage.assessment import Answer

# Fever from here on (clinical notes 3.6: the lowest published threshold).
FEVER = {"F": 100.4, "C": 38.0}
# Numbers read per text, so that a text of nothing but numbers costs no more than another.
_MOST_NUMBERS = 24
HIGH_FEVER = {"F": 103.0, "C": 39.4}
_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "cero": 0, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6,
    "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
}  # fmt: skip
_NUMBER = r"(?:\d+(?:[.,]\d+)?|" + "|".join(_WORDS) + r")"
_TENS = {"ninety": 90, "hundred": 100, "cien": 100, "ciento": 100, "treinta": 30}
_SPOKEN = re.compile(
    r"\b(?P<base>(?:one |a )?hundred|ninety|ciento?|treinta)(?: (?:and|y))?"
    r"(?:[ -](?P<ones>one|two|three|four|five|six|seven|eight|nine|uno|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve))?"
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
    r"o2|ox|oxygen|oxigeno|azucar|presion|afuera|clima|sombra|horno|oxigen|sat|sats|garage|attic|pulso|radio|bath|tub|sauna|flat|landlord|apartment|thermostat|greenhouse|barn|kitchen|heater|heating pad|texas|fm)\b"
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
    for match in islice(_DEGREES.finditer(folded), _MOST_NUMBERS):
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
        for match in islice(_RUN_TOGETHER.finditer(folded), _MOST_NUMBERS):
            digits = match.group().replace(" ", "")
            found.append(_temperature(int(digits) / 10, "f", match.span()))
    for match in islice(_SPOKEN.finditer(folded), _MOST_NUMBERS):
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
    rf"(?<![\w/.,])(?P<low>{_NUMBER})\s*(?:-|to|or|o|a|/|u|maybe)\s*(?:maybe\s*|a\s*)?(?P<high>{_NUMBER})(?![\w/]|[.,]\d)"
)
_CORRECTION = re.compile(
    rf"\b(?:i me(?:an|ant)|meant|sorry|correction|make (?:that|it)|quise decir|perdon|digo|mejor dicho|dang it|"
    rf"no wait|wait|oops|scratch that|typo|fat fingers?|i mean)\W+(?:\w+\W+){{0,3}}?(?P<value>{_NUMBER})(?![\w/]|[.,]\d)"
)
_NOW = re.compile(
    r"\b(?:now|today|tonight|currently|rn|noo|ahora|ahorita|hoy|this (?:morning|evening|afternoon)|up to|down to|subio a|"
    r"baj\w+ a|more like|call it|put me down|its|it is|im|i am|es un|esta en|going on)\b(?:\W+\w+){0,3}\W*$"
)
_THEN = re.compile(
    r"\b(?:was|were|wis|from|used to be|had been|yesterday|last (?:night|week)|before|era|estaba|ayer|antes|started at|when i left|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|day \d|at first|fue|tenia|went in)\b(?:\W+\w+){0,3}\W*$"
)
_THEN_AFTER = re.compile(
    r"^\s*(?:before|b4|yesterday|last|when i left|when i came|pre|antes|ayer|the first|going in|ago)\b"
)
_BARE = re.compile(rf"(?<![\w/.,:$#-])(?P<value>{_NUMBER})(?:ish\b|\++)?(?![\w/:%$]|[.,]\d|-\d)")
# What may follow a number that stands alone as a score; any other word makes it a count ("9 dollar smoothie").
_SCORE_AFTER = re.compile(
    r"^\s*(?:$|[^\w\s]|(?:a|an|all|about|actually|after|again|and|are|as|at|b4|back|bad|before|best|but|cuz|because|bc|currently|cept|down|"
    r"during|easy|even|except|for|from|going|got|hon|honey|hurts?|i|if|im|in|ish|is|it|its|just|last|level|like|lol|maybe|max|me|min|mostly|most|"
    r"my|n|no|not|noo|now|of|ok|on|only|or|out|over|pain|please|plus|point|pretty|right|rn|said|same|she|he|since|sitting|so|sometimes|still|"
    r"sure|thank|thanks|thankyou|thats?|the|then|this|tho|though|till?|til|to|today|tonight|too|tops|tx|ty|u|up|w|walking|was|were|well|when|"
    r"while|wit|with|without|worse|worst|would|yes|yesterday|you|better|standing|lying|moving|resting|dear|doctor|doc|nurse|maam|"
    r"ahora|ahorita|al|antes|aproximadamente|ayer|como|con|cuando|de|del|desde|doctora|dolor|en|es|esta|gracias|hoy|la|mas|me|muy|nada|o|"
    r"para|pero|por|porque|que|senorita|si|sin|solo|sube|u|y|ya|ahi|nomas|mija|todavia|un|hasta|despues|parado|parada|sentado|sentada|acostado)\b)"
)
_NOT_SCORE_AFTER = re.compile(
    r"^\s*(?:\+\s*)?(?:am\b|pm\b|a\.m|p\.m|oclock|o'clock|mg|ml|mcg|hours?|hrs?\b|hr\b|min(?:ute)?s?\b|days?|weeks?|wks?|months?|years?|yrs?|"
    r"times?|x\b|of (?:the|them|my|those|these|us|em)|in the (?:morning|evening|afternoon)|at night|de la (?:manana|tarde|noche|madrugada)|"
    r"nd\b|th\b|st\b|rd\b|thing|more|mas\b|different|good|great|little|big|is the|this morning after|to sleep|on the dot)"
)
_NOT_SCORE_BEFORE = re.compile(
    r"(?:(?<!is )(?<!its )(?<!still )(?<!pain )(?<!im )(?<!me )\bat|\bday|\bdia|\broom|\btook|\btake|\btome|\btomo|\btomado|\bfor|\bpor|\bsince|\bdesde(?: las)?|"
    r"\ba las|\bhace|\bapril|\bjune|\bthe|\bchapter|\bpsalm|\bonly one|\bthis|\bthat|\bno|\bwhich|\bel|\bcada|\bevery|\baround the|\bchannel|"
    r"\bthese|\bthose|\blas|\blos|\bslept|\bmy|\bin|\bby|\bsome|\bany|\bbar|\bgate|\btil|\btill|\buntil|\bsold|\bhas|\bhad|\bwalked|\bate|\bof|\bwith|\band only|"
    r"\bother|\bunit|\bapt|\bsuite|\blevel l|\bt|\bl|\bage|\bis day|\bpost op day|\bapartment|\bnumber)\s*$"
)


@dataclass(frozen=True, slots=True)
class _Score:
    value: float
    start: int
    end: int
    then: bool
    now: bool


def _candidates(folded: str) -> list[_Score]:
    """Numbers from 0 to 11 that can be a pain score: not dates, doses, hours, counts of things."""
    found = []
    for match in islice(_BARE.finditer(folded), _MOST_NUMBERS):
        value, word = _value(match["value"]), match["value"]
        before, after = (
            folded[max(0, match.start() - 40) : match.start()],
            folded[match.end() : match.end() + 24],
        )
        if not 0 <= value <= 11 or _NOT_SCORE_AFTER.match(after) or _NOT_SCORE_BEFORE.search(before):
            continue
        if not _SCORE_AFTER.match(after) and not _introduced(before, after):
            continue
        if (
            word in ("one", "uno", "dos", "once")
            and len(folded.split()) > 4
            and not re.search(r"\ba $", before)
        ):
            continue  # far too common a word to be a score by itself
        clause = re.split(r"[.;!?,]", before)[-1]
        now = bool(_NOW.search(clause)) or bool(re.match(r"^\W*(?:now|today|tonight|hoy|ahora|noo)\b", after))
        then = bool(_THEN.search(clause) or _THEN_AFTER.match(after)) and not now
        found.append(_Score(min(value, 10.0), match.start(), match.end(), then, now))
    return found


_INTRODUCED = re.compile(r"(?:^|\b(?:a|like|bout|about|maybe|its|solid|only|un|como|mga|de a)\W+)$")
_COUNTED = re.compile(r"^\s*(?:\w+s\b|dollar|head|kilo|lb|pound|buck|inch|mile|foot|feet|cm|percent|finger)")


def _introduced(before: str, after: str) -> bool:
    """Whether a number is told as a score though an unknown word follows ("like a 3 fr")."""
    return bool(_INTRODUCED.search(before)) and not _COUNTED.match(after)


def scores(text: str) -> list[tuple[float, int, int]]:
    """Numbers from 0 to 10 that can be a pain score, with places."""
    return [(one.value, one.start, one.end) for one in _candidates(normalise(text))]


def _value(word: str) -> float:
    return float(_WORDS[word]) if word in _WORDS else float(word.replace(",", "."))


def pain_score(text: str) -> float | None:
    """The score a reply to the pain question gives: a correction wins, then what is said of now, then "x/10", then
    a range (the higher), then the highest that is not of another time. None when there is none or it is above 11."""
    folded = normalise(text).strip()
    if folded.strip(" .!") in ("o", "none", "nada", "ninguno", "nothing", "cero", "nil", "zip", "zilch"):
        return 0.0
    corrections = [
        match for match in islice(_CORRECTION.finditer(folded), _MOST_NUMBERS) if _is_score(match, folded)
    ]
    if corrections:
        return min(_value(corrections[-1]["value"]), 10.0)
    found = [one for one in _candidates(folded) if not re.match(r"\s*-\s*10\b", folded[one.end :])]
    tenths = {match.start() for match in islice(_OUT_OF_TEN.finditer(folded), _MOST_NUMBERS)}
    for match in islice(_RANGE.finditer(folded), _MOST_NUMBERS):
        low, high = _value(match["low"]), _value(match["high"])
        if max(low, high) <= 10 and match.start() not in tenths and _is_score(match, folded, "high"):
            before = folded[max(0, match.start() - 12) : match.start()]
            if re.search(r"\b(?:from|de)\W+(?:an? |un )?$", before):
                return high
            if (low, high) in ((0, 10), (1, 10)):
                continue  # the scale itself
            if not _NOT_SCORE_BEFORE.search(folded[max(0, match.start() - 16) : match.start()]):
                return max(low, high)
    for match in islice(_OUT_OF_TEN.finditer(folded), _MOST_NUMBERS):
        if _value(match["value"]) <= 11:
            then = bool(
                _THEN.search(re.split(r"[.;!?,]", folded[max(0, match.start() - 40) : match.start()])[-1])
            )
            found = [one for one in found if not match.start() <= one.start < match.end()]
            found.append(_Score(min(_value(match["value"]), 10.0), *match.span("value"), then, not then))
    for group in (
        [one for one in found if one.now],
        [one for one in found if not one.then],
        found,
    ):
        if group:
            return group[-1].value if group[0].now else max(one.value for one in group)
    return None


def _is_score(match: re.Match[str], folded: str, name: str = "value") -> bool:
    return _value(match[name]) <= 11 and not _NOT_SCORE_AFTER.match(folded[match.end() :][:24])


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


# A greeting before and a "please" behind a short answer change nothing.
_COURTESY = re.compile(
    r"^\W*(?:(?:hola|buenas? (?:tardes|noches|dias?)|buenos dias|buen dia|buenas|hi|hello|hey|good (?:morning|afternoon|"
    r"evening))\b(?:\W+(?:senorita|senora|doctora?|nurse|seno|miss|enfermera)\b)?\W+)+|\W+(?:por ?fa(?:vor)?|please|pls)\W*$"
)


def _bare(text: str) -> str:
    """The opening of a reply, less a greeting before or a "please" behind. An answer stands in the first words."""
    return _COURTESY.sub("", normalise(text.strip()[:120]).replace("'", "").replace("\x01", ""))


def yes_or_no(text: str) -> str | None:
    """``yes`` or ``no`` when the whole reply says just that (English or Spanish), else None."""
    folded = _bare(text)
    if len(folded) > 60:
        return None
    if _NO.match(folded):
        return "no"
    return "yes" if _YES.match(folded) else None


def opens_with(text: str) -> str | None:
    """``yes`` or ``no`` when the reply begins with it and goes on."""
    folded = _bare(text)
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
