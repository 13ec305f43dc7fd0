"""When a reply is positively known to need nobody. Anything else that was not understood goes to a person."""

from messages.triage.answers import yes_or_no
from messages.triage.assessment import Answer, Finding
from messages.triage.match import Matches

# Words nobody has vouched for that a quiet reply may hold. On families not used for writing the rules red
# flags
# began to pass from two such words on; the learned reader, which weighs them, may call more texts quiet.
_MOST_UNKNOWN = 1
# Words of any kind: longer texts hide things between words everybody uses.
_MOST_WORDS = 16


def is_quiet(
    own: str, asked: str | None, findings: list[Finding], answer: Answer | None, matches: Matches
) -> bool:
    """Doing well, thanks, a denial of everything, pain of at most 4, the good answer to a question; and
    nothing else that could matter."""
    if _hinted(findings, matches):
        return False
    whole = yes_or_no(own)
    if whole == "no" and asked in ("symptoms", "pain"):
        return True
    if whole == "yes" and asked in ("bandage", "blood_thinner", "general", "follow_up", "welcome"):
        return True
    low_pain = asked == "pain" and answer is not None and answer.kind == "score" and (answer.value or 0) < 5
    calm = bool(matches.found.get("calm"))
    good_answer = (
        calm and answer is not None and asked in ("bandage", "blood_thinner") and answer.kind == "yes"
    )
    all_denied = bool(findings) and asked == "symptoms" and answer is not None and answer.kind == "no"
    if not (low_pain or good_answer or calm or all_denied):
        return False
    if any(cue.cue in ("resolved", "current") for cue, _, _ in matches.found.get("cue", ())):
        return False
    if len(matches.tokens.words) > _MOST_WORDS:
        return False
    unknown = len(unknown_words(matches))
    return unknown <= (0 if findings else _MOST_UNKNOWN)


def _hinted(findings: list[Finding], matches: Matches) -> bool:
    """Whether something worth noticing stands outside what the patient denies."""
    starts = matches.tokens.starts
    denied = [(finding.start, finding.end) for finding in findings if finding.status == "denied"]
    denials = {end for _, end in matches.spans.get("@denial", ())}
    for kind in ("hint", "weak"):
        for _, first, last in matches.found.get(kind, ()):
            inside = any(start <= starts[first] and starts[last - 1] < end for start, end in denied)
            if not inside and first not in denials:
                return True
    return False


def unknown_words(matches: Matches) -> list[str]:
    """Words that carry meaning and that nothing in the catalogue accounts for."""
    tokens = matches.tokens
    covered: set[int] = set()
    for kind in ("calm", "benign", "rule", "weak", "cue"):
        for _, start, end in matches.found.get(kind, ()):
            covered.update(range(start, end))
    for atom in ("@denial", "@denial_reach", "@denial_link", "@plain"):
        for start, end in matches.spans.get(atom, ()):
            covered.update(range(start, end))
    return [
        word
        for index, word in enumerate(tokens.words)
        if tokens.weights[index + 1] > tokens.weights[index] and index not in covered and word[0].isalnum()
    ]
