"""Train the learned reader from the labelled replies in the repository. Same input, same bytes.

    python tools/train_reader.py            write messages/triage/reader_model.*
    python tools/train_reader.py --measure  leave-one-family-out figures only

Every figure is measured on voice families left out of training. No patient wrote these replies.
"""

import argparse
import hashlib
import json
import sys
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from messages.triage.signals import signals, words  # noqa: E402

BANK = ROOT / "tests" / "bank"
MODEL = ROOT / "messages" / "triage"
RANK = {"none": 0, "routine": 1, "urgent": 2, "emergency": 3}
LEVELS = (2, 3, 1)  # urgent, emergency, anybody
FALSE_ALARMS = (0.06, 0.02)  # share of unseen benign replies that may reach urgent, emergency
SCALE = 0.001


def corpus_files() -> list[Path]:
    return sorted([*BANK.glob("corpus/*.jsonl"), *BANK.glob("corpus_more_*.jsonl")])


def digest() -> str:
    """Of everything the model learned from; a test compares it with the model's."""
    total = hashlib.sha256()
    for path in corpus_files():
        total.update(path.name.encode())
        total.update(path.read_bytes())
    total.update((MODEL / "signals.py").read_bytes())
    return total.hexdigest()


def replies() -> list[dict]:
    rows = []
    for path in corpus_files():
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            row["voices"] = row["family"].split("/")[0]
            rows.append(row)
    return rows


def matrix(rows: list[dict], known: dict[str, int] | None = None) -> tuple[csr_matrix, dict[str, int]]:
    found = [sorted(signals(words(row["text"]), row["asked"], row["lang"])) for row in rows]
    if known is None:
        count: dict[str, int] = {}
        for some in found:
            for signal in some:
                count[signal] = count.get(signal, 0) + 1
        known = {signal: place for place, signal in enumerate(sorted(s for s, n in count.items() if n > 1))}
    data, columns, starts = [], [], [0]
    for some in found:
        places = [known[signal] for signal in some if signal in known]
        columns += places
        data += [1 / sqrt(len(some))] * len(places)
        starts.append(len(columns))
    return csr_matrix((data, columns, starts), shape=(len(rows), len(known))), known


def learn(table: csr_matrix, low: np.ndarray, high: np.ndarray, level: int) -> LogisticRegression:
    clear = ~((low < level) & (high >= level))
    return LogisticRegression(C=10, solver="liblinear", max_iter=300, random_state=0).fit(
        table[clear], low[clear] >= level
    )


def unseen_scores(table: csr_matrix, low, high, voices) -> np.ndarray:
    """Scores of every reply from a model that never saw its family."""
    result = np.zeros((len(low), 3))
    for family in sorted(set(voices)):
        out = voices == family
        for column, level in enumerate(LEVELS):
            result[out, column] = learn(table[~out], low[~out], high[~out], level).decision_function(table[out])
    return result


def limits(scored: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float, float]:
    benign, red = high <= 1, low >= 2
    return (
        float(np.quantile(scored[benign, 0], 1 - FALSE_ALARMS[0])),
        float(np.quantile(scored[high <= 2, 1], 1 - FALSE_ALARMS[1])),
        float(scored[red, 2].min()),
    )


def report(scored, low, high, cut, rows) -> None:
    level = np.where(scored[:, 1] >= cut[1], 3, np.where(scored[:, 0] >= cut[0], 2, 0))
    for lang in ("en", "es"):
        of = np.array([row["lang"] == lang for row in rows])
        quiet = (level == 0) & (scored[:, 2] < cut[2])

        def share(which, what, of=of):
            return f"{(what & which & of).sum()}/{(which & of).sum()}={(what[which & of]).mean():.3f}"

        sys.stdout.write(
            f"{lang}: red flags {share(low >= 2, level >= 2)} emergencies {share(low == 3, level == 3)} "
            f"false alarms {share(high <= 1, level >= 2)} quiet {share(high == 0, quiet)}\n"
        )


def write(table: csr_matrix, known: dict[str, int], low, high, cut) -> None:
    fitted = [learn(table, low, high, level) for level in LEVELS]
    whole = np.rint(np.stack([one.coef_[0] for one in fitted]) / SCALE).astype(int)
    lines = [
        f"{signal}\t{whole[0, place]}\t{whole[1, place]}\t{whole[2, place]}"
        for signal, place in known.items()
        if whole[:, place].any()
    ]
    (MODEL / "reader_model.txt").write_text("\n".join(lines) + "\n", "utf-8")
    about = {
        "corpus": digest(),
        "signals": len(lines),
        "scale": SCALE,
        "start": [round(float(one.intercept_[0]), 4) for one in fitted],
        "urgent_from": round(cut[0], 4),
        "emergency_from": round(cut[1], 4),
        "none_below": round(cut[2], 4),
    }
    (MODEL / "reader_model.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measure", action="store_true")
    chosen = options.parse_args()
    rows = replies()
    low = np.array([RANK[row["min"]] for row in rows])
    high = np.array([RANK[row["max"]] for row in rows])
    table, known = matrix(rows)
    scored = unseen_scores(table, low, high, np.array([row["voices"] for row in rows]))
    cut = limits(scored, low, high)
    report(scored, low, high, cut, rows)
    if not chosen.measure:
        write(table, known, low, high, cut)


if __name__ == "__main__":
    main()
