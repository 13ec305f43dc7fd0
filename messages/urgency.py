"""How fast a person must look at something. The four words of the whole product."""

from enum import StrEnum


class Urgency(StrEnum):
    """``emergency``: 911 line to the patient now, page now. ``urgent``: a clinician calls back within the
    hour. ``routine``: a person reads it by the next business day. ``none``: needs no person.

    Compares by seriousness (``Urgency.NONE < Urgency.EMERGENCY``), prints and stores as its word.
    """

    NONE = "none"
    ROUTINE = "routine"
    URGENT = "urgent"
    EMERGENCY = "emergency"

    @property
    def rank(self) -> int:
        return _RANK[self]

    # str would compare alphabetically ("urgent" > "routine" > "none" > "emergency"), which is never meant.
    def __lt__(self, other: object) -> bool:
        return self.rank < Urgency(str(other)).rank

    def __le__(self, other: object) -> bool:
        return self.rank <= Urgency(str(other)).rank

    def __gt__(self, other: object) -> bool:
        return self.rank > Urgency(str(other)).rank

    def __ge__(self, other: object) -> bool:
        return self.rank >= Urgency(str(other)).rank


_RANK = {Urgency.NONE: 0, Urgency.ROUTINE: 1, Urgency.URGENT: 2, Urgency.EMERGENCY: 3}


def worst(*urgencies: Urgency) -> Urgency:
    """The most serious of the given urgencies; ``none`` when none is given."""
    return max(urgencies, default=Urgency.NONE, key=lambda urgency: urgency.rank)
