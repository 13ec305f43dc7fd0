"""How much one program may ask of one web process: far more than any clinic needs, less than it can bear.

A bucket per token: ``BURST`` requests at once, ``PER_SECOND`` refilled. Carrier webhooks are never limited: a
refused webhook is a red flag nobody sees.
"""

from dataclasses import dataclass, field
from math import ceil
from threading import Lock

BURST = 10_000
PER_SECOND = 200
MOST_BUCKETS = 1_000


@dataclass
class Rates:
    """Buckets by token id: what was left when it was last asked, and when that was (seconds)."""

    left: dict[str, tuple[float, float]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def wait_for(self, token_id: str, now: float) -> int:
        """Whole seconds this token must wait; 0: go on, and one request is counted."""
        with self.lock:
            before, at = self.left.pop(token_id, (float(BURST), now))
            left = min(float(BURST), before + max(0.0, now - at) * PER_SECOND)
            goes = left >= 1
            self.left[token_id] = (left - 1 if goes else left, now)
            while len(self.left) > MOST_BUCKETS:
                self.left.pop(next(iter(self.left)))
        return 0 if goes else max(1, ceil((1 - left) / PER_SECOND))
