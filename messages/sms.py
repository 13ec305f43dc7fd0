"""How a text travels: GSM-7 or UCS-2, cleaned for the first, counted in segments."""


def sanitise(text: str) -> str:
    """The text as we send it: curly quotes, dashes and odd spaces straightened; a-acute, i-acute, o-acute and
    u-acute (and their capitals) lose the accent, because one of them would halve the text's length. Whatever GSM-7
    has stays (e-acute, n-tilde, u-diaeresis, inverted marks). Other signs (emoji) stay too: they make it UCS-2."""
    raise NotImplementedError


def encoding(text: str) -> str:
    """``"GSM-7"`` or ``"UCS-2"``."""
    raise NotImplementedError


def segments(text: str) -> int:
    """How many parts the carrier sends and charges. Packs part by part: an escape pair or a surrogate pair never
    straddles two parts. The empty text counts 0."""
    raise NotImplementedError
