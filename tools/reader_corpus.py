"""What the learned reader learns from: labelled replies, catalogue phrases, sentence frames, ordinary texts.

All of it lies in ``tests/bank``; but for ``ordinary_sms.txt`` it was written for this project, by no patient.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BANK = ROOT / "tests" / "bank"
TRIAGE = ROOT / "messages" / "triage"
RANK = {"none": 0, "routine": 1, "urgent": 2, "emergency": 3}
LABEL = {"N": (0, 0), "NR": (0, 1), "R": (1, 1), "U": (2, 2), "E": (3, 3)}
ASKED = {"0": None, "p": "pain", "s": "symptoms", "b": "bandage", "t": "blood_thinner", "g": "general"}
MOST_OF_ONE_FRAME = 120


@dataclass(frozen=True)
class Row:
    """One text to learn from. ``low``/``high``: ranks of the urgency range; ``family``: who wrote it;
    ``measured``: counts in the figures (frames, phrases and ordinary texts only teach)."""

    text: str
    language: str
    asked: str | None
    low: int
    high: int
    family: str
    concepts: tuple[str, ...] = ()
    weight: float = 1.0
    measured: bool = True
    kind: str = ""


def sources() -> list[Path]:
    """Every file the model depends on."""
    return [
        *sorted(BANK.glob("corpus/*.jsonl")),
        *sorted(BANK.glob("authors_*.jsonl")),
        *sorted(BANK.glob("corpus_*.jsonl")),
        *sorted(BANK.glob("reader_frames_*.txt")),
        BANK / "redflags.json",
        BANK / "ordinary_sms.txt",
        TRIAGE / "word_classes.txt",
        TRIAGE / "signals.py",
    ]


def digest() -> str:
    """Of everything the model depends on; a test compares it with the one the model was trained on."""
    total = hashlib.sha256()
    for path in sources():
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def rows() -> list[Row]:
    return [*_labelled(), *_phrases(), *_frames(), *_ordinary()]


def _labelled() -> Iterator[Row]:
    for path in sources():
        if path.suffix != ".jsonl":
            continue
        for line in path.read_text("utf-8").splitlines():
            one = json.loads(line)
            low, high = RANK[one["min"]], RANK[one["max"]]
            if "resolved" in one["phenomena"] and low == 1:
                high = max(high, 2)  # the guide: gone since the procedure is routine to urgent
            yield Row(
                one["text"],
                one["lang"],
                one["asked"],
                low,
                high,
                one["family"].split("/")[0],
                tuple(one["concepts"]),
                measured=not path.name.startswith("corpus_more"),
                kind=one.get("kind", ""),
            )


def _phrases() -> Iterator[Row]:
    for flag in json.loads((BANK / "redflags.json").read_text("utf-8")):
        low = RANK[flag["tier"].lower()]
        for language in ("en", "es"):
            for text in flag[language]:
                yield Row(text, language, None, low, 3 if low == 2 else low, "phrases", measured=False)
        for text in flag["benign"]:
            yield Row(re.sub(r"\s*\(.*\)", "", text), "en", None, 0, 1, "phrases", measured=False)


def _ordinary() -> Iterator[Row]:
    for line in (BANK / "ordinary_sms.txt").read_text("utf-8").splitlines():
        if line.strip():
            yield Row(line.strip(), "en", None, 0, 1, "ordinary", measured=False)


def _frames() -> Iterator[Row]:
    for language, joint in (("en", " but "), ("es", " pero ")):
        yield from _expanded(BANK / f"reader_frames_{language}.txt", language, joint)


def _expanded(path: Path, language: str, joint: str) -> Iterator[Row]:
    """Texts of a frame file: ``LABEL concepts questions: a (red|blue) $NAME``. Seeded, so always the same."""
    rng = random.Random(0)
    names, frames = {}, []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("$"):
            name, _, pattern = line.partition("=")
            names[name.strip()] = pattern.strip()
        elif line.strip() and not line.startswith("#"):
            head, _, pattern = line.partition(":")
            frames.append((*head.split(" "), pattern.strip()))
    chat = _tree(_named("$CHAT", names))
    for label, concepts, questions, pattern in frames:
        size = min(MOST_OF_ONE_FRAME, max(8, int(1.5 * (1 + pattern.count("|")))))
        tree, seen = _tree(_named(pattern, names)), set()
        for _ in range(size):
            text = " ".join(_pick(tree, rng).split())
            if not text or text in seen:
                continue
            seen.add(text)
            text = _chatty(text, chat, joint, rng)
            low, high = LABEL[label]
            asked = ASKED[rng.choice(questions)]
            known = () if concepts == "-" else tuple(concepts.split(","))
            yield Row(text, language, asked, low, high, "frames", known, weight=0.3, measured=False)


def _chatty(text: str, chat: list, joint: str, rng: random.Random) -> str:
    if len(text.split()) > 2 and rng.random() < 0.35:
        small_talk, comma = _pick(chat, rng), rng.choice([". ", ", ", joint, " "])
        text = small_talk + comma + text if rng.random() < 0.4 else text + comma + small_talk
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text


def _named(pattern: str, names: dict[str, str]) -> str:
    for _ in range(4):
        pattern = re.sub(r"\$[A-Z]+", lambda found: names[found.group()], pattern)
    return pattern


def _tree(pattern: str) -> list:
    """``a (b|c)`` as nested lists: a list of choices, each a list of strings and further lists of choices."""
    stack: list[list] = [[[]]]
    for piece in re.findall(r"[()|]|[^()|]+", pattern):
        if piece == "(":
            stack.append([[]])
        elif piece == ")":
            choices = stack.pop()
            stack[-1][-1].append(choices)
        elif piece == "|":
            stack[-1].append([])
        else:
            stack[-1][-1].append(piece)
    return stack[0]


def _pick(choices: list, rng: random.Random) -> str:
    return "".join(one if isinstance(one, str) else _pick(one, rng) for one in rng.choice(choices))
