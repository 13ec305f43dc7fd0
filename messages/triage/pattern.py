"""The little language in which the catalogue writes patterns, and their compiled form.

cant feel @limb          words one after another; fillers ("my", "really") may stand between
cant ..2 feel ..3 @limb  at most two / three words that carry meaning between
leg|foot|@limb           any of these; ``_`` joins words: wont_hold|gave_out
@limb ..4& @limp         either order, at most four words between (what stands left and right stays together)
+drag                    every form of the verb: drag, drags, dragged, dragging
hormigue*                every word that begins so
=the                     a filler that must be there
^ ... $                  the text begins / ends here
"""

from dataclasses import dataclass, field

from messages.triage.verbs import verb_forms

_DEFAULT_GAP = 4


class PatternError(ValueError):
    """A pattern that cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """``elements[k]`` holds the atoms any of which may stand there; at most ``gaps[k]`` words before it."""

    elements: tuple[tuple[str, ...], ...]
    gaps: tuple[int, ...]
    at_start: bool
    at_end: bool
    weak: bool
    source: str
    needs: frozenset[str] = field(init=False, compare=False)
    """Atoms without which it cannot stand anywhere: looked at first, most patterns end here."""

    def __post_init__(self) -> None:
        needs = frozenset(element[0] for element in self.elements if len(element) == 1)
        object.__setattr__(self, "needs", needs)


def parse(source: str, fillers: frozenset[str]) -> list[Pattern]:
    """The compiled patterns of one line; an either-order pair gives two. Raises PatternError."""
    words = source.split()
    weak = words[:1] == ["~"]
    words = words[weak:]
    at_start, at_end = bool(words) and words[0] == "^", bool(words) and words[-1] == "$"
    words = words[at_start : len(words) - at_end]
    if all(word in fillers for word in words):
        fillers = frozenset()  # a phrase of nothing but fillers means just that
    elements: list[tuple[tuple[str, ...], int]] = []
    gap, turns = 0, []
    for word in words:
        if word.startswith(".."):
            digits = word[2:].rstrip("&")
            if digits and not digits.isdigit():
                raise PatternError(f"{source!r}: {word!r} is not a gap such as ..3 or ..3&")
            gap = int(digits) if digits else _DEFAULT_GAP
            if word.endswith("&"):
                turns.append(len(elements))
            continue
        options = _options(word.lstrip("="), source)
        forced = word.startswith("=") or len(words) == 1 or gap > 0
        if not forced and all(option in fillers for option in options):
            continue  # a filler between words matches by itself
        elements.append((options, gap))
        gap = 0
    if not elements:
        raise PatternError(f"{source!r}: nothing to match")
    if any(not 0 < turn < len(elements) for turn in turns):
        raise PatternError(f"{source!r}: an either-order gap stands between two parts")
    return [
        Pattern(
            tuple(options for options, _ in order),
            tuple(gap for _, gap in order),
            at_start,
            at_end,
            weak,
            source,
        )
        for order in _orders(elements, turns)
    ]


def _orders(
    elements: list[tuple[tuple[str, ...], int]], turns: list[int]
) -> list[list[tuple[tuple[str, ...], int]]]:
    """Both orders around the last either-order gap, for every order of what stands left of it."""
    if not turns:
        return [elements]
    right = elements[turns[-1] :]
    orders = []
    for left in _orders(elements[: turns[-1]], turns[:-1]):
        orders.append(left + right)
        orders.append([(right[0][0], 0), *right[1:], (left[0][0], right[0][1]), *left[1:]])
    return orders


def _options(word: str, source: str) -> tuple[str, ...]:
    options: list[str] = []
    for option in word.split("|"):
        if not option:
            raise PatternError(f"{source!r}: empty choice in {word!r}")
        if option.startswith("+"):
            head, _, rest = option[1:].partition("_")
            options += [f"{form}_{rest}" if rest else form for form in verb_forms(head)]
        else:
            options.append(option)
    return tuple(dict.fromkeys(options))
