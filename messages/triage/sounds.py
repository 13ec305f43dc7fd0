"""Spanish as it sounds: "bomito", "ormigeo", "zangrando", "adormesido" are read as what they stand for.

Patients who learned to write late spell by ear: b and v, c and s and z, ll and y, g and j, a silent h; others
write as their region speaks ("hinchao", "dolol"). Two words with the same key sound alike. Only the symptom
classes named under ``sounds`` in ``es/words.toml`` are read so.
"""

import re
import tomllib
from functools import cache

from messages.triage import catalogue as shelf

# Applied in this order to a folded word.
_STEPS = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"ch", "C"),
        (r"h", ""),
        (r"qu(?=[ei])", "k"),
        (r"gu(?=[ei])", "G"),
        (r"g(?=[ei])", "j"),
        (r"x", "j"),
        (r"[cz](?=[ei])", "s"),
        (r"z", "s"),
        (r"[cq]", "k"),
        (r"v", "b"),
        (r"ll", "y"),
        (r"ph", "f"),
        (r"[mn](?=[bpf])", "n"),
        (r"(.)\1+", r"\1"),
        (r"G(?=[ei])", "g"),
        # Caribbean and Andalusian speech: "dolol", "pielna"; "hinchao", "dormio" for -ado, -ido.
        (r"l(?=[bdfgjkmnpst])|l$", "r"),
        (r"(?<=[a-zA-Z]{2}[ai])(?=(?:o|os|as)$)", "d"),
    )
)
_SHORTEST = 5


@cache
def _heard() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Sound -> atoms, of whole words and of beginnings."""
    known = shelf.catalogue()
    path = shelf.FOLDER / "es" / "words.toml"
    names = tomllib.loads(path.read_text(encoding="utf-8")).get("sounds", []) if path.exists() else []
    wanted = {"@" + name for name in names}
    return (
        {
            sound(word): atoms
            for word, atoms in known.words.items()
            if len(word) >= _SHORTEST and wanted & set(atoms)
        },
        {
            sound(start): atoms
            for start, atoms in known.beginnings.items()
            if len(start) >= 4 and wanted & set(atoms)
        },
    )


def sound(word: str) -> str:
    """The key of ``word``: equal for words that are spoken alike in Spanish."""
    for pattern, sounds_like in _STEPS:
        word = pattern.sub(sounds_like, word)
    return word


def sounding(word: str) -> tuple[str, ...]:
    """What a word that is not known stands for by its sound; empty when nothing sounds like it."""
    if not _SHORTEST <= len(word) <= 20:
        return ()
    words, beginnings = _heard()
    key = sound(word)
    if key in words:
        return words[key]
    for length in range(len(key), 3, -1):
        if key[:length] in beginnings:
            return beginnings[key[:length]]
    return ()
