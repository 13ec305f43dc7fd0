"""What the learned reader looks at in a text: words and their beginnings, neighbours, word classes.

Pure and quick; training and reading share these functions, so they cannot differ.
Word classes (``word_classes.txt``) let a word never seen in training weigh like its kin: a mug is like a cup.
"""

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

_WORD = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+|[^\w\s]")
_LONG_RUN = re.compile(r"(.)\1{2,}")
MOST_WORDS = 400
"""Words read of one text: more than ten SMS segments hold in practice, so reading stays bounded."""
REACH = 6
"""How many words apart two word classes still count as a pair."""


def plain(text: str) -> str:
    """Lower case, no accents, no apostrophes, letters repeated at most twice. ``ñ`` becomes ``n``."""
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return _LONG_RUN.sub(r"\1\1", text.replace("'", "").replace("\u2019", ""))


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text, as the reader sees them; numbers by what they can mean."""
    found = _WORD.findall(plain(text))[:MOST_WORDS]
    return [_number(word) if word[0].isdigit() else word[:30] for word in found]


def _number(word: str) -> str:
    """A score as itself; a body temperature by whether it is a fever (100.4 F, 38 C); else only "big"."""
    try:
        value = float(word.replace(",", "."))
    except ValueError:  # digits of another script
        return "#?"
    if value <= 10:
        return f"#{value:g}"
    if 35 <= value <= 42.5:
        return "#fever" if value >= 38 else "#celsius"
    if 95 <= value <= 107:
        return "#fever" if value >= 100.4 else "#fahrenheit"
    return "#big"


@cache
def _classes() -> tuple[dict[str, list[str]], dict[str, list[str]], dict[tuple[str, ...], list[str]]]:
    exact: dict[str, list[str]] = {}
    stems: dict[str, list[str]] = {}
    phrases: dict[tuple[str, ...], list[str]] = {}
    for line in (Path(__file__).parent / "word_classes.txt").read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, _, members = line.partition(":")
        for member in sorted({plain(one) for one in members.split()}):
            if member.endswith("*"):
                stems.setdefault(member[:-1], []).append(name)
            elif "_" in member:
                phrases.setdefault(tuple(member.split("_")), []).append(name)
            else:
                exact.setdefault(member, []).append(name)
    return exact, stems, phrases


@lru_cache(30_000)
def classes_of(word: str) -> frozenset[str]:
    """The word classes of one word, by itself."""
    exact, stems, _ = _classes()
    found = set(exact.get(word, ()))
    for size in range(3, len(word) + 1):
        found.update(stems.get(word[:size], ()))
    return frozenset(found)


def classes_in(read: list[str]) -> list[frozenset[str]]:
    """For each word its classes, those of phrases counted at their first word."""
    phrases = _classes()[2]
    result = [classes_of(word) for word in read]
    for place in range(len(read) - 1):
        for size in (2, 3):
            names = phrases.get(tuple(read[place : place + size]))
            if names:
                result[place] = result[place].union(names)
    return result


def word_signals(word: str, question: str) -> list[str]:
    """The features of one word: itself, with the question asked, its beginnings of two to four letters and
    the four-letter pieces inside longer ones, so that endings and typos count less."""
    found = ["w=" + word, "a=" + question + word]
    found += ["c=" + word[:size] for size in (2, 3, 4) if size <= len(word)]
    if len(word) >= 5 and word.isalpha():
        found += dict.fromkeys(["g=" + word[start : start + 4] for start in range(1, len(word) - 3)])
    return found


def text_signals(read: list[str], question: str, language: str | None) -> set[str]:
    """The features of the whole text: question, neighbours, word classes and their pairs."""
    found = {"q=" + question, "l=" + (language or "?")}
    line = ["^", *read, "$"]
    found.update([a + "_" + b for a, b in zip(line, line[1:], strict=False)])
    found.update([a + "_." + b for a, b in zip(line, line[2:], strict=False)])
    found.update([a + "_." + b for a, b in zip(line, line[3:], strict=False)])
    if len(read) <= 4:
        found.add("e=" + question + " ".join(read))
    _class_signals(read, question, found)
    return found


def _class_signals(read: list[str], question: str, found: set[str]) -> None:
    known = classes_in(read)
    after, before = [*read[1:], ""], ["", *read[:-1]]
    recent: list[tuple[int, frozenset[str]]] = []
    for place, names in enumerate(known):
        if not names:
            continue
        found.update(_class_names(names, question))
        if after[place]:
            found.update([name + ">" + after[place] for name in names])
        if place:
            found.update([before[place] + ">" + name for name in names])
        recent = [pair for pair in recent if place - pair[0] <= REACH]
        recent.append((place, names))
        for _, others in recent:
            found.update(_pairs(others, names))


@lru_cache(10_000)
def _class_names(names: frozenset[str], question: str) -> tuple[str, ...]:
    return tuple(["k=" + name for name in names] + ["k=" + question + name for name in names])


@lru_cache(30_000)
def _pairs(some: frozenset[str], others: frozenset[str]) -> tuple[str, ...]:
    return tuple(a + "+" + b if a < b else b + "+" + a for a in some for b in others if a != b)
