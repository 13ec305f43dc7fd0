"""Writers of one process take turns in the order they came: SQLite's own waiting sleeps and lets some starve.

Other processes still meet at SQLite's lock; here it is about the forty threads of a web server.
"""

from collections import deque
from threading import Event, Lock


class Turns:
    """A lock that is handed over in order. ``take`` may give up; ``give`` is for whoever took."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Event] = deque()
        self._is_taken = False

    def take(self, seconds: float) -> bool:
        """Wait for the turn; False when it did not come in ``seconds``."""
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = Event()
            self._waiting.append(mine)
        if mine.wait(seconds):
            return True
        with self._guard:
            if mine.is_set():  # handed over in this very moment
                return True
            self._waiting.remove(mine)
            return False

    def give(self) -> None:
        """Hand the turn to the one who has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
