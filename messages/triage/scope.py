"""What a found symptom's surroundings say about it: denied, gone, long ago, someone else's, only asked
about.

Everything is scoped to the sentence, and inside it to what the denial or remark can reach. When in doubt a
symptom is present: triage fails towards a human.
"""

from dataclasses import dataclass

from messages.triage.assessment import Status
from messages.triage.catalogue import Rule
from messages.triage.match import Matches, Span

# Words that carry meaning which a remark may reach over, inside one sentence.
_NEAR, _FAR = 7, 14
# What happened once matters even when it is over: someone who fainted, fell or coughed blood needs a call.
_EVENTS = frozenset(("faint", "fall", "coughing_blood"))

# "No fever, just peed myself": what follows is what there is.
_EXCEPT = frozenset(("just", "only", "except", "solo", "solamente", "nomas"))
# "No numbness, peed myself", "no chest pain and i fell": a sentence of one's own ends the list of denials.
_OWN = frozenset(("i", "im", "ive", "my", "myself", "himself", "herself", "me", "mi", "mis", "se"))


@dataclass(slots=True)
class Hit:
    """A rule's match with its status. ``weak``: needs signs that the writer has it now."""

    rule: Rule
    start: int
    end: int
    weak: bool = False
    status: Status = "present"


def settle(hits: list[Hit], matches: Matches) -> None:
    """Give every hit its status, left to right (a list carries one denial along: "no fever, chills or
    rash")."""
    cues = _cues(matches)
    for hit in sorted(hits, key=lambda one: one.start):
        hit.status = _status(hit, hits, cues, matches)


def _cues(matches: Matches) -> dict[str, list[Span]]:
    cues: dict[str, list[Span]] = {}
    for rule, start, end in matches.found.get("cue", ()):
        cues.setdefault(rule.cue, []).append((start, end))
    return cues


def _status(hit: Hit, hits: list[Hit], cues: dict[str, list[Span]], matches: Matches) -> Status:
    if not hit.rule.fixed and (_denied_inside(hit, cues, matches) or _denied(hit, hits, cues, matches)):
        return "denied"
    if cues.get("not_patient") and (cues.get("other_person") or "@kin" in matches.spans):
        return "other_person"
    if _reached(hit, cues.get("other_person", []), matches, before=True):
        return "other_person"
    if _reached(hit, cues.get("current", []), matches):
        return "present"
    if _reached(hit, cues.get("hypothetical", []), matches, before=True):
        return "hypothetical"
    if _asked(hit, cues, matches):
        return "asked"
    if _reached(hit, cues.get("past", []), matches):
        return "past"
    if _reached(hit, cues.get("baseline", []), matches) or _starts_next(
        hit, cues.get("baseline", []), matches
    ):
        return "baseline"
    if hit.rule.concept in _EVENTS:
        return "present"
    gone = [  # "not a drop since" is the symptom itself, not the end of one
        (start, end) for start, end in cues.get("resolved", ())
        if not (hit.rule.fixed and start < hit.end and hit.start < end)
    ]  # fmt: skip
    if _reached(hit, gone, matches) or _starts_next(hit, gone, matches):
        return "resolved"
    return "present"


def _reached(hit: Hit, cues: list[Span], matches: Matches, before: bool = False) -> bool:
    """Whether a remark of the same sentence is near enough; ``before``: only one that precedes the
    symptom."""
    if not cues:
        return False
    weights, segments = matches.tokens.weights, matches.tokens.segments
    for start, end in cues:
        if segments[start] != segments[hit.start]:
            continue
        if start >= hit.start and end <= hit.end:
            if not before or start == hit.start:
                return True
        elif end <= hit.start or start < hit.start:
            if weights[hit.start] - weights[min(end, hit.start)] <= _FAR and not _contrast(
                end, hit.start, matches
            ):
                return True
        elif not before and weights[start] - weights[min(hit.end, start)] <= _FAR:
            if not _contrast(hit.end, start, matches):
                return True
    return False


def _contrast(start: int, end: int, matches: Matches) -> bool:
    """Whether "but" or its like stands between two tokens."""
    return any(start <= first < end for first, _ in matches.spans.get("@contrast", ()))


def _starts_next(hit: Hit, cues: list[Span], matches: Matches) -> bool:
    """Whether the next sentence opens with the remark ("Was numb last night. All gone now")."""
    segments, weights = matches.tokens.segments, matches.tokens.weights
    after = next(
        (i for i in range(hit.end, len(matches.tokens.words)) if segments[i] > segments[hit.start]), None
    )
    if after is None:
        return False
    return any(
        segments[start] == segments[after] and weights[start] - weights[after] <= 2 for start, _ in cues
    )


def _asked(hit: Hit, cues: dict[str, list[Span]], matches: Matches) -> bool:
    """A question about the symptom by someone who does not say that they have it."""
    words, segments = matches.tokens.words, matches.tokens.segments
    segment = segments[hit.start]
    opened = any(segments[start] == segment for start, _ in cues.get("asking", ()))
    tail = hit.end
    while tail < len(words) and segments[tail] == segment and words[tail] not in ".!?;":
        tail += 1
    marked = tail < len(words) and words[tail] == "?"
    if not (opened and marked) and not _reached(hit, cues.get("asking_strong", []), matches, before=True):
        return False
    first = hit.start
    while first > 0 and segments[first - 1] == segment:
        first -= 1
    owners = matches.spans.get("@owner", ())
    return not any(first <= start < tail for start, _ in owners)


def _denied(hit: Hit, hits: list[Hit], cues: dict[str, list[Span]], matches: Matches) -> bool:
    return _denied_before(hit, hits, cues, matches) or _denied_after(hit, cues, matches)


def _denied_before(hit: Hit, hits: list[Hit], cues: dict[str, list[Span]], matches: Matches) -> bool:
    """Walk left from the symptom over words a denial reaches through, until a denial or anything else."""
    words, segments = matches.tokens.words, matches.tokens.segments
    pseudo = {index for start, end in cues.get("pseudo_denial", ()) for index in range(start, end)}
    denials = {start for start, _ in matches.spans.get("@denial", ())}
    light = {index for start, end in matches.spans.get("@denial_reach", ()) for index in range(start, end)}
    links = {start for start, _ in matches.spans.get("@denial_link", ())}
    ends_of = {other.end: other for other in hits if other is not hit and other.start < hit.start}
    covered = {
        index: other for other in hits if other is not hit and other.start < hit.start
        for index in range(other.start, min(other.end, hit.start))
    }  # fmt: skip
    index, linked = hit.start - 1, False
    own = any(word in _OWN for word in words[hit.start : hit.end])
    if words[hit.start] in _EXCEPT and hit.start and words[hit.start - 1] == ",":
        return False
    while index >= 0 and segments[index] == segments[hit.start]:
        if index in denials and index not in pseudo:
            return not _answers_first(index, hit, matches)
        if index in covered and not _inside(hit, covered[index]):
            other = covered[index]
            linked = linked or index in links  # a long finding may hold the "and" itself
            carried = linked or index + 1 in ends_of or other.end >= hit.start
            return other.status == "denied" and carried and not (linked and own)
        if words[index] in (",", "/", "-", "&") or index in links:
            linked = True
        elif words[index] in _OWN:
            own = True
        elif not (index in light or words[index] in ('"', "(", "*")):
            return False
        index -= 1
    return False


def _answers_first(index: int, hit: Hit, matches: Matches) -> bool:
    """ "No, my leg is numb", "no, tengo fiebre": an answer and then a statement of one's own, not a denial of
    it."""
    words = matches.tokens.words
    if words[index + 1] != "," or (
        index and matches.tokens.segments[index - 1] == matches.tokens.segments[index]
    ):
        return False
    said = (*matches.spans.get("@owner", ()), *matches.spans.get("@states", ()))
    return any(index < start < hit.start for start, _ in said)


def _denied_inside(hit: Hit, cues: dict[str, list[Span]], matches: Matches) -> bool:
    """ "La pierna no esta dormida": a denial between the words of the finding itself."""
    pseudo = {index for start, end in cues.get("pseudo_denial", ()) for index in range(start, end)}
    return any(
        hit.start < start < hit.end - 1 and start not in pseudo
        and not any(hit.start < first <= start for first, _ in matches.spans.get("@contrast", ()))
        for start, _ in matches.spans.get("@denial_within", ())
    )  # fmt: skip


def _inside(hit: Hit, other: Hit) -> bool:
    return other.start <= hit.start and hit.end <= other.end


def _denied_after(hit: Hit, cues: dict[str, list[Span]], matches: Matches) -> bool:
    """ "numbness? nope", "fever no", "tingling: none": a bare denial right behind, with nothing following
    it."""
    words, count = matches.tokens.words, len(matches.tokens.words)
    after = hit.end
    while after < count and words[after] in ("?", ":", "-", ",", "=", "\u2026") and after - hit.end < 2:
        after += 1
    denials = {start for start, _ in matches.spans.get("@denial_answer", ())}
    if after >= count or after not in denials:
        return False
    behind = after + 1
    if behind >= count or words[behind] in (".", ",", ";", "!", "\n", "\u2026", "/"):
        return True
    return words[hit.end] in ("?", ":", "-", "=")
