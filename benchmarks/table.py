"""Figures of alternating rounds as one table: median and spread, and ratios against peer and limit."""

from dataclasses import dataclass, field
from statistics import median


@dataclass
class Line:
    """One system measured: ``rounds`` holds one figure per round, in ``unit``."""

    what: str
    system: str
    unit: str
    rounds: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def middle(self) -> float:
        return median(self.rounds)

    def words(self) -> str:
        return f"{self.middle:,.4g} ({min(self.rounds):,.4g}-{max(self.rounds):,.4g})"


def ratio(ours: Line, other: Line | None) -> str:
    return "-" if other is None or not other.rounds else f"{ours.middle / other.middle:.2f}"


def rows(ours: Line, peers: list[Line], limit: Line | None) -> list[str]:
    """Markdown rows: ours first with its ratio to the limit, then each peer with ours divided by it."""
    out = [
        f"| {ours.what} | **ours** | {ours.words()} | {ours.unit} | | {ratio(ours, limit)} | {ours.note} |"
    ]
    for peer in peers:
        figures = f"{peer.words()} | {peer.unit} | {ratio(ours, peer)}"
        out.append(f"| {ours.what} | {peer.system} | {figures} | | {peer.note} |")
    if limit is not None:
        out.append(
            f"| {ours.what} | limit: {limit.system} | {limit.words()} | {limit.unit} | | | {limit.note} |"
        )
    return out


HEAD = [
    "| what | system | median (lowest-highest) | unit | ours / it | ours / limit | note |",
    "|---|---|---:|---|---:|---:|---|",
]
