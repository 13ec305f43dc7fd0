"""Body temperatures in a text, in digits or words, Fahrenheit or Celsius. Clinical notes 3.6."""

import re
from dataclasses import dataclass
from itertools import islice

from messages.reply import normalise

# Fever from here on (clinical notes 3.6: the lowest published threshold).
FEVER = {"F": 100.4, "C": 38.0}
HIGH_FEVER = {"F": 103.0, "C": 39.4}
# Numbers read per text, so that a text of nothing but numbers costs no more than another.
MOST_NUMBERS = 24
NUMBER_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "cero": 0, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5,
    "seis": 6,
    "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
}  # fmt: skip
_TENS = {"ninety": 90, "hundred": 100, "cien": 100, "ciento": 100, "treinta": 30}
_SPOKEN = re.compile(
    r"\b(?P<base>(?:one |a )?hundred|ninety|ciento?|treinta)(?: (?:and|y))?"
    r"(?:[ -](?P<ones>one|two|three|four|five|six|seven|eight|nine|uno|una|dos|tres|cuatro|cinco|seis|siete|"
    r"ocho|nueve))?"
    r"(?: (?:point|dot|punto|coma|con) (?P<part>zero|one|two|three|four|five|six|seven|eight|nine|oh|cero|"
    r"uno|dos|"
    r"tres|cuatro|cinco|seis|siete|ocho|nueve|\d))?\b"
)
_DEGREES = re.compile(
    r"(?<![\w.,/$:#])(?P<whole>3[4-9]|4[0-3]|9[3-9]|10[0-9]|11[0-2])(?:(?:[.,]| point | punto |"
    r" coma )(?P<part>\d{1,2}))?"
    r"(?![\d/:]|[.,]\d|%)\s*(?P<unit>(?:degrees?|grados?|deg|°)?\s*(?:fahrenheit|celsius|centigrade|"
    r"centigrados|f\b|c\b)?"
    r"|degrees?|grados?|°)"
)
_RUN_TOGETHER = re.compile(r"(?<![\d.,/])(?:10[0-6][0-9]|100 4|99[0-9])(?![\d.,/])")
_HEAT = re.compile(
    r"\b(?:temp|temps|tempature|temperature|temperatura|temperture|tempeture|thermometer|thermomter|"
    r"termometro|fever|"
    r"fevers|fevr|feverish|fiebre|fievre|calentura|calenturita|febril|degrees|grados|celsius|fahrenheit|oral|"
    r"forehead|under the tongue|tympanic|tymp|axila)\b|°|\bt\s*[:=]?\s*(?=3[5-9]|9[5-9]|10\d)"
)
# Words of heat that are about a body; "40 grados afuera" is not.
_BODY_HEAT = re.compile(
    r"\b(?:temp\w*|temperatura|therm\w*|termometro|fev\w*|fiebre|calentur\w*|febril|oral|forehead|axila|"
    r"frente)\b"
)
_NOT_HEAT = re.compile(
    r"\b(?:outside|weather|oven|heat index|sun|shade|highway|hwy|interstate|route|miles?|bpm|pulse|"
    r"heart rate|hr|bp|"
    r"sugar|glucose|lbs?|pounds|kilos|years?|anos|percent|dollars|bucks|room|channel|degrees out|fm|station|"
    r"spo2|"
    r"o2|ox|oxygen|oxigeno|azucar|presion|afuera|clima|sombra|horno|calor|bochorno|solazo|calle|playa|"
    r"cumpl\w+|gallinas|talla|zapatos?|calz\w+|ruta|canal|pesos|oxigen|sat|sats|garage|attic|pulso|radio|"
    r"bath|tub|sauna|flat|landlord|apartment|thermostat|greenhouse|barn|kitchen|heater|heating pad|texas|"
    r"fm)\b"
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
    for match in islice(_DEGREES.finditer(folded), MOST_NUMBERS):
        whole, part, unit = int(match["whole"]), match["part"], match["unit"].strip()
        if (part is None and not warm and not unit and len(folded.strip()) > 6) or (
            unit and unit[0].isspace()
        ):
            continue
        around = folded[max(0, match.start() - 18) : match.end() + 22]
        if _NOT_HEAT.search(around) and not _BODY_HEAT.search(
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
        for match in islice(_RUN_TOGETHER.finditer(folded), MOST_NUMBERS):
            digits = match.group().replace(" ", "")
            found.append(_temperature(int(digits) / 10, "f", match.span()))
    for match in islice(_SPOKEN.finditer(folded), MOST_NUMBERS):
        if match["part"] is None and not (warm and match["ones"]):
            continue
        base = 100 if "hundred" in match["base"] or match["base"].startswith("cien") else _TENS[match["base"]]
        value = base + _ones(match["ones"]) + (0 if match["part"] is None else _ones(match["part"]) / 10)
        found.append(_temperature(value, "", match.span()))
    return found


def _ones(word: str | None) -> int:
    if word is None or word == "oh":
        return 0
    return int(word) if word.isdigit() else 1 if word == "una" else NUMBER_WORDS[word]


def _temperature(value: float, unit: str, span: tuple[int, int]) -> Temperature:
    letter = "C" if value < 50 else "F"
    return Temperature(round(value, 2), letter, *span)
