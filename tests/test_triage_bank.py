"""Release gate: figures on our own bank of labelled replies must not fall below what was last reached.

The replies were written for this project; no patient wrote them and no clinician has reviewed them. The
learned reader was trained on these very replies, so the figures of both together only show that nothing
broke; the rules' own figures, and the leave-one-family-out figures of ``tools/train_reader.py --measure``,
are the ones to judge by. A floor may be lowered only with the reason in the commit message.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from messages.triage import assess, read_rules
from messages.urgency import Urgency
from service.commands_triage_score import Tally, bank_rows, tally

BANK = Path(__file__).parent / "bank"
# Every third reply of the corpus keeps the gate quick; all of dev.jsonl and of the authors' banks count.
STEP = 3
# (bank, language) -> least share of red flags, emergencies, kept quiet; most share of false alarms.
RULES = {
    ("corpus", "en"): {"red flags": 0.72, "emergencies": 0.75, "kept quiet": 0.27, "false alarms": 0.05},
    ("corpus", "es"): {"red flags": 0.85, "emergencies": 0.82, "kept quiet": 0.36, "false alarms": 0.03},
    ("authors", "en"): {"red flags": 0.70, "emergencies": 0.60, "kept quiet": 0.46, "false alarms": 0.04},
    ("authors", "es"): {"red flags": 0.67, "emergencies": 0.59, "kept quiet": 0.67, "false alarms": 0.045},
}
BOTH = {
    ("corpus", "en"): {"red flags": 0.96, "emergencies": 0.96, "kept quiet": 0.80, "false alarms": 0.06},
    ("corpus", "es"): {"red flags": 0.96, "emergencies": 0.96, "kept quiet": 0.75, "false alarms": 0.05},
    ("authors", "en"): {"red flags": 0.95, "emergencies": 0.95, "kept quiet": 0.85, "false alarms": 0.05},
    ("authors", "es"): {"red flags": 0.95, "emergencies": 0.95, "kept quiet": 0.85, "false alarms": 0.05},
    # Four authors the reader never learned from: the figures of the README, with a little room.
    ("unseen", "en"): {"red flags": 0.955, "emergencies": 0.95, "kept quiet": 0.88, "false alarms": 0.04},
    ("unseen", "es"): {"red flags": 0.98, "emergencies": 0.97, "kept quiet": 0.90, "false alarms": 0.03},
}
# Ordinary texts between friends that reach urgent: at most this share.
ORDINARY = 0.005


@cache
def _rows(bank: str) -> tuple[dict[str, Any], ...]:
    if bank == "corpus":
        corpus = [row for file in sorted((BANK / "corpus").glob("*.jsonl")) for row in bank_rows(file)]
        return (*bank_rows(BANK / "dev.jsonl"), *corpus[::STEP])
    files = "unseen/*.jsonl" if bank == "unseen" else "authors_*.jsonl"
    return tuple(row for file in sorted(BANK.glob(files)) for row in bank_rows(file))


@cache
def _tallies(bank: str, rules_only: bool) -> dict[tuple[str, str], Tally]:
    def read(row: dict[str, Any]) -> Urgency:
        reading = read_rules if rules_only else assess
        return reading(row["text"], row.get("asked"), row.get("lang")).urgency

    return tally(_rows(bank), read)


def _check(floors: dict[str, float], counts: Tally) -> None:
    for measure, floor in floors.items():
        share = counts.share(measure)
        assert share is not None
        held = share <= floor if measure == "false alarms" else share >= floor
        assert held, (
            f"{measure} is {share:.3f} ({counts.hits[measure]}/{counts.cases[measure]}), floor {floor}"
        )


@pytest.mark.parametrize(("bank", "language"), RULES)
def test_the_rules_alone_hold_their_floors(bank: str, language: str) -> None:
    _check(RULES[bank, language], _tallies(bank, True)["language", language])


@pytest.mark.parametrize(("bank", "language"), BOTH)
def test_rules_and_reader_together_hold_their_floors(bank: str, language: str) -> None:
    _check(BOTH[bank, language], _tallies(bank, False)["language", language])


@pytest.mark.parametrize("bank", ["corpus", "authors", "unseen"])
def test_no_red_flag_is_left_to_nobody(bank: str) -> None:
    left = _tallies(bank, False)["all", "all"]
    assert left.hits["left as none"] <= 2, f"{left.hits['left as none']} red flags left as none"


def test_ordinary_texts_between_friends_do_not_alarm() -> None:
    rows = bank_rows(BANK / "ordinary_sms.txt")
    alarms = sum(assess(row["text"]).urgency >= Urgency.URGENT for row in rows)
    assert alarms / len(rows) <= ORDINARY, f"{alarms} of {len(rows)} ordinary texts reach urgent"
