"""A patient's text as text: folding, own-words stripping, carrier words, opt-out in the person's own words.

``normalise`` maps one code point to one, so an offset in the folded text is an offset in the raw text.
"""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_NOTHING = "\x01"  # stands for a combining mark or zero-width character, so that offsets hold
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u00b4": "'", "`": "'", "\u201c": '"', "\u201d": '"'}
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
_SPACES = {"\n": "\n", "\r": "\n", "\u2028": "\n", "\u2029": "\n", "\u2026": "."}


class _Folded(dict[int, str]):
    """Code point -> the one character that stands for it, found on first use."""

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        self[code] = folded
        return folded


def _fold(character: str) -> str:
    for table in (_QUOTES, _DASHES, _SPACES):
        if character in table:
            return table[character]
    category = unicodedata.category(character)
    if category in ("Mn", "Cf", "Me", "Cc", "Cs"):
        return " " if character == "\t" else _NOTHING
    if category == "Zs":
        return " "
    plain = unicodedata.normalize("NFKD", character).casefold()
    return plain[0] if plain else _NOTHING


_TABLE = _Folded()


def normalise(text: str) -> str:
    """``text`` folded for matching: NFKD base letters, lower case, straight quotes and dashes, no accents.

    Same length as ``text``: ``normalise(text)[a:b]`` stands for ``text[a:b]``.
    """
    return text.lower() if text.isascii() and "`" not in text else text.translate(_TABLE)


_REACTION = re.compile(
    r"^\s*(?:liked|loved|disliked|laughed at|emphasi[sz]ed|questioned|removed an? \w+ from|"
    r"reacted \S{1,8} to|"
    r"le gusto|me gusta|le encanto|me encanta|no le gusto|se rio de|enfatizo|pregunto por|destaco|"
    r"reacciono (?:con )?\S{1,8} a)(?: a)?\s*\"(?P<quoted>[^\"]*)\"?\s*$"
)
_QUOTED_LINE = re.compile(r"(?m)^[ \t]*>.*$")
_FORWARD = re.compile(r"(?m)^[ \t]*(?:fwd?|fw|reenviado|rv)\s*:\s*")
# The questions of the labelling guide and their Spanish twins: a copy of one is never the patient's own
# finding.
_OWN_QUESTIONS = (
    "any new numbness, tingling, weakness, fever or new pain?",
    "reply yes or no, or tell us in your own words",
    "how is your pain 0-10?",
    "is your bandage still on, clean and dry?",
    "did you check with your doctor about restarting your blood thinner?",
)


def reaction_to(text: str) -> str | None:
    """The word of a phone's reaction ("liked", "questioned" ...) when the text is one, else None."""
    match = _REACTION.match(normalise(text))
    return match.group(0).split()[0] if match else None


def strip_own_words(text: str, own_texts: tuple[str, ...] = ()) -> str:
    """``text`` with our own words blanked: quoted reactions, "> " lines, copies of ``own_texts``.

    Same length as ``text`` (blanks stand for what was cut), so offsets hold. Copies shorter than 20
    characters are left: a patient may well write them.
    """
    folded = normalise(text)
    cuts: list[tuple[int, int]] = []
    match = _REACTION.match(folded)
    if match:
        cuts.append(match.span("quoted"))
    for pattern in (_QUOTED_LINE, _FORWARD):
        cuts.extend(found.span() for found in pattern.finditer(folded) if found.group().strip())
    if len(folded) > 20:
        for own in (*_OWN_QUESTIONS, *(normalise(own) for own in own_texts)):
            cuts.extend(_copies(folded, own))
    for start, end in cuts:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _copies(folded: str, own: str) -> list[tuple[int, int]]:
    words = own.split()
    if len(" ".join(words)) < 20:
        return []
    if words[0] not in folded:
        return []
    pattern = re.compile(r"\s+".join(re.escape(word) for word in words))
    return [found.span() for found in pattern.finditer(folded)]


@dataclass(frozen=True, slots=True)
class _Keywords:
    words: dict[str, str]
    opt_out: tuple[re.Pattern[str], ...]


@cache
def _keywords() -> _Keywords:
    data = tomllib.loads((Path(__file__).parent / "keywords.toml").read_text(encoding="utf-8"))
    words = {word: kind for kind in ("stop", "start", "help") for word in data[kind]["words"]}
    return _Keywords(words, tuple(re.compile(pattern) for pattern in data["opt_out"]["sentences"]))


def carrier_word(text: str) -> str | None:
    """``stop``, ``start`` or ``help`` when the whole text is that keyword (English or Spanish), else None.

    Whole texts only (clinical notes 5.3): "stop the bleeding" is not one. YES is not START for us.
    """
    word = " ".join(normalise(text).replace(_NOTHING, "").strip(" .!\"'\n").split())
    return _keywords().words.get(word)


def free_text_opt_out(text: str) -> bool:
    """Whether a clear sentence aimed at the messages asks us to stop ("stop texting me"); clinical notes
    3.8."""
    folded = normalise(text).replace("'", "").replace(_NOTHING, "")
    return any(pattern.search(folded) for pattern in _keywords().opt_out)
