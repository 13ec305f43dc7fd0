"""Pain scores from 0 to 10 in a text: of now, of then, corrected, as a range. Clinical notes 3.6."""

import re
from dataclasses import dataclass
from itertools import islice

from messages.reply import normalise
from messages.triage.heat import MOST_NUMBERS, NUMBER_WORDS

_NUMBER = r"(?:\d+(?:[.,]\d+)?|" + "|".join(NUMBER_WORDS) + r")"
_OUT_OF_TEN = re.compile(
    rf"(?<![\w/.,])(?P<value>{_NUMBER})\s*(?:/\s*10|out\s*(?:of|a|o|da)\s*(?:10|ten)|of\s+10\b|over\s+10\b|"
    r"de\s+(?:10|diez)|sobre\s+(?:10|diez)|on (?:the|a|your) (?:pain )?scale)\b"
)
_RANGE = re.compile(
    rf"(?<![\w/.,])(?P<low>{_NUMBER})\s*(?:-|to|or|o|a|/|u|maybe)\s*(?:maybe\s*|"
    rf"a\s*)?(?P<high>{_NUMBER})(?![\w/]|[.,]\d)"
)
_CORRECTION = re.compile(
    rf"\b(?:i me(?:an|ant)|meant|sorry|correction|make (?:that|it)|quise decir|perdon|digo|mejor dicho|"
    rf"dang it|"
    rf"no wait|wait|oops|scratch that|typo|fat fingers?|"
    rf"i mean)\W+(?:\w+\W+){{0,3}}?(?P<value>{_NUMBER})(?![\w/]|[.,]\d)"
)
_NOW = re.compile(
    r"\b(?:now|today|tonight|currently|rn|noo|ahora|ahorita|hoy|this (?:morning|evening|afternoon)|up to|"
    r"down to|subio a|"
    r"baj\w+ a|more like|call it|put me down|its|it is|im|i am|es un|esta en|going on)\b(?:\W+\w+){0,3}\W*$"
)
_THEN = re.compile(
    r"\b(?:was|were|wis|from|used to be|had been|yesterday|last (?:night|week)|before|era|estaba|ayer|antes|"
    r"started at|when i left|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|day \d|at first|fue|tenia|went in|traia|"
    r"llegue con|andaba en|venia de|del|baje|bajo|bajaron|ya no (?:es|era)|no es|anoche|al principio|"
    r"sali con|lunes|martes|miercoles|jueves|viernes|sabado|domingo)\b(?:\W+\w+){0,3}\W*$"
)
_THEN_AFTER = re.compile(
    r"^\s*(?:before|b4|yesterday|last|when i left|when i came|pre|antes|ayer|que (?:traia|tenia)|"
    r"the first|going in|ago)\b"
)
_BARE = re.compile(rf"(?<![\w/.,:$#-])(?P<value>{_NUMBER})(?:ish\b|\++)?(?![\w/:%$]|[.,]\d|-\d)")
# What may follow a number that stands alone as a score; any other word makes it a count ("9 dollar
# smoothie").
_SCORE_AFTER = re.compile(
    r"^\s*(?:$|[^\w\s]|(?:a|an|all|about|actually|after|again|and|are|as|at|b4|back|bad|before|best|but|cuz|"
    r"because|bc|currently|cept|down|"
    r"during|easy|even|except|for|from|going|got|hon|honey|hurts?|i|if|im|in|ish|is|it|its|just|last|level|"
    r"like|lol|maybe|max|me|min|mostly|most|"
    r"my|n|no|not|noo|now|of|ok|on|only|or|out|over|pain|please|plus|point|pretty|right|rn|said|same|she|he|"
    r"since|sitting|so|sometimes|still|"
    r"sure|thank|thanks|thankyou|thats?|the|then|this|tho|though|till?|til|to|today|tonight|too|tops|tx|ty|u|"
    r"up|w|walking|was|were|well|when|"
    r"while|wit|with|without|worse|worst|would|yes|yesterday|you|better|standing|lying|moving|resting|dear|"
    r"doctor|doc|nurse|maam|"
    r"ahora|ahorita|al|antes|aproximadamente|ayer|como|con|cuando|de|del|desde|doctora|dolor|en|es|esta|"
    r"gracias|hoy|la|mas|me|muy|nada|o|"
    r"para|pero|por|porque|que|senorita|si|sin|solo|sube|u|y|ya|ahi|nomas|mija|todavia|un|hasta|despues|"
    r"parado|parada|sentado|sentada|acostado)\b)"
)
_NOT_SCORE_AFTER = re.compile(
    r"^\s*(?:\+\s*)?(?:am\b|pm\b|a\.m|p\.m|oclock|o'clock|mg|ml|mcg|hours?|hrs?\b|hr\b|min(?:ute)?s?\b|days?|"
    r"weeks?|wks?|months?|years?|yrs?|"
    r"times?|x\b|of (?:the|them|my|those|these|us|em)|in the (?:morning|evening|afternoon)|at night|"
    r"de la (?:manana|tarde|noche|madrugada)|"
    r"(?:de |en |y de )?(?:felicidad|alegria|animos?|contenta?o?|gratitud|humor|puntos|goles)|"
    r"nd\b|th\b|st\b|rd\b|thing|more|mas\b|different|good|great|little|big|is the|this morning after|"
    r"to sleep|on the dot)"
)
_NOT_SCORE_BEFORE = re.compile(
    r"(?:(?<!is )(?<!its )(?<!still )(?<!pain )(?<!im )(?<!me )\bat|\bday|\bdia|\broom|\btook|\btake|\btome|"
    r"\btomo|\btomado|\banimos?|\bfelicidad|\balegria|\bfor|\bpor|\bsince|\bdesde(?: las)?|"
    r"\ba las|\bhace|\bapril|\bjune|\bthe|\bchapter|\bpsalm|\bonly one|\bthis|\bthat|\bno|\bwhich|\bel|"
    r"\bcada|\bevery|\baround the|\bchannel|"
    r"\bthese|\bthose|\blas|\blos|\bslept|\bmy|\bin|\bby|\bsome|\bany|\bbar|\bgate|\btil|\btill|\buntil|"
    r"\bsold|\bhas|\bhad|\bwalked|\bate|\bof|\bwith|\band only|"
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
    for match in islice(_BARE.finditer(folded), MOST_NUMBERS):
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
    return float(NUMBER_WORDS[word]) if word in NUMBER_WORDS else float(word.replace(",", "."))


def pain_score(text: str) -> float | None:
    """The score a reply to the pain question gives: a correction wins, then what is said of now, then
    "x/10", then a range (the higher), then the highest that is not of another time. None when there is none
    or it is above 11."""
    folded = normalise(text).strip()
    if folded.strip(" .!") in ("o", "none", "nada", "ninguno", "nothing", "cero", "nil", "zip", "zilch"):
        return 0.0
    corrections = [
        match for match in islice(_CORRECTION.finditer(folded), MOST_NUMBERS) if _is_score(match, folded)
    ]
    if corrections:
        return min(_value(corrections[-1]["value"]), 10.0)
    found = [one for one in _candidates(folded) if not re.match(r"\s*-\s*10\b", folded[one.end :])]
    tenths = {match.start() for match in islice(_OUT_OF_TEN.finditer(folded), MOST_NUMBERS)}
    for match in islice(_RANGE.finditer(folded), MOST_NUMBERS):
        low, high = _value(match["low"]), _value(match["high"])
        if low > high and "-" in match.group():
            continue  # the result of a match
        if max(low, high) <= 10 and match.start() not in tenths and _is_score(match, folded, "high"):
            before = folded[max(0, match.start() - 12) : match.start()]
            if re.search(r"\b(?:from|de)\W+(?:an? |un )?$", before):
                return high
            if (low, high) in ((0, 10), (1, 10)):
                continue  # the scale itself
            if not _NOT_SCORE_BEFORE.search(folded[max(0, match.start() - 16) : match.start()]):
                return max(low, high)
    for match in islice(_OUT_OF_TEN.finditer(folded), MOST_NUMBERS):
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
