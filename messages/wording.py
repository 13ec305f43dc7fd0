"""Filling texts: allow-listed placeholders only, nothing missing, nothing left over."""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from string import Template

from messages.site import Site
from messages.sms import sanitise

STANDARD_TEXTS = Path(__file__).parent / "standard_texts.toml"
_MONTHS = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
    "es": "ene feb mar abr may jun jul ago sep oct nov dic".split(),
}


class WordingError(ValueError):
    """A text that cannot be filled: names the placeholder or the key, and what is allowed."""


def names_in(text: str) -> frozenset[str]:
    """The placeholders of a text. Raises ``WordingError`` for a lone ``$``."""
    template = Template(text)
    if not template.is_valid():
        raise WordingError(f"a lone $ in {text!r}; write $$ for the sign itself")
    return frozenset(template.get_identifiers())


def render(text: str, values: Mapping[str, object]) -> str:
    """``text`` with every ``$placeholder`` filled from ``values``.

    Raises ``WordingError`` for a placeholder that ``values`` lacks or whose value is empty: a text with a
    hole in it must never reach a patient.
    """
    for name in sorted(names_in(text)):
        if name not in values:
            raise WordingError(f"unknown placeholder ${name}; known are: {', '.join(sorted(values))}")
        if str(values[name] if values[name] is not None else "").strip() == "":
            raise WordingError(f"nothing to put in place of ${name}")
    return Template(text).substitute(values)


@cache
def _standard_texts() -> Mapping[str, Mapping[str, str]]:
    texts: Mapping[str, Mapping[str, str]] = tomllib.loads(STANDARD_TEXTS.read_text(encoding="utf-8"))
    return texts


def standard_keys() -> tuple[str, ...]:
    """Every key of ``standard_texts.toml``."""
    return tuple(_standard_texts())


def _template(key: str, language: str) -> str:
    texts = _standard_texts()
    if key not in texts:
        raise WordingError(f"no standard text {key!r}; known are: {', '.join(sorted(texts))}")
    return texts[key].get(language) or texts[key]["en"]


def standard_text(key: str, language: str, /, **values: object) -> str:
    """A text of ``standard_texts.toml``, filled and sanitised for sending.

    ``language``: ``en`` or ``es``; anything else gets ``en``. ``values``: ``clinic``, ``phone`` and
    whatever else the text names (``placeholders`` tells); more than it names is fine. Raises
    ``WordingError``.
    """
    filled = {"safety": safety_line(language), **values}
    if isinstance(filled.get("phone"), str):
        filled["phone"] = phone_to_read(str(filled["phone"]))
    return sanitise(render(_template(key, language), filled))


def placeholders(key: str, language: str) -> frozenset[str]:
    """The placeholders a standard text needs from its caller."""
    return names_in(_template(key, language)) - {"safety"}


def safety_line(language: str) -> str:
    """When to call 911, in one sentence: part of the welcome, of every safety answer and of each day's
    texts."""
    return _template("safety_line", language)


def phone_to_read(phone: str) -> str:
    """A number as people read and dial it: ``+13125550123`` becomes ``312-555-0123``; others stay as they
    are."""
    found = re.fullmatch(r"\+1(\d{3})(\d{3})(\d{4})", phone.strip())
    return "-".join(found.groups()) if found else phone.strip()


def day_to_read(day: date, language: str) -> str:
    """``Mar 14`` or ``14 de mar``: short, and no mix-up of day and month."""
    month = _MONTHS.get(language, _MONTHS["en"])[day.month - 1]
    return f"{day.day} de {month}" if language == "es" else f"{month} {day.day}"


def site_values(site: Site, language: str, follow_up_on: date | None = None) -> dict[str, str]:
    """What the placeholders of a check-in may stand for. A choice (``shower``, ``stitches``) becomes its
    sentence from ``standard_texts.toml``; ``visit`` is there only when a follow-up date is known."""
    values = {
        "safety": safety_line(language),
        "clinic": site.clinic_name.strip(),
        "phone": phone_to_read(site.clinic_phone),
    }
    for name, value in site.values.items():
        if isinstance(value, int):
            values[name] = str(value)
    plain = dict(values)
    for name, value in site.values.items():
        if isinstance(value, str):
            values[name] = render(_template(f"site_{name}_{value}", language), plain)
    if follow_up_on is not None:
        values["visit"] = day_to_read(follow_up_on, language)
    return values
