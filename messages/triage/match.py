"""Finding patterns in a text: words become atoms, atoms become spans, spans become matches.

1. Each word is looked up once (and remembered): its own literal, beginnings, classes, and for symptom words
one
   typing error.
2. Phrases that make a class are found and join the words.
3. Benign look-alikes are found; their words are taken out.
4. Each pattern is tried only when the one element it cannot do without is there. Work per text is bounded.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache

from rapidfuzz.distance import OSA

from messages.triage.catalogue import Catalogue, Rule, catalogue
from messages.triage.pattern import Pattern
from messages.triage.sounds import sounding
from messages.triage.tokens import Tokens

Span = tuple[int, int]
# Per pattern and text. A text with more is read as far as this; the learned reader and people see the whole.
_MOST_MATCHES = 24
_MOST_TRIES = 10_000


@dataclass(slots=True)
class Matches:
    """What was found in one text: matches by kind as (rule, first token, token after the last)."""

    tokens: Tokens
    spans: dict[str, list[Span]]
    found: dict[str, list[tuple[Rule, int, int]]] = field(default_factory=dict)
    tries: int = 0


def match_all(tokens: Tokens, asked: str | None, language: str | None = None) -> Matches:
    """Every match of the catalogue in ``tokens``."""
    known = catalogue()
    spans: dict[str, list[Span]] = {}
    for index, word in enumerate(tokens.words):
        for atom in atoms(word):
            spans.setdefault(atom, []).append((index, index + 1))
    matches = Matches(tokens, spans)
    _phrases(matches, known)
    candidates: list[tuple[Pattern, Rule]] = []
    for atom in spans:
        if atom in known.by_atom:
            candidates += known.by_atom[atom]
    if _plainly_english(tokens.words, language):
        candidates = [(pattern, rule) for pattern, rule in candidates if rule.language == "en"]
    benign = [(pattern, rule) for pattern, rule in candidates if rule.kind == "benign"]
    if benign:
        _try(matches, benign, asked)
        _mask(matches)
    _try(matches, [(pattern, rule) for pattern, rule in candidates if rule.kind != "benign"], asked)
    return matches


# Words that stand in nearly every sentence of the one language and never in the other.
_ENGLISH = frozenset(
    "the is my and i to it was of you have im that this for with but are its been on at your so do not can "
    "will they he she "
    "we just out up get got now what some from am be".split()
)
_SPANISH = frozenset(
    "el la los las que de del un una se le les y en por con mi mis es esta estoy tengo pero muy ya al su lo "
    "yo como "
    "para pa nada todo hoy ayer desde siento duele dolor gracias bien nomas pues ni sin fiebre".split()
)


def _plainly_english(words: list[str], language: str | None) -> bool:
    """Two English words of the commonest (one from a patient who reads English) and no Spanish one: Spanish
    frames have no business here."""
    english = 0
    for word in words:
        if word in _SPANISH:
            return False
        english += word in _ENGLISH
    return english >= (1 if language == "en" else 2)


def _phrases(matches: Matches, known: Catalogue) -> None:
    spans = matches.spans
    waiting = list(spans)
    while waiting:
        atom = waiting.pop()
        for pattern, emitted in known.phrases.get(atom, ()):
            for start, end in find(pattern, matches):
                for name in emitted:
                    if name not in spans:
                        waiting.append(name)
                        spans[name] = [(start, end)]
                    elif (start, end) not in spans[name]:
                        spans[name].append((start, end))
                        spans[name].sort()


def _try(matches: Matches, candidates: list[tuple[Pattern, Rule]], asked: str | None) -> None:
    seen: set[int] = set()
    for pattern, rule in candidates:
        if id(pattern) in seen or (rule.asked and asked not in rule.asked):
            continue
        seen.add(id(pattern))
        for start, end in find(pattern, matches):
            if rule.unless and _silenced(rule, matches, start):
                continue
            kind = "weak" if rule.kind == "rule" and (rule.weak or pattern.weak) else rule.kind
            matches.found.setdefault(kind, []).append((rule, start, end))


def _silenced(rule: Rule, matches: Matches, start: int) -> bool:
    segment = matches.tokens.segments[start]
    return any(
        matches.tokens.segments[first] == segment
        for pattern in rule.unless
        for first, _ in find(pattern, matches)
    )


def _mask(matches: Matches) -> None:
    taken = {index for _, start, end in matches.found.get("benign", ()) for index in range(start, end)}
    if not taken:
        return
    for atom, spans in list(matches.spans.items()):
        kept = [span for span in spans if not any(index in taken for index in range(*span))]
        if kept:
            matches.spans[atom] = kept
        else:
            del matches.spans[atom]


def find(pattern: Pattern, matches: Matches) -> list[Span]:
    """Places where ``pattern`` stands: within one clause, elements in order, gaps kept."""
    spans = matches.spans
    if not pattern.needs <= spans.keys():
        return []
    rows: list[list[Span]] = []
    for element in pattern.elements:
        if len(element) == 1:
            row = spans[element[0]]
        else:
            row = []
            for option in element:
                if option in spans:
                    row = row + spans[option] if row else spans[option]
            if not row:
                return []
            if len(row) > 1:
                row = sorted(row)
        rows.append(row)
    result: list[Span] = []
    for start, end in rows[0]:
        if pattern.at_start and _says_something(matches.tokens, 0, start):
            break
        stop = _follow(pattern, rows, 1, end, matches)
        if stop and not (pattern.at_end and _says_something(matches.tokens, stop, len(matches.tokens.words))):
            result.append((start, stop))
            if len(result) >= _MOST_MATCHES:
                break
    return result


def _says_something(tokens: Tokens, first: int, last: int) -> bool:
    """Whether a word that carries meaning stands there; a comma or a picture is none."""
    return any(
        tokens.weights[index + 1] > tokens.weights[index] and tokens.words[index][0].isalnum()
        for index in range(first, last)
    )


def _follow(pattern: Pattern, rows: list[list[Span]], step: int, end: int, matches: Matches) -> int:
    """The token after the last element when elements from ``step`` on follow ``end``, else 0."""
    if step == len(rows):
        return end
    matches.tries += 1
    if matches.tries > _MOST_TRIES:
        return 0
    row, tokens = rows[step], matches.tokens
    weights, clauses = tokens.weights, tokens.clauses
    farthest = weights[end] + pattern.gaps[step]
    for position in range(bisect_left(row, (end, 0)), len(row)):
        start, stop = row[position]
        if weights[start] > farthest or clauses[start] != clauses[end - 1]:
            return 0
        found = _follow(pattern, rows, step + 1, stop, matches)
        if found:
            return found
    return 0


_REMEMBERED: dict[str, tuple[str, ...]] = {}


def atoms(word: str) -> tuple[str, ...]:
    """What a word stands for: literals, beginnings and classes of the catalogue (also through an alias, a
    spoken -in for -ing, drawn-out letters or one typing error in a symptom word). Remembered for the
    commonest words."""
    known = _REMEMBERED.get(word)
    if known is None:
        known = _atoms(word)
        if len(_REMEMBERED) < 50_000:
            _REMEMBERED[word] = known
    return known


def _atoms(word: str) -> tuple[str, ...]:
    known = catalogue()
    word = known.aliases.get(word, word)
    found = _exact(word, known)
    if found or not word[0].isalpha() or word in known.real_words or word in known.fillers:
        return found
    if word.endswith("in") and (found := _exact(word + "g", known)):
        return found
    for shorter in _undrawn(word):
        if found := _exact(known.aliases.get(shorter, shorter), known):
            return found
    return sounding(word) or _nearest(word, known)


def _exact(word: str, known: Catalogue) -> tuple[str, ...]:
    found = dict.fromkeys(known.words.get(word, ()))
    for length in range(3, len(word) + 1):
        found.update(dict.fromkeys(known.beginnings.get(word[:length], ())))
    return tuple(found)


def _undrawn(word: str) -> tuple[str, ...]:
    """``sooooo`` as ``soo`` and ``so``; nothing when no letter stands three times (``booked`` is not
    ``boked``)."""
    if not any(letter * 3 in word for letter in set(word)):
        return ()
    twice, once = [], []
    run = 0
    for index, letter in enumerate(word):
        run = run + 1 if index and word[index - 1] == letter else 1
        if run <= 2:
            twice.append(letter)
        if run == 1:
            once.append(letter)
    shorter = dict.fromkeys(("".join(twice), "".join(once)))
    shorter.pop(word, None)
    return tuple(shorter)


def _nearest(word: str, known: Catalogue) -> tuple[str, ...]:
    """The symptom word one typing error away (two from nine letters on); clinical notes 3.7."""
    if not 5 <= len(word) <= 16:
        return ()
    allowed = 2 if len(word) >= 9 else 1
    best, distance = "", allowed + 1
    for candidate in known.tolerated.get(word[0], ()):
        if abs(len(candidate) - len(word)) <= allowed:
            steps = OSA.distance(word, candidate, score_cutoff=allowed)
            if steps < distance:
                best, distance = candidate, steps
    return _exact(best, known) if best else ()


@cache
def warm() -> None:
    """Compile the catalogue now rather than with the first reply."""
    catalogue()
