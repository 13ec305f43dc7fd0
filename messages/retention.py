"""How long each kind of row is kept. ``None``: for ever.

What belongs to a patient's record is kept until the clinic says otherwise: how long a medical record must be
kept is the law of each state (often five to ten years, longer for children), not ours to guess. What only
runs the service is forgotten by itself. Not listed, because it is never deleted: the audit trail (45 CFR
164.316(b)(2)(i) wants six years for documentation of what was done; the trail's chain allows no gap) and the
numbers that asked for no more texts (forgetting one would text it again).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from messages.toml_file import duration

KEEP = "keep"


@dataclass(frozen=True)
class Retention:
    """Durations by kind.

    ``patients``: a patient with every course, text, reply, assessment and escalation, counted from the last
    thing that happened. ``strangers``: replies of numbers that belong to nobody, with their escalations.
    ``pages``: texts to members and their answers by text, after the escalation is resolved.
    ``carrier_log``: the simulated carrier's own log, and what a real one was told to forget.
    ``sign_ins``: tries to sign in, for throttling. ``sessions``: browsers whose session has ended.
    ``heartbeats``: marks of jobs that no longer run and of pages nobody has open.
    """

    patients: timedelta | None = None
    strangers: timedelta | None = None
    pages: timedelta | None = None
    carrier_log: timedelta | None = timedelta(days=90)
    sign_ins: timedelta | None = timedelta(days=30)
    sessions: timedelta | None = timedelta(days=7)
    heartbeats: timedelta | None = timedelta(days=30)


KINDS = tuple(Retention.__dataclass_fields__)
LEAST: Mapping[str, timedelta] = MappingProxyType(
    {
        "patients": timedelta(days=180),  # a course, its follow-up and the questions afterwards
        "strangers": timedelta(days=30),  # longer than anything reads the carrier's log back
        "pages": timedelta(days=30),
        "carrier_log": timedelta(days=7),
        "sign_ins": timedelta(days=1),  # longer than throttling looks back
        "sessions": timedelta(days=1),
        "heartbeats": timedelta(days=1),
    }
)


def read_retention(kind: str, value: object) -> timedelta | None:
    """One value of the site file: ``"keep"`` or a duration such as ``"3650d"``. Raises ``ValueError``."""
    if value == KEEP:
        return None
    try:
        kept = duration(value)
    except ValueError:
        raise ValueError(f'{value!r} should be "keep" or a duration like "3650d"') from None
    if kept < LEAST[kind]:
        raise ValueError(f'{value!r} is too short: at least "{LEAST[kind].days}d"')
    return kept
