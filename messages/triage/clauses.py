"""The parts of a reply: its clauses, and what is left of it without greetings and thanks."""

import re

from messages.triage.assessment import Finding

MOST_PIECES = 4
MAIN_CLAUSE = 0.5
"""Share of the text from which a clause is its main part."""
MOST_CLAUSES = 8
CLAUSE_END = re.compile(r"[.,;:!?\n]+\s*")
CLAUSE = re.compile(
    r"[.,;:!?\n]+\s*|\s+(?:but|and|n|then|so|though|pero|y|e|aunque|luego|entonces)\s+", re.IGNORECASE
)
WORD = re.compile(r"\w+")
COURTESY = frozenset(
    (
        "ok okay k hi hello hey hiya dear good morning afternoon evening thanks thank you thx ty tysm many "
        "again so much a lot bye goodbye please pls plz call me ring let know doc doctor dr nurse there god "
        "bless take care sorry and hola buenos buenas dias días tardes noches oiga señorita senorita "
        "doctora gracias muchas mil por favor porfa fa llámeme llameme llámenme llamenme saludos "
        "bendiciones adios adiós dios los bendiga"
    ).split()
)


def without_courtesy(text: str) -> str:
    """``text`` without the clauses that only greet, thank or ask for a call; the text itself when nothing is
    left then."""
    clauses = [clause.strip() for clause in CLAUSE_END.split(text) if clause.strip()]
    kept = [clause for clause in clauses if not COURTESY.issuperset(WORD.findall(clause.lower()))]
    return ", ".join(kept) if kept and len(kept) < len(clauses) else text


def clauses(text: str, words: int = 2) -> list[str]:
    """The clauses of at least so many words, when there are several: at most MOST_CLAUSES, so that reading
    stays linear."""
    found = [one.strip() for one in CLAUSE.split(text) if one and len(one.split()) >= words]
    return [one for one in dict.fromkeys(found) if one != text][:MOST_CLAUSES]


def main_pieces(text: str, unsure: tuple[Finding, ...]) -> list[str]:
    """The text without clauses of mere courtesy, and clauses that are most of it and hold unsure words, when
    these differ from the text itself. At most MOST_PIECES."""
    parts = [clause.strip() for clause in CLAUSE_END.split(text) if clause.strip()]
    found = [
        clause
        for clause in parts
        if len(clause) >= MAIN_CLAUSE * len(text) and any(finding.words in clause for finding in unsure)
    ]
    bare = without_courtesy(text)
    return [piece for piece in dict.fromkeys([bare, *found]) if piece != text][:MOST_PIECES]
