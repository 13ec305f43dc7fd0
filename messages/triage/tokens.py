"""A text cut into words with their places, in one pass."""

import re
from dataclasses import dataclass

from messages.reply import normalise

# Longest text that is read word by word; carriers join at most ten segments (1,530 characters).
LONGEST = 2000
_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)?(?![\w.,]?\d)(?:(?=[^\w'])|$|(?=[a-z]{1,2}\b))"
    r"|[^\W_]+(?:['\x01][^\W_\x01]+)*"
    r"|[.!?;\n]+|[,:()/\\&+=*\"-]"
    r"|[\u2600-\u27bf\U0001f300-\U0001faff]"
)
# "he'll" is not "hell", "we'll" not "well", "she'd" not "shed".
_SHORTENED = re.compile(r"(?<=[a-z])'(?:ll|d)$|(?<=^we)'re$")
_STRONG = frozenset(".!?;\n")
_TURNS = frozenset("but however except though although pero excepto aunque sino".split())
_WEIGHTLESS = frozenset('-"()/&+=*\\')
PAUSE = "\u2026"


@dataclass(slots=True)
class Tokens:
    """Words and marks of a text. ``words[i]`` is folded, without apostrophes; ``starts``/``ends`` are
    offsets in the raw text. ``segments[i]`` counts sentence ends before the word, ``clauses[i]`` also each
    "but"; ``weights`` is a running count of words that carry meaning, so that ``weights[j] - weights[i]`` is
    a distance that fillers do not stretch."""

    words: list[str]
    starts: list[int]
    ends: list[int]
    segments: list[int]
    clauses: list[int]
    weights: list[int]


def cut(text: str, merges: dict[tuple[str, str], str], fillers: frozenset[str]) -> Tokens:
    """The tokens of ``text``: two words that belong together ("can not") become one, marks stay as tokens."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(normalise(text[:LONGEST])):
        word = match.group()
        if not word.isascii() or "'" in word or "\x01" in word:
            word = _SHORTENED.sub("", word).replace("'", "").replace("\x01", "")
        elif word[0] in _STRONG:
            word = "?" if "?" in word else PAUSE if word.startswith("..") else word[0]
        if words and (words[-1], word) in merges:
            words[-1] = merges[words[-1], word]
            ends[-1] = match.end()
            continue
        words.append(word)
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends, *_measure(words, fillers))


def _measure(words: list[str], fillers: frozenset[str]) -> tuple[list[int], list[int], list[int]]:
    segments: list[int] = []
    clauses: list[int] = []
    weights = [0]
    segment = clause = weight = 0
    for word in words:
        if word in _TURNS:
            clause += 1
        segments.append(segment)
        clauses.append(clause)
        if word in _STRONG:
            segment += 1
            clause += 1
        elif word not in fillers and word not in _WEIGHTLESS:
            weight += 1
        weights.append(weight)
    segments.append(segment)
    clauses.append(clause)
    return segments, clauses, weights
