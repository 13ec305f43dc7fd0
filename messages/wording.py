"""Filling texts: allow-listed placeholders only, nothing missing, nothing left over."""

from collections.abc import Mapping


class WordingError(ValueError):
    """A text that cannot be filled: names the placeholder or the key, and what is allowed."""


def render(text: str, values: Mapping[str, object]) -> str:
    """``text`` with every ``$placeholder`` filled from ``values``. Raises ``WordingError`` for an unknown one."""
    raise NotImplementedError


def standard_text(key: str, language: str, /, **values: object) -> str:
    """A text of ``standard_texts.toml``, filled and sanitised for sending. ``language``: ``en`` or ``es``, anything
    else gets ``en``. Placeholders: ``clinic``, ``phone`` and what the key's own text names. Raises ``WordingError``."""
    raise NotImplementedError


def placeholders(key: str, language: str) -> frozenset[str]:
    """The placeholders a standard text needs."""
    raise NotImplementedError
