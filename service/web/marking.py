"""The patient's words with the matched ones marked. Everything is escaped; only our own marks are markup."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup, escape

from service.harmless import shown
from service.web.words import translate

__all__ = ["marked", "said", "shown"]


def marked(text: str, findings: Iterable[Mapping[str, Any]], language: str = "en") -> Markup:
    """``text`` with a ``mark`` around each finding's words; those that are not present are only underlined.

    Offsets are code points of the text as stored. Where findings overlap, the more serious is shown.
    """
    spans = _apart(text, findings)
    pieces: list[Markup | str] = []
    at = 0
    for start, end, finding in spans:
        pieces.append(escape(shown(text[at:start])))
        weak = "" if finding.get("status", "present") == "present" else ' class="weak"'
        words = str(finding.get("concept", "")).replace("_", " ")
        title = escape(
            f"{translate(language, words)} · {translate(language, str(finding.get('status', '')))}"
        )
        pieces.append(
            Markup(f'<mark{weak} title="{title}">') + escape(shown(text[start:end])) + Markup("</mark>")
        )
        at = end
    pieces.append(escape(shown(text[at:])))
    return Markup("").join(pieces)


SILENT = re.compile(r"No answer to d(\d+)_(\w+)\. (.*)", re.DOTALL)


def said(summary: str, language: str) -> str:
    """Our own one-line summary of an escalation, in the reader's language where we know it."""
    found = SILENT.fullmatch(summary)
    if found is None:
        return translate(language, summary)
    topic = translate(language, f"asks: {found[2]}")
    sentence = "No answer to the question of day {day} ({topic})."
    first = translate(language, sentence, day=found[1], topic=topic)
    return f"{first} {translate(language, found[3])}"


def _apart(text: str, findings: Iterable[Mapping[str, Any]]) -> list[tuple[int, int, Mapping[str, Any]]]:
    """Spans in order that do not overlap; present ones win, then longer ones."""
    valid = []
    for finding in findings:
        start, end = finding.get("start"), finding.get("end")
        if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text):
            valid.append((start, end, finding))
    valid.sort(key=lambda span: (span[2].get("status") != "present", span[0] - span[1], span[0]))
    chosen: list[tuple[int, int, Mapping[str, Any]]] = []
    for start, end, finding in valid:
        if all(end <= taken_start or start >= taken_end for taken_start, taken_end, _ in chosen):
            chosen.append((start, end, finding))
    return sorted(chosen, key=lambda span: span[0])
