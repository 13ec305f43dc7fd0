"""``aftercare triage --score BANK``: figures on labelled replies, with 95% intervals.

The replies of our own bank were written for this project; no patient wrote them and no clinician reviewed
them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any, TextIO

from messages.triage import assess, read_rules
from messages.urgency import Urgency

MEASURES = ("red flags", "emergencies", "left as none", "false alarms", "kept quiet")
_NOTE = "Replies written for this project; no patient wrote them and no clinician has reviewed them.\n"


@dataclass(slots=True)
class Tally:
    """Hits and cases per measure. ``red flags``: of those that must reach urgent, how many did.
    ``emergencies`` likewise. ``left as none``: red flags nobody would see. ``false alarms``: urgent or more
    where at most routine is right. ``kept quiet``: replies that need nobody and got ``none``."""

    hits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEASURES, 0))
    cases: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEASURES, 0))

    def add(self, lowest: Urgency, highest: Urgency, found: Urgency) -> None:
        if lowest >= Urgency.URGENT:
            self._count("red flags", found >= Urgency.URGENT)
            self._count("left as none", found is Urgency.NONE)
        if lowest is Urgency.EMERGENCY:
            self._count("emergencies", found is Urgency.EMERGENCY)
        if highest <= Urgency.ROUTINE:
            self._count("false alarms", found >= Urgency.URGENT)
        if highest is Urgency.NONE:
            self._count("kept quiet", found is Urgency.NONE)

    def _count(self, measure: str, hit: bool) -> None:
        self.cases[measure] += 1
        self.hits[measure] += hit

    def share(self, measure: str) -> float | None:
        return self.hits[measure] / self.cases[measure] if self.cases[measure] else None


def wilson(hits: int, cases: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share; 95% by default. ``cases`` must be positive."""
    share, spread = hits / cases, z * z / cases
    middle = share + spread / 2
    width = z * sqrt(share * (1 - share) / cases + spread / (4 * cases))
    return max(0.0, (middle - width) / (1 + spread)), min(1.0, (middle + width) / (1 + spread))


def bank_rows(path: Path) -> list[dict[str, Any]]:
    """The labelled replies of a file, or of every .jsonl file of a folder. Raises ValueError naming file and
    line.

    A ``.txt`` file holds ordinary texts, one a line, none of which may alarm (``max`` routine). A symptom
    that came after the procedure and has gone may be urgent (guide), whatever the row says.
    """
    if path.is_dir():
        return [row for file in sorted(path.rglob("*.jsonl")) for row in bank_rows(file)]
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if path.suffix == ".txt":
            rows.append({"id": f"{path.stem}:{number}", "text": line, "min": "none", "max": "routine"})
            continue
        try:
            row = json.loads(line)
            lowest, highest = Urgency(row["min"]), Urgency(row["max"])
            if not isinstance(row["text"], str):
                raise TypeError("text is not a string")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a labelled reply ({error!r})") from None
        if (
            "resolved" in row.get("phenomena", ())
            and lowest is Urgency.ROUTINE
            and highest is Urgency.ROUTINE
        ):
            row["max"] = "urgent"
        row.setdefault("family", path.stem)
        rows.append(row)
    return rows


def groups_of(row: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Every line of the table a row counts in."""
    yield "all", "all"
    yield "language", row.get("lang") or "unknown"
    yield "family", str(row.get("family", "")).split("/")[0]
    for concept in row.get("concepts", ()):
        yield "concept", concept
    for phenomenon in row.get("phenomena", ()):
        yield "phenomenon", phenomenon


def tally(
    rows: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], Urgency]
) -> dict[tuple[str, str], Tally]:
    """The tally of every group."""
    tallies: dict[tuple[str, str], Tally] = {}
    for row in rows:
        found = read(row)
        for group in groups_of(row):
            tallies.setdefault(group, Tally()).add(Urgency(row["min"]), Urgency(row["max"]), found)
    return tallies


def table(tallies: dict[tuple[str, str], Tally]) -> str:
    """Plain text, one line a group: share, 95% interval and counts of each measure."""
    order = {"all": 0, "language": 1, "family": 2, "concept": 3, "phenomenon": 4}
    lines = [f"{'':28}" + "".join(f"{measure:>26}" for measure in MEASURES)]
    section = ""
    for (kind, name), counts in sorted(tallies.items(), key=lambda item: (order[item[0][0]], item[0][1])):
        if kind != section:
            section = kind
            lines.append(f"by {kind}" if kind != "all" else "")
        lines.append(f"  {name:26}" + "".join(_cell(counts, measure) for measure in MEASURES))
    return "\n".join(lines) + "\n"


def _cell(counts: Tally, measure: str) -> str:
    hits, cases = counts.hits[measure], counts.cases[measure]
    if not cases:
        return f"{'-':>26}"
    low, high = wilson(hits, cases)
    return f"{hits / cases:>7.3f} {low:.2f}-{high:.2f} {f'{hits}/{cases}':>9}"


def is_wrong(row: dict[str, Any], found: Urgency) -> bool:
    return not Urgency(row["min"]) <= found <= Urgency(row["max"])


def run_score(arguments: list[str], stdout: TextIO, stderr: TextIO) -> int:
    """Score one or more banks. ``--rules`` leaves the learned reader out; ``--wrong`` lists the replies read
    outside their labelled range. 2 on wrong usage, 1 when a bank cannot be read."""
    options = {word for word in arguments if word.startswith("--")}
    banks = [Path(word) for word in arguments if not word.startswith("--")]
    if not banks or options - {"--rules", "--wrong"}:
        stderr.write("usage: aftercare triage --score BANK [BANK ...] [--rules] [--wrong]\n")
        return 2
    try:
        rows = [row for bank in banks for row in bank_rows(bank)]
    except (OSError, ValueError) as error:
        stderr.write(f"{error}\n")
        return 1
    wrong: list[str] = []

    def read(row: dict[str, Any]) -> Urgency:
        arguments = row["text"], row.get("asked"), row.get("lang")
        found = read_rules(*arguments).urgency if "--rules" in options else assess(*arguments).urgency
        if is_wrong(row, found):
            wrong.append(
                f"{row['min']}-{row['max']} read as {found}: [{row.get('asked')}] {row['text']} "
                f"({', '.join(row.get('concepts', ()))}) {row.get('id')}"
            )
        return found

    tallies = tally(rows, read)
    if "--wrong" in options:
        stdout.write("\n".join(wrong) + "\n\n")
    stdout.write(table(tallies))
    stdout.write(_NOTE)
    return 0
