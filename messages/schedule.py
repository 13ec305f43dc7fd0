"""The schedule of one enrollment, in one place: its plan (``planning``) and what may go now (``release``)."""

from messages.local_time import QuietHours, to_utc
from messages.planning import ASSUMED_STAY, Facts, PlannedCheckIn, clock_starts_at, plan
from messages.release import (
    PAUSED,
    Decision,
    Expire,
    Go,
    Skip,
    Standing,
    Wait,
    decide,
    meant_for,
    reminder_at,
    silent_at,
)

__all__ = [
    "ASSUMED_STAY",
    "PAUSED",
    "Decision",
    "Expire",
    "Facts",
    "Go",
    "PlannedCheckIn",
    "QuietHours",
    "Skip",
    "Standing",
    "Wait",
    "clock_starts_at",
    "decide",
    "meant_for",
    "plan",
    "reminder_at",
    "silent_at",
    "to_utc",
]
