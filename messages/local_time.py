"""Between a patient's wall clock and UTC, and the hours in which scheduled texts wait."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MORNING = time(9)
"""Where a day starts for texts when there is no window at all."""


def to_utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment a wall clock in ``zone`` shows this date and time, in UTC.

    A time that the clocks skip becomes the first minute after the gap; one that they show twice, the first.
    """
    local = datetime.combine(day, at, zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # Skipped. Read with the later offset it lies before the change, with the earlier one after it.
    before, after = local.replace(fold=1).astimezone(UTC), moment
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == before.astimezone(zone).utcoffset():
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


@dataclass(frozen=True)
class QuietHours:
    """Local hours in which scheduled texts wait, from ``start`` until just before ``end``, over midnight when
    ``start`` is the later one. Both ``None``: no window at all, texts go at any hour."""

    start: time | None
    end: time | None

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """``"20:00-09:00"`` or ``"none"``. Raises ``ValueError`` saying what is expected."""
        if text.strip().lower() == "none":
            return cls(None, None)
        clock = r"([01]\d|2[0-3]):([0-5]\d)"
        found = re.fullmatch(rf"\s*{clock}\s*-\s*{clock}\s*", text)
        if not found:
            raise ValueError(f'{text!r} are not quiet hours; write them like "20:00-09:00", or "none"')
        start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        if start == end:
            raise ValueError(f'{text!r} starts and ends at the same time; write "none" for no quiet hours')
        return cls(start, end)

    def __str__(self) -> str:
        return "none" if self.start is None or self.end is None else f"{self.start:%H:%M}-{self.end:%H:%M}"

    @property
    def morning(self) -> time:
        """When the window opens (without one: 09:00)."""
        return self.end or MORNING

    def quiet_at(self, at: datetime, zone: ZoneInfo) -> bool:
        """Whether scheduled texts wait at this moment."""
        if self.start is None or self.end is None:
            return False
        local = at.astimezone(zone).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def open_from(self, at: datetime, zone: ZoneInfo) -> datetime:
        """``at`` itself when texts may go then, else the moment the window opens next. UTC."""
        return self.next_morning(at, zone) if self.quiet_at(at, zone) else at.astimezone(UTC)

    def next_morning(self, at: datetime, zone: ZoneInfo) -> datetime:
        """The first opening of the window at or after ``at``. UTC."""
        day = at.astimezone(zone).date() - timedelta(days=1)
        while (morning := to_utc(day, self.morning, zone)) < at:
            day += timedelta(days=1)
        return morning

    def closes(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """When the window that is open at ``at`` closes (``None``: there is no window). UTC."""
        if self.start is None:
            return None
        day = at.astimezone(zone).date()
        while (evening := to_utc(day, self.start, zone)) <= at:
            day += timedelta(days=1)
        return evening
