"""The interface in the member's language. English sentences are the keys; other languages are data files."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "languages"
LANGUAGES = {"en": "English", "es": "Español"}


@cache
def dictionary(language: str) -> Mapping[str, str]:
    """Sentence to the one shown. English sentences are their own keys, codes are not."""
    path = FOLDER / f"{language}.toml"
    if language not in LANGUAGES or not path.exists():
        return {}
    return dict(tomllib.loads(path.read_text(encoding="utf-8"))["words"])


def translate(language: str, sentence: str, **values: object) -> str:
    """The sentence in that language, its ``{name}`` filled; English where no translation exists."""
    found = dictionary(language).get(sentence, sentence)
    return found.format(**values) if values else found


def speaker(language: str) -> Callable[..., str]:
    """``t`` of the templates."""

    def t(sentence: str, **values: object) -> str:
        return translate(language, sentence, **values)

    return t


def chosen(accepted: str | None) -> str:
    """The language of a browser that nobody has signed in with, from its Accept-Language header."""
    for part in (accepted or "").split(","):
        language = part.split(";")[0].strip().lower()[:2]
        if language in LANGUAGES:
            return language
    return "en"
