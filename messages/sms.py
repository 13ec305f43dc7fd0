"""How a text travels: GSM-7 or UCS-2, cleaned for the first, counted in segments."""

import re
import unicodedata

GSM_7 = "GSM-7"
UCS_2 = "UCS-2"

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = frozenset("\f^{}\\[~]|€")  # each takes two places: an escape and itself

_GSM_7 = re.compile(f"[{re.escape(''.join(sorted(_BASIC | _ESCAPED)))}]*")
_AS_IS = re.compile(f"[{re.escape(''.join(sorted((_BASIC | _ESCAPED) - {chr(12)})))}]*")

_STRAIGHT = str.maketrans({
    **dict.fromkeys("‘’‚‛′`´ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
                    "\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
    **dict.fromkeys("•·", "-"),
    "…": "...",
    "\u2028": "\n",
    "\u2029": "\n",
})  # fmt: skip


def sanitise(text: str) -> str:
    """The text as we send it, so that it stays within GSM-7 wherever that loses no meaning.

    Curly quotes, dashes and odd spaces are straightened; control characters go. Letters GSM-7 lacks lose
    their accent (á í ó ú: one of them would cost more than half of the text's length); those it has stay (é
    ñ ü ¿ ¡). Other signs (emoji, other scripts) stay as they are and make the text UCS-2.
    """
    if _AS_IS.fullmatch(text):
        return text
    straight = unicodedata.normalize("NFC", text).translate(_STRAIGHT)
    return "".join(_plain(sign) for sign in straight)


def _plain(sign: str) -> str:
    if sign in _BASIC or sign in _ESCAPED:
        return "" if sign == "\f" else sign
    if unicodedata.category(sign) == "Cc":
        return ""
    base = unicodedata.normalize("NFD", sign)[0]
    return base if base in _BASIC else sign


def encoding(text: str) -> str:
    """``"GSM-7"`` when every character is in its table, else ``"UCS-2"``."""
    return GSM_7 if _GSM_7.fullmatch(text) else UCS_2


def segments(text: str) -> int:
    """How many parts the carrier sends and charges: 160 places in one part, 153 in each of several (UCS-2:
    70, 67).

    Packs part by part, since an escape pair or a surrogate pair never straddles two parts. Empty text: 0.
    """
    if encoding(text) == GSM_7:
        return _packed([2 if sign in _ESCAPED else 1 for sign in text], alone=160, each=153)
    return _packed([2 if ord(sign) > 0xFFFF else 1 for sign in text], alone=70, each=67)


def _packed(places: list[int], alone: int, each: int) -> int:
    if sum(places) <= alone:
        return 1 if places else 0
    parts, used = 1, 0
    for place in places:
        if used + place > each:
            parts, used = parts + 1, 0
        used += place
    return parts
