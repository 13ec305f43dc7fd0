"""Which part of a pattern is least likely to be in a text: a pattern is tried only where that part stands.

Speed only; nothing here decides a result.
"""

from functools import cache
from pathlib import Path

from messages.triage.pattern import Pattern

_COMMON = Path(__file__).parent.parent / "red_flags" / "common_words.txt"


def rarest_part(pattern: Pattern, classes: dict[str, list[str]]) -> tuple[str, ...]:
    """The atoms of the element least likely to be in a text at all."""
    common = _common_words()

    def likely(option: str) -> float:
        if option.startswith("@"):
            members = (entry for entry in classes.get(option[1:], ()) if " " not in entry)
            return 3.0 + sum(common.get(entry, 1.0) for entry in members)
        if "_" in option:
            return 1.0
        return 6.0 if option.endswith("*") else common.get(option, 1.0)

    return min(pattern.elements, key=lambda element: sum(likely(option) for option in element))


@cache
def _common_words() -> dict[str, float]:
    """How many texts in ten thousand hold a word; missing words are rare."""
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line and not line.startswith("#")}
