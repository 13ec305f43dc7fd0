"""A reply read as the answer to the question asked: yes or no, a score, a temperature. Clinical notes 3.6."""

import re

from messages.reply import normalise
from messages.triage.assessment import Answer
from messages.triage.heat import Temperature
from messages.triage.scores import pain_score

_NO_TAIL = (
    r"(?:,? ?(?:maam|mam|sir|sirree|siree|thanks?|thank you|ty|thx|nada|gracias|senora|senorita|"
    r"senor|doctor|doc|dear|hun|hon|honey|love|not? at all|not really|all good|im (?:good|fine|"
    r"ok(?:ay)?)|para nada|sweetie|mija|nurse|po|sis|sister|bro|mate|worries|problems?|doctora|"
    r"enfermera|ninguno|nothing|none|no|nope|nah))*"
)
_NO = re.compile(
    r"^\W*(?:no+|nope+|n|nah+|naw|nop|negative|none|neg|nay|nel|nones|para nada|not at all|not really|no way|"
    r"none of (?:that|those|it|them|the above)|"
    rf"nada|nada de eso|ninguno|ninguna|nun|na|nil|nothing|nuh uh|negativo|ni uno|ningun)\b{_NO_TAIL}\W*$"
)
_YES = re.compile(
    r"^\W*(?:y+|ye+s+|yea+h?|yep+|yup+|yess+|si+|sip|simon|sii+|yeah|yah|ya|aye|affirmative|correct|i do|"
    r"i did|it is|i have|claro|asi es|"
    r"sure|sure did|sure is|of course|afirmativo|yes indeed|uh huh|uh-huh|yessir|yes i (?:do|did|have)|"
    r"yes it is|k|ok|okay)"
    r"\b(?:,? ?(?:maam|mam|sir|thanks?|thank you|ty|senora|senorita|senor|doctor|doc|dear|hun|hon|honey|love|"
    r"gracias|"
    r"i did|it is|i do|i have|a little|a lil(?: bit)?|un poco|poquito|some|po|sis|nurse|doctora|enfermera|"
    r"claro|still|todavia|yes|yep|si))*\W*$"
)
_STARTS_YES = re.compile(
    r"^\W*(?:y|yes+|yea+h?|yep+|yup+|si|yah|aye|ya|affirmative|yessir|sip)\b(?!\W*(?:but no|and no)\b)"
    r"(?!(?<=\bsi) (?:(?:me|se|le|algun|alguna|un|acaso|hay|es que|en) )*(?:llega\w*|llego|pasa\w*|algo|"
    r"acaso|dia|tuvier\w*|"
    r"fuera|sintier\w*|vez|caso)\b)"
)
_STARTS_NO = re.compile(r"^\W*(?:no+|n|nope+|nah+|naw|nop|negative|nay|not yet|todavia no|aun no)\b")


# A greeting before and a "please" behind a short answer change nothing.
_COURTESY = re.compile(
    r"^\W*(?:(?:hola|buenas? (?:tardes|noches|dias?)|buenos dias|buen dia|buenas|hi|hello|hey|"
    r"good (?:morning|afternoon|"
    r"evening))\b(?:\W+(?:senorita|senora|doctora?|nurse|seno|miss|enfermera)\b)?\W+)+|\W+(?:por ?fa(?:vor)?|"
    r"please|pls)\W*$"
)


def _bare(text: str) -> str:
    """The opening of a reply, less a greeting before or a "please" behind. An answer stands in the first
    words."""
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
