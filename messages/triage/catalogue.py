"""The red-flag catalogue, read from ``messages/red_flags`` and compiled once.

``messages/red_flags/*.toml`` say what each flag is (urgency, reason, source, advice); ``en/*.toml`` and
``es/*.toml`` say in which words it comes. Anything wrong in a file refuses to load, naming the file and the
reason.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from messages.triage.pattern import Pattern, PatternError, parse
from messages.triage.rarity import rarest_part
from messages.triage.verbs import verb_forms
from messages.urgency import Urgency

FOLDER = Path(__file__).parent.parent / "red_flags"
LANGUAGES = ("en", "es")
_KINDS = ("rule", "benign", "calm", "routine", "hint", "cue")
_KEYS = {"name", "concept", "urgency", "patterns", "unless", "fixed", "asked", "kind", "weak", "figurative"}


class CatalogueError(ValueError):
    """A fault in the catalogue; the message names the file and says what is wrong."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One red flag of the catalogue: its canonical concept names and what the team needs to know about it."""

    concepts: tuple[str, ...]
    title: str
    urgency: Urgency
    why: str
    source: str
    advice: str
    raised_when: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Patterns that mean one thing. ``kind``: ``rule`` (a red flag), ``benign`` (look-alikes: their words
    count for nothing else), ``calm`` (doing well), ``routine`` (a person reads it tomorrow), ``hint`` (worth
    noticing, below firing level), ``cue`` (denial, past, someone else ...). ``fixed``: holds its own
    negation, is never denied. ``weak``: a bare word that people also use in other senses; counts only with
    signs that the writer has it now. ``figurative``: an image people also use for films, weather and engines;
    counts unless the learned reader is all but certain that nothing is wrong."""

    name: str
    kind: str
    concept: str
    urgency: Urgency
    patterns: tuple[Pattern, ...]
    unless: tuple[Pattern, ...]
    fixed: bool
    asked: tuple[str, ...]
    cue: str
    weak: bool
    figurative: bool
    language: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything compiled. ``by_atom`` finds the patterns worth trying by one word or class they cannot do
    without; ``phrases`` likewise for word classes of several words."""

    version: str
    flags: dict[str, Flag]
    urgency_of: dict[str, Urgency]
    rules: tuple[Rule, ...]
    figurative: frozenset[str]
    by_atom: dict[str, list[tuple[Pattern, Rule]]]
    phrases: dict[str, list[tuple[Pattern, tuple[str, ...]]]]
    words: dict[str, tuple[str, ...]]
    beginnings: dict[str, tuple[str, ...]]
    fillers: frozenset[str]
    merges: dict[tuple[str, str], str]
    aliases: dict[str, str]
    tolerated: dict[str, tuple[str, ...]]
    real_words: frozenset[str]


@cache
def catalogue() -> Catalogue:
    """The project's catalogue. Raises CatalogueError."""
    return load(FOLDER)


def load(folder: Path) -> Catalogue:
    """Read and compile the catalogue in ``folder``. Raises CatalogueError naming the file at fault."""
    data = {path: _toml(path) for path in sorted(folder.rglob("*.toml"))}
    version, flags, urgency_of = _flags(
        {path: content for path, content in data.items() if path.parent == folder}
    )
    by_language: dict[str, list[dict[str, Any]]] = {}
    for path, content in data.items():
        if "classes" in content:
            by_language.setdefault(path.relative_to(folder).parts[0], []).append(content)
    words = [content for contents in by_language.values() for content in contents]
    fillers_of = {
        language: frozenset(word for one in contents for word in " ".join(one.get("fillers", ())).split())
        for language, contents in by_language.items()
    }
    fillers = frozenset(word for some in fillers_of.values() for word in some)
    classes = _classes(
        [(fillers_of[language], one) for language, some in by_language.items() for one in some]
    )
    rules: list[Rule] = []
    for path, content in data.items():
        if path.parent == folder:
            continue
        try:
            language = path.relative_to(folder).parts[0]
            rules += _rules(content, urgency_of, fillers_of[language], language)
        except (PatternError, KeyError, TypeError, ValueError) as error:
            raise CatalogueError(f"{path}: {error}") from None
    lexicon = _Lexicon()
    for name, entries in classes.items():
        for entry in entries:
            lexicon.add(entry, "@" + name)
    by_atom: dict[str, list[tuple[Pattern, Rule]]] = {}
    for rule in rules:
        for pattern in rule.patterns:
            lexicon.check(pattern, classes)
            for atom in rarest_part(pattern, classes):
                by_atom.setdefault(atom, []).append((pattern, rule))
        for pattern in rule.unless:
            lexicon.check(pattern, classes)
    typo_classes = [name for content in words for name in content.get("typos", ())]
    return Catalogue(
        version, flags, urgency_of, tuple(rules),
        frozenset(rule.name for rule in rules if rule.figurative), by_atom, lexicon.phrases,
        {word: tuple(atoms) for word, atoms in lexicon.words.items()},
        {start: tuple(atoms) for start, atoms in lexicon.beginnings.items()},
        fillers,
        {tuple(key.split()): value for content in words for key, value in content.get("merges", {}).items()},
        {key: value for content in words for key, value in content.get("aliases", {}).items()},
        _tolerated(classes, typo_classes),
        frozenset((folder / "real_words.txt").read_text(encoding="utf-8").split())
        if (folder / "real_words.txt").exists() else frozenset(),
    )  # fmt: skip


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path}: {error}") from None


def _flags(files: dict[Path, dict[str, Any]]) -> tuple[str, dict[str, Flag], dict[str, Urgency]]:
    version = ""
    flags: dict[str, Flag] = {}
    urgency_of: dict[str, Urgency] = {}
    for path, content in files.items():
        version = content.get("version", version)
        for name, entry in content.get("flag", {}).items():
            try:
                flags[name] = Flag(
                    tuple(entry["concepts"]), entry["title"], Urgency(entry["urgency"]), entry["why"],
                    entry["source"], entry["advice"], entry.get("raised_when", ""),
                )  # fmt: skip
                urgency_of |= {concept: Urgency(word) for concept, word in entry["concepts"].items()}
            except (KeyError, ValueError) as error:
                raise CatalogueError(f"{path}: flag {name}: {error}") from None
    if not version:
        raise CatalogueError("the catalogue has no version")
    return version, flags, urgency_of


def _classes(words: Iterable[tuple[frozenset[str], dict[str, Any]]]) -> dict[str, list[str]]:
    raw: dict[str, list[str]] = {}
    for fillers, content in words:
        for name, entries in content["classes"].items():
            raw.setdefault(name, []).extend(
                _without_fillers(entry, fillers) for text in entries for entry in text.split(",")
            )

    def expand(name: str, seen: tuple[str, ...]) -> list[str]:
        if name not in raw or name in seen:
            raise CatalogueError(f"words.toml: class @{name} is unknown or contains itself")
        result: list[str] = []
        for entry in raw[name]:
            if entry.startswith("@") and " " not in entry:
                result += expand(entry[1:], (*seen, name))
            elif entry.startswith("+") and " " not in entry:
                result += verb_forms(entry[1:])
            elif entry:
                result.append(entry)
        return list(dict.fromkeys(result))

    return {name: expand(name, ()) for name in raw}


def _without_fillers(entry: str, fillers: frozenset[str]) -> str:
    """A phrase less the fillers of its language, which match by themselves (``=the`` must be there)."""
    words = entry.split()
    kept = [word for word in words if word not in fillers]
    return " ".join(words if len(words) == 1 or not kept else kept)


class _Lexicon:
    """Which atoms a word stands for, and which phrases make a class."""

    def __init__(self) -> None:
        self.words: dict[str, dict[str, None]] = {}
        self.beginnings: dict[str, dict[str, None]] = {}
        self.phrases: dict[str, list[tuple[Pattern, tuple[str, ...]]]] = {}
        self.known: set[str] = set()

    def add(self, entry: str, atom: str) -> None:
        """``entry`` (a word, a beginning ``tingl*`` or a phrase) means ``atom``."""
        if " " in entry:
            for pattern in parse(entry, frozenset()):
                for element in pattern.elements:
                    for option in element:
                        self._literal(option)
                for key in rarest_part(pattern, {}):
                    self.phrases.setdefault(key, []).append((pattern, (atom,)))
        elif entry.endswith("*"):
            self.beginnings.setdefault(entry[:-1], {})[atom] = None
        else:
            self.words.setdefault(entry, {})[atom] = None

    def _literal(self, option: str) -> None:
        if option in self.known or option.startswith("@"):
            return
        self.known.add(option)
        self.add(option.replace("_", " "), option)

    def check(self, pattern: Pattern, classes: dict[str, list[str]]) -> None:
        """Make every literal of a rule's pattern known; an unknown class is a fault."""
        for element in pattern.elements:
            for option in element:
                if option.startswith("@") and option[1:] not in classes:
                    raise CatalogueError(f"pattern {pattern.source!r}: no class {option}")
                self._literal(option)


def _rules(
    content: dict[str, Any], urgency_of: dict[str, Urgency], fillers: frozenset[str], language: str
) -> list[Rule]:
    rules = []
    for kind in _KINDS:
        for entry in content.get(kind, ()):
            unknown = set(entry) - _KEYS
            name = entry["name"]
            if unknown:
                raise ValueError(f"{kind} {name}: unknown keys {sorted(unknown)}")
            concept = entry.get("concept", name.partition(".")[0]) if kind == "rule" else ""
            if kind == "rule" and concept not in urgency_of:
                raise ValueError(f"rule {name}: no flag has the concept {concept!r}")
            urgency = (
                Urgency(entry["urgency"]) if "urgency" in entry else urgency_of.get(concept, Urgency.ROUTINE)
            )
            rules.append(
                Rule(
                    name, kind, concept, urgency,
                    tuple(p for line in entry["patterns"] for p in parse(line, fillers)),
                    tuple(p for line in entry.get("unless", ()) for p in parse(line, fillers)),
                    entry.get("fixed", False), tuple(entry.get("asked", ())), entry.get("kind", ""),
                    entry.get("weak", False), entry.get("figurative", False),
                    language,
                )
            )  # fmt: skip
    return rules


def _tolerated(classes: dict[str, list[str]], names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Symptom words that may be misspelt, by first letter."""
    by_letter: dict[str, dict[str, None]] = {}
    for name in names:
        for entry in classes[name]:
            word = entry.rstrip("*")
            if " " not in word and len(word) >= 5:
                by_letter.setdefault(word[0], {})[word] = None
    return {letter: tuple(words) for letter, words in by_letter.items()}
