"""Figures that took long to count are kept for a minute; a small clinic's are always fresh."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any

LASTS = 60.0  # seconds
COSTLY = 0.3  # seconds of counting from which a minute of age is worth it


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    counted_at: float


class Figures:
    """What one process keeps. While one request counts again, others are given what was counted last."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}
        self._counting: set[Hashable] = set()
        self._guard = Lock()

    def counted(self, key: Hashable, count: Callable[[], Any]) -> Any:
        """The value of ``count``, perhaps of up to a minute ago. ``key`` says whose figures these are."""
        with self._guard:
            kept = self._kept.get(key)
            is_fresh = kept is not None and self._clock() - kept.counted_at < LASTS
            if kept is not None and (is_fresh or key in self._counting):
                return kept.value
            self._counting.add(key)
        try:
            began = self._clock()
            value = count()
            ended = self._clock()
            with self._guard:
                if ended - began >= COSTLY:
                    self._kept[key] = _Kept(value, ended)
                else:
                    self._kept.pop(key, None)
            return value
        finally:
            with self._guard:
                self._counting.discard(key)
