"""The demonstration's clock: stands where it is put while the past is played, then runs, faster if wanted."""

from datetime import UTC, datetime, timedelta
from time import monotonic


class DemoClock:
    """Aware UTC. ``speed`` 60: a minute passes every second."""

    def __init__(self, speed: float = 1) -> None:
        self.speed = speed
        self._now = datetime.now(UTC)
        self._started: float | None = None

    def __call__(self) -> datetime:
        if self._started is None:
            return self._now
        return self._now + timedelta(seconds=(monotonic() - self._started) * self.speed)

    def real(self) -> datetime:
        """The wall clock: people at a fast demonstration still need a quarter of an hour to be idle."""
        return datetime.now(UTC)

    def put(self, now: datetime) -> None:
        """Stand at that time."""
        self._now = now

    def start(self) -> None:
        """Run from the present on."""
        self._now, self._started = datetime.now(UTC), monotonic()
