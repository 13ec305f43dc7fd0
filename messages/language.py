"""Which language a patient wrote in, well enough to choose the language of the answer."""

import unicodedata

from messages.reply import normalise

# Words of one language only, folded (no accents). Short on purpose: a reply has few words, and most of its
# little words are here.
_SPANISH = frozenset(
    """a al algo anoche asi ayer ayuda cama como con cuando de del desde dia dolor donde duele el ella en es
    esa ese esta estan estoy fiebre gracias ha hace hay hoy la las le les lo los mas me mi mis mucho muy nada
    ni nos o para pecho pero pie pierna piernas poco por porque puedo que quiero se si siento sin sobre su
    tambien te tengo tiene todavia todo tomo un una y ya yo voy llame llamen mano espalda bien cabeza
    respirar sangre venda orinar medicina""".split()
)
_ENGLISH = frozenset(
    """about after am and are at back be been bit but call can cant could did do does dont feel feeling feet
    fell fine foot for from get good got had has have he help her hi his how i im in is it its just leg legs
    like little my need no not now of off on or out pain she since so some still that the their there they
    this to today was we weak what when who why will with yes you your worse better chest breathe hurts hurt
    bandage thanks thank okay""".split()
)
_SHARED = frozenset({"a", "no", "me", "he", "has", "son"})


def language_of(text: str) -> str | None:
    """``en``, ``es``, ``other`` (a script neither is written in), or None when the text does not tell."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(1 for letter in letters if not unicodedata.name(letter, "").startswith("LATIN"))
    if letters and foreign * 2 > len(letters):
        return "other"
    words = ["".join(c for c in word if c.isalnum()) for word in normalise(text).split()]
    spanish = sum(1 for word in words if word in _SPANISH and word not in _SHARED)
    english = sum(1 for word in words if word in _ENGLISH and word not in _SHARED)
    if any(letter in "ñ¿¡Ñ" for letter in text):
        spanish += 2
    if spanish == english:
        return None
    return "es" if spanish > english else "en"
