"""What the learned reader looks at in a text: words, word pairs and pieces of words, with the question asked.

Pure and quick; training (``tools/train_reader.py``) and reading share this one function, so they cannot differ.
"""

import re
import unicodedata

_WORD = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+|[^\w\s]")
_LONG_RUN = re.compile(r"(.)\1{2,}")
MOST_WORDS = 330
"""Words read of one text: more than ten SMS segments can hold, so reading stays linear and bounded."""


def plain(text: str) -> str:
    """Lower case, no accents, no apostrophes, letters repeated at most twice. ``ñ`` becomes ``n``."""
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return _LONG_RUN.sub(r"\1\1", text.replace("'", "").replace("’", ""))


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text, as the reader sees them."""
    return _WORD.findall(plain(text))[:MOST_WORDS]


def signals(read: list[str], asked: str | None, language: str | None) -> set[str]:
    """Every feature present in ``read`` (from :func:`words`), each once."""
    question = asked or "null"
    found = {"A=" + question, "L=" + (language or "?")}
    line = ["^", *read, "$"]
    for first, second in zip(line, line[1:], strict=False):
        found.add("b=" + first + "_" + second)
    for first, second in zip(line, line[2:], strict=False):
        found.add("s=" + first + "_" + second)
    for first, second in zip(line, line[3:], strict=False):
        found.add("s=" + first + "_" + second)
    if len(read) <= 4:
        found.add("al=" + question + ":" + " ".join(read))
    for word in set(read):
        found.add("w=" + word)
        found.add("aw=" + question + ":" + word)
        found.update(pieces(word))
    return found


def pieces(word: str) -> list[str]:
    """Runs of three to five letters of one word, its ends marked, so that typos and endings still count."""
    marked = "<" + word[:30] + ">"
    size = len(marked)
    return (
        ["c=" + marked[i : i + 3] for i in range(size - 2)]
        + ["c=" + marked[i : i + 4] for i in range(size - 3)]
        + ["c=" + marked[i : i + 5] for i in range(size - 4)]
    )
