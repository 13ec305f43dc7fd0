"""The learned reader: weighs the words of a reply the rules may not foresee. It may only raise.

The model is linear: three sums over the signals present (is it a red flag? an emergency? does anybody need to read
it?), learned from the labelled replies in ``tests/bank`` by ``tools/train_reader.py``. No patient wrote those replies.
"""

import json
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path

from messages.triage.assessment import Finding, Weight
from messages.triage.signals import signals, words
from messages.urgency import Urgency

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reading:
    """What the learned reader makes of a text. ``urgency`` is what it raises to (``none`` raises nothing);
    ``is_none`` says that nobody needs to read it, above a margin calibrated on voices it had never seen."""

    urgency: Urgency
    is_none: bool
    weighed: tuple[Weight, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """``weights`` per signal: towards urgent, towards emergency, towards anybody reading it."""

    weights: dict[str, tuple[float, float, float]]
    start: tuple[float, float, float]
    urgent_from: float
    emergency_from: float
    none_below: float


@cache
def model() -> Model:
    """The shipped model. Raises ``ValueError`` naming the file when it is damaged."""
    about = json.loads((FOLDER / "reader_model.json").read_text("utf-8"))
    scale = about["scale"]
    weights = {}
    for line in (FOLDER / "reader_model.txt").read_text("utf-8").splitlines():
        signal, a, b, c = line.split("\t")
        weights[signal] = (int(a) * scale, int(b) * scale, int(c) * scale)
    if len(weights) != about["signals"]:
        raise ValueError("reader_model.txt is damaged: run tools/train_reader.py")
    return Model(
        weights, tuple(about["start"]), about["urgent_from"], about["emergency_from"], about["none_below"]
    )


def weigh(
    text: str,
    asked: str | None,
    language: str | None,
    findings: tuple[Finding, ...] = (),
    features: tuple[str, ...] = (),
) -> Reading:
    """Read one reply. ``asked`` is the key of the last question, ``language`` the enrollment's, if known."""
    known = model()
    read = words(text)
    urgent, emergency, anybody = scores(known, read, asked, language)
    if emergency >= known.emergency_from:
        return Reading(Urgency.EMERGENCY, False, weighed(known, read, asked, 1))
    if urgent >= known.urgent_from:
        return Reading(Urgency.URGENT, False, weighed(known, read, asked, 0))
    return Reading(Urgency.NONE, bool(read) and anybody < known.none_below)


def scores(
    known: Model, read: list[str], asked: str | None, language: str | None
) -> tuple[float, float, float]:
    """The three sums, each over the square root of the number of signals."""
    found = signals(read, asked, language)
    urgent = emergency = anybody = 0.0
    get = known.weights.get
    for signal in found:
        weight = get(signal)
        if weight is not None:
            urgent += weight[0]
            emergency += weight[1]
            anybody += weight[2]
    size = sqrt(len(found))
    return (
        known.start[0] + urgent / size,
        known.start[1] + emergency / size,
        known.start[2] + anybody / size,
    )


def weighed(
    known: Model, read: list[str], asked: str | None, which: int, most: int = 5
) -> tuple[Weight, ...]:
    """The words that weighed most towards a person looking: what is lost when one is left out."""
    if len(read) > 60:
        read = read[:60]
    whole = scores(known, read, asked, None)[which]
    lost = []
    for place, word in enumerate(read):
        if word.isalnum():
            lost.append((whole - scores(known, read[:place] + read[place + 1 :], asked, None)[which], word))
    lost.sort(key=lambda pair: -pair[0])
    return tuple(Weight(word, round(loss, 3)) for loss, word in lost[:most] if loss > 0)
