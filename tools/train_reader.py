"""Train the learned reader from the labelled replies in the repository. Same input, same bytes.

    python tools/train_reader.py             calibrate on families left out, train on all, write the model
    python tools/train_reader.py --measure   leave-one-family-out figures in full, write nothing

Every figure is measured on voice families left out of training. No patient wrote these replies.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # same sums in the same order, and one core only
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from reader_corpus import ROOT, TRIAGE, Row, digest, rows
from reader_net import Parts, score, train
from scipy.sparse import csr_matrix

sys.path.insert(0, str(ROOT))

from messages.triage.assess import LEANS, NOT_NOW, as_image
from messages.triage.reader import OFFSET
from messages.triage.rules import read_rules
from messages.triage.signals import text_signals, word_signals, words

SEEDS, UNITS = (1,), 24
FALSE_ALARMS = 0.06  # share of unseen replies that need at most a routine look but reach urgent here
EMERGENCIES = 0.96  # share of unseen emergencies found that must be called emergency
# Of all unseen red flags, the share that may raise nothing, be unknown to the rules and lie below none_below.
QUIET_MISSES = 0.02
# Of all unseen red flags that only images of the rules found, the share that may lie below harmless_below.
IMAGES_LOST = 0.01
LEVELS = (2, 3, 1)  # red flag, emergency, anybody


class Examples:
    """All rows as arrays: labels, weights, families, and what the rules alone make of each."""

    def __init__(self, of: list[Row]) -> None:
        self.rows = of
        self.low = np.array([row.low for row in of])
        self.high = np.array([row.high for row in of])
        self.weight = np.array([row.weight for row in of], np.float32)
        self.family = np.array([row.family for row in of])
        self.measured = np.array([row.measured for row in of])
        self.language = np.array([row.language for row in of])
        readings = [read_rules(row.text, row.asked, row.language) for row in of]
        self.rules = np.array([reading.urgency.rank for reading in readings])
        self.unsure = np.array(
            [
                max((f.urgency.rank for f in one.unsure if f.status == "present"), default=0)
                for one in readings
            ]
        )
        self.image = np.array([as_image(one) is not one for one in readings])
        self.unknown = np.array(
            [not one.understood and all(f.status == "denied" for f in one.findings) for one in readings]
        )
        self.not_now = np.array(
            [bool(one.findings) and all(f.status in NOT_NOW for f in one.findings) for one in readings]
        )
        self.signals = [_signals(row) for row in of]
        self.wanted, self.counted = self._targets()

    def _targets(self) -> tuple[np.ndarray, np.ndarray]:
        concepts = sorted({concept for row in self.rows for concept in row.concepts})
        wanted = np.zeros((len(self.rows), 3 + len(concepts)), np.float32)
        counted = np.full_like(wanted, 0.3)
        for column, level in enumerate(LEVELS):
            wanted[:, column] = self.low >= level
            counted[:, column] = (self.low >= level) | (self.high < level)
        for place, row in enumerate(self.rows):
            for concept in row.concepts:
                wanted[place, 3 + concepts.index(concept)] = 1
            if row.family in ("phrases", "ordinary"):
                counted[place, 3:] = 0  # their concepts are not labelled
        return wanted, counted

    def table(self, known: dict[str, int]) -> csr_matrix:
        """Rows x features, each row of length about one."""
        values, columns, starts = [], [], [0]
        for some in self.signals:
            # sorted: the order of a set of words changes from run to run, the model must not
            places = sorted((known[name], many) for name, many in some.items() if name in known)
            size = np.sqrt(sum(many for _, many in places)) or 1.0
            columns += [place for place, _ in places]
            values += [many / size for _, many in places]
            starts.append(len(columns))
        return csr_matrix((np.array(values, np.float32), columns, starts), (len(self.rows), len(known)))

    def known(self, among: np.ndarray) -> dict[str, int]:
        """Features worth a weight: seen in five rows or more (rarer ones taught nothing on families left
        out), frames and ordinary texts counting less."""
        count: dict[str, float] = {}
        for place in np.flatnonzero(among):
            more = 1.0 if self.family[place] not in ("frames", "ordinary") else 0.4
            for name in self.signals[place]:
                count[name] = count.get(name, 0) + more
        return {name: i for i, name in enumerate(sorted(name for name, many in count.items() if many > 4.1))}


def _signals(row: Row) -> dict[str, int]:
    read, question = words(row.text), (row.asked or "") + ":"
    found = dict.fromkeys(text_signals(read, question, row.language), 1)
    for word in set(read):
        for name in word_signals(word, question):
            found[name] = found.get(name, 0) + 1
    return found


def learn(examples: Examples, among: np.ndarray, table: csr_matrix) -> list[Parts]:
    of = (table[among], examples.wanted[among], examples.counted[among], examples.weight[among])
    return [train(*of, UNITS, seed) for seed in SEEDS]


def unseen_scores(examples: Examples, groups: list[list[str]]) -> np.ndarray:
    """Scores of every measured reply from models that never saw its family."""
    known = examples.known(np.ones(len(examples.rows), bool))
    table = examples.table(known)
    result = np.zeros((len(examples.rows), 3))
    for families in groups:
        out = np.isin(examples.family, families)
        if "ordinary" in families:  # half of the ordinary texts at a time stand for strangers
            out &= (examples.family != "ordinary") | (np.arange(len(out)) % 2 == 0)
        result[out] = np.mean([score(parts, table[out]) for parts in learn(examples, ~out, table)], axis=0)
        sys.stdout.write(f"left out {', '.join(families)}\n")
        sys.stdout.flush()
    return result


def limits(examples: Examples, scored: np.ndarray) -> tuple[float, float, float, float]:
    """Where urgent and emergency begin, where nobody needs to read and where images of the rules are
    harmless, all on families left out."""
    of, low, high = examples.measured, examples.low, examples.high
    urgent = float(np.quantile(scored[of & (high <= 1), 0], 1 - FALSE_ALARMS))
    found = of & (low == 3) & (scored[:, 0] >= urgent)
    emergency = float(np.quantile(scored[found, 1], 1 - EMERGENCIES))
    red = of & (low >= 2)
    silent = np.sort(scored[red & examples.unknown & (scored[:, 0] < urgent), 2])
    harmless = float(np.quantile(scored[red & examples.image, 0], IMAGES_LOST))
    return urgent, emergency, float(silent[int(QUIET_MISSES * red.sum())]) - 0.05, min(harmless, urgent - 3)


def together(examples: Examples, scored: np.ndarray, cut: tuple[float, float, float, float]) -> np.ndarray:
    """The urgency of rules and reader combined, as messages/triage/assess.py does it for whole texts."""
    reader = np.where(scored[:, 0] >= cut[0], np.where(scored[:, 1] >= cut[1], 3, 2), 0)
    rules = np.where(examples.image & (scored[:, 0] < cut[3]), 1, examples.rules)
    leaning = np.where(scored[:, 0] >= cut[0] + LEANS, examples.unsure, 0)
    level = np.maximum.reduce([reader, rules, leaning])
    sure = scored[:, 0] < cut[3]
    opened = (examples.unknown | (examples.not_now & sure)) & ((examples.unsure == 0) | sure)
    level[opened & (level < 2) & (scored[:, 2] < cut[2])] = 0
    return level


def report(
    examples: Examples, scored: np.ndarray, cut: tuple[float, float, float, float], families: bool
) -> None:
    level = together(examples, scored, cut)
    low, high = examples.low, examples.high

    def line(name: str, of: np.ndarray) -> None:
        def share(which: np.ndarray, what: np.ndarray) -> str:
            return f"{(which & what & of).sum()}/{(which & of).sum()} {(what[which & of]).mean():.3f}"

        sys.stdout.write(
            f"{name:24} red flags {share(low >= 2, level >= 2)}  "
            f"emergencies {share(low == 3, level == 3)}  left none {((low >= 2) & (level == 0) & of).sum()}  "
            f"false alarms {share(high <= 1, level >= 2)}  "
            f"quiet {share(high == 0, level == 0)}  urgent as emergency {share(high == 2, level == 3)}\n"
        )

    authors = np.char.startswith(examples.family.astype(str), "authors_")
    kind = np.array([row.kind for row in examples.rows])
    for language in ("en", "es"):
        here = examples.measured & (examples.language == language)
        line(f"corpus {language}", here & ~authors)
        for name in ("adversarial", "realistic"):
            if (here & authors & (kind == name)).any():
                line(f"authors {name} {language}", here & authors & (kind == name))
    if families:
        for family in sorted(set(examples.family[examples.measured])):
            line(family, examples.family == family)
    ordinary = (examples.family == "ordinary") & (np.arange(len(low)) % 2 == 0)
    sys.stdout.write(f"ordinary texts reaching urgent {(level[ordinary] >= 2).sum()}/{ordinary.sum()}\n")


def write(examples: Examples, cut: tuple[float, float, float, float]) -> None:
    """Train on everything and write the model: names, a byte per weight, what the bytes are worth."""
    everything = np.ones(len(examples.rows), bool)
    known = examples.known(everything)
    parts = learn(examples, everything, examples.table(known))
    share = 1 / len(parts)
    weights = np.hstack([sum(one["direct"] for one in parts) * share, *(one["into"] for one in parts)])
    scales = np.maximum(np.quantile(np.abs(weights), 0.9995, axis=0), 1e-6) / 127
    whole = np.clip(np.rint(weights / scales), -127, 127).astype(int)
    hidden = [
        [round(float(begin), 4), *(round(float(value) * share, 4) for value in out[:3])]
        for one in parts
        for begin, out in zip(one["begin"], one["out"], strict=True)
    ]
    start = [round(float(sum(one["start"][i] for one in parts)) * share, 4) for i in range(3)]
    (TRIAGE / "reader_model.txt").write_text("\n".join(known) + "\n", "utf-8")
    (TRIAGE / "reader_model.bin").write_bytes((whole + OFFSET).astype(np.uint8).tobytes())
    about = {
        "learned_from": digest(),
        "features": len(known),
        "urgent_from": round(cut[0], 3),
        "emergency_from": round(cut[1], 3),
        "none_below": round(cut[2], 3),
        "harmless_below": round(cut[3], 3),
        "start": start,
        "scales": [float(f"{value:.5g}") for value in scales],
        "hidden": hidden,
    }
    (TRIAGE / "reader_model.json").write_text(json.dumps(about) + "\n", "utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument(
        "--measure", action="store_true", help="leave out one family at a time; write nothing"
    )
    chosen = options.parse_args()
    examples = Examples(rows())
    families = sorted(set(examples.family[examples.measured]))
    singly = [[one] for one in families] + [["ordinary"]]
    together = [families[i::5] + (["ordinary"] if i == 0 else []) for i in range(5)]
    scored = unseen_scores(examples, singly if chosen.measure else together)
    cut = limits(examples, scored)
    report(examples, scored, cut, chosen.measure)
    if not chosen.measure:
        write(examples, cut)


if __name__ == "__main__":
    main()
