"""The learned reader: weighs the words of a reply that no rule foresaw. It may only raise.

Three questions are scored: is it a red flag, is it an emergency, need anybody read it. Each score is a sum
over the features present plus a small layer of hidden units that saw which features go together. All of it is
learned from the labelled replies in ``tests/bank`` by ``tools/train_reader.py``; no patient wrote them.

How it stays quick without numpy: the weights of one feature are packed side by side into one long integer, 32
bits each and kept positive by an offset, so that adding two integers adds all weights at once.
"""

import json
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from math import sqrt
from operator import mul
from pathlib import Path

from messages.triage.assessment import Weight
from messages.triage.signals import text_signals, word_signals, words
from messages.urgency import Urgency

FOLDER = Path(__file__).parent
OFFSET = 128
"""Added to each weight (one signed byte) so that it is never negative inside the long integer."""
RED_FLAG, EMERGENCY, ANYBODY = 0, 1, 2
FAMILIAR = 0.6
"""Share of the words that must be known before a text may be left to nobody."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the learned reader makes of a text. ``urgency`` is what it raises to (``none`` raises nothing);
    ``is_none`` says that nobody needs to read it, above a margin calibrated on voices it had never seen;
    ``margin``: log-odds above where urgent begins; ``harmless``: all but certainly no red flag, whatever
    single words sound like. ``sums``: what ``weighed`` is worked out from when somebody asks."""

    urgency: Urgency
    is_none: bool
    margin: float = 0.0
    harmless: bool = False
    sums: tuple[list[str], str | None, int, int] | None = None

    @property
    def weighed(self) -> tuple[Weight, ...]:
        """The words that weighed most; nothing unless it raised."""
        return () if self.sums is None else _weighed(model(), *self.sums)


@dataclass(frozen=True, slots=True)
class Model:
    """``packed``: all weights of a feature in one integer; ``scales``: what a unit of each column is worth.

    The first three columns add to the scores directly, the others feed hidden units; ``hidden`` holds, per
    unit, its start and its weight in each score. Scores at or above the limits raise; below ``none_below``
    nobody needs to read."""

    packed: dict[str, int]
    unpack: struct.Struct
    scales: tuple[float, ...]
    start: tuple[float, float, float]
    hidden: tuple[tuple[float, float, float, float], ...]
    urgent_from: float
    emergency_from: float
    none_below: float
    harmless_below: float
    word_sums: dict[tuple[str, str], tuple[int, int]]


@cache
def model() -> Model:
    """The shipped model, read once."""
    return load(FOLDER)


def load(folder: Path) -> Model:
    """The model in ``folder``. Raises ``ValueError`` saying how to mend it when its files do not fit."""
    about = json.loads((folder / "reader_model.json").read_text("utf-8"))
    names = (folder / "reader_model.txt").read_text("utf-8").splitlines()
    weights = (folder / "reader_model.bin").read_bytes()
    columns = len(about["scales"])
    if len(weights) != columns * len(names) or len(names) != about["features"]:
        raise ValueError("messages/triage/reader_model.* do not belong together: run tools/train_reader.py")
    wide = bytearray(4 * len(weights))
    wide[0::4] = weights
    size = 4 * columns
    number = int.from_bytes
    return Model(
        packed={name: number(wide[i * size : (i + 1) * size], "little") for i, name in enumerate(names)},
        unpack=struct.Struct(f"<{columns}I"),
        scales=tuple(about["scales"]),
        start=tuple(about["start"]),
        hidden=tuple(tuple(unit) for unit in about["hidden"]),
        urgent_from=about["urgent_from"],
        emergency_from=about["emergency_from"],
        none_below=about["none_below"],
        harmless_below=about["harmless_below"],
        word_sums={},
    )


@lru_cache(256)  # clauses of one text are asked for more than once
def weigh(text: str, asked: str | None, language: str | None) -> Reading:
    """Read one reply. ``asked`` is the key of the last question, ``language`` the enrollment's, if known.

    What the rules found is not looked at: on families left out it added nothing, because the rules were
    written beside the same replies."""
    known = model()
    read = words(text)
    if not read:
        return Reading(Urgency.NONE, False)
    total, count = _sum(known, read, asked, language)
    red_flag, emergency, anybody = _finish(known, total, count)
    margin = red_flag - known.urgent_from
    if margin >= 0:
        urgency = Urgency.EMERGENCY if emergency >= known.emergency_from else Urgency.URGENT
        return Reading(urgency, False, margin, sums=(read, asked, total, count))
    quiet = anybody < known.none_below and _is_familiar(known, read, len(text))
    return Reading(Urgency.NONE, quiet, margin, red_flag < known.harmless_below)


def _is_familiar(known: Model, read: list[str], length: int) -> bool:
    """Whether enough of the words were ever learned from: of a language it does not know ("noga mi nie
    dziala") the reader can say nothing, least of all that nobody need look."""
    spoken = [word for word in read if word.isalpha()]
    if length > 40 and 4 * sum(map(len, read)) < length:
        return False  # a wall of one letter or one picture says nothing we know
    return sum("w=" + word in known.packed for word in spoken) >= FAMILIAR * len(spoken)


def scores(text: str, asked: str | None, language: str | None) -> tuple[float, float, float]:
    """Red flag, emergency, anybody: log-odds, positive towards yes."""
    known = model()
    return _finish(known, *_sum(known, words(text), asked, language))


def _sum(known: Model, read: list[str], asked: str | None, language: str | None) -> tuple[int, int]:
    """The packed sum of all weights present, and of how many features."""
    question = (asked or "") + ":"
    packed, word_sums = known.packed, known.word_sums
    present = packed.keys() & text_signals(read, question, language)
    total, count = sum(map(packed.__getitem__, present)), len(present)
    for word in set(read):
        some, many = word_sums.get((word, question)) or _word_sum(known, word, question)
        total += some
        count += many
    return total, count


def _word_sum(known: Model, word: str, question: str) -> tuple[int, int]:
    found = [known.packed[signal] for signal in word_signals(word, question) if signal in known.packed]
    if len(known.word_sums) > 40_000:  # bounded, whatever is sent
        known.word_sums.clear()
    known.word_sums[word, question] = result = (sum(found), len(found))
    return result


def _finish(known: Model, total: int, count: int) -> tuple[float, float, float]:
    size = sqrt(count) or 1.0
    sums = known.unpack.unpack(total.to_bytes(known.unpack.size, "little"))
    shift = count * OFFSET
    red_flag, emergency, anybody = (
        start + (value - shift) * scale / size
        for start, value, scale in zip(known.start, sums, known.scales, strict=False)
    )
    for (begin, a, b, c), value, scale in zip(known.hidden, sums[3:], known.scales[3:], strict=True):
        active = begin + (value - shift) * scale / size
        if active > 0:
            red_flag += active * a
            emergency += active * b
            anybody += active * c
    return red_flag, emergency, anybody


def _weighed(
    known: Model, read: list[str], asked: str | None, total: int, count: int, most: int = 5
) -> tuple[Weight, ...]:
    """The words that weighed most towards a red flag, through scores and active hidden units."""
    size = sqrt(count) or 1.0
    sums = known.unpack.unpack(total.to_bytes(known.unpack.size, "little"))
    worth = [known.scales[RED_FLAG] / size, 0.0, 0.0]
    for (begin, red_flag, _, _), value, scale in zip(known.hidden, sums[3:], known.scales[3:], strict=True):
        active = begin + (value - count * OFFSET) * scale / size > 0
        worth.append(red_flag * scale / size if active else 0.0)
    all_worth = sum(worth) * OFFSET
    found = []
    for word in dict.fromkeys(read):
        if word[-1].isalnum():
            some, many = known.word_sums.get((word, (asked or "") + ":")) or (0, 0)
            weights = known.unpack.unpack(some.to_bytes(known.unpack.size, "little"))
            weight = sum(map(mul, weights, worth)) - many * all_worth
            found.append((weight, word.lstrip("#")))
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(Weight(word, round(weight, 2)) for weight, word in found[:most] if weight > 0)
