"""Data for the person who calls: what to ask for a flag, and texts to start an answer from."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from messages.site import Site
from messages.wording import phone_to_read, render

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class AnswerText:
    """A text to start from, in the patient's language and in the member's."""

    key: str
    title: str
    text: str
    translation: str | None


@cache
def _scripts() -> Sequence[Mapping[str, Any]]:
    return tuple(tomllib.loads((FOLDER / "call_scripts.toml").read_text(encoding="utf-8"))["script"])


@cache
def _answers() -> Sequence[Mapping[str, Any]]:
    return tuple(tomllib.loads((FOLDER / "answer_texts.toml").read_text(encoding="utf-8"))["answer"])


def call_script(concepts: Iterable[str], reason: str, language: str) -> Sequence[str]:
    """The questions for the most dangerous of what was found; the file's order is that order."""
    found = {*concepts, reason}
    for script in _scripts():
        if found.intersection(script["concepts"]):
            return tuple(script.get(language, script["en"]))
    return tuple(_scripts()[-1].get(language, _scripts()[-1]["en"]))


def answer_texts(site: Site, patient_language: str, member_language: str) -> Sequence[AnswerText]:
    """Texts to start from in the patient's language, each with the member's translation where it differs."""
    values = {"clinic": site.clinic_name, "phone": phone_to_read(site.clinic_phone)}
    texts = []
    for answer in _answers():
        text = render(answer.get(patient_language, answer["en"]), values)
        other = render(answer.get(member_language, answer["en"]), values)
        translation = other if other != text else None
        texts.append(AnswerText(answer["key"], answer["title"], text, translation))
    return tuple(texts)
