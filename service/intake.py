"""Replies that arrive together are stored and triaged together: two commits a handful instead of two each.

Nobody waits for a handful to fill: a reply that comes alone is worked on at once, and whoever arrives
meanwhile is in the next handful. So the busier it is, the less each reply costs.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

from sqlalchemy.exc import DBAPIError

from service import inbox
from service.db import session_for_one_statement
from service.inbox import Arrival
from service.runtime import Runtime

log = logging.getLogger("aftercare.webhooks")

LANES = 1  # one bench round with two on PostgreSQL was far slower; why is not known
HANDFUL = 16


@dataclass(slots=True)
class Taken:
    """A reply in the intake's hands. ``is_stored`` once it is committed; ``done`` when what follows from it
    is committed too (or left to the backlog), or with what kept it from being stored. ``waiter``: what an
    event loop waits for until then; it never holds more than that it is over."""

    arrival: Arrival
    waiter: asyncio.Future[None] | None = None
    is_stored: bool = False
    done: Future[None] = field(default_factory=Future)


class Intake:
    """The replies of one web process on their way into the database. Its threads exist only while needed."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.lanes = LANES
        self._waiting: deque[Taken] = deque()
        self._busy = 0
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="intake")

    def take(self, arrival: Arrival, waiter: asyncio.Future[None] | None = None) -> Taken:
        """Put a reply in line. Never blocks. Raises RuntimeError once the process is stopping."""
        taken = Taken(arrival, waiter)
        taken.done.set_running_or_notify_cancel()  # whoever gives up waiting cannot call it off
        with self._lock:
            if self._busy < self.lanes:
                self._pool.submit(self._work)
                self._busy += 1
            self._waiting.append(taken)
        return taken

    def close(self) -> None:
        """Finish what is in hand."""
        self._pool.shutdown(wait=True)

    def _work(self) -> None:
        while True:
            with self._lock:
                handful = [self._waiting.popleft() for _ in range(min(HANDFUL, len(self._waiting)))]
                if not handful:
                    self._busy -= 1
                    return
            try:
                inbox.triage_replies(self.runtime, self._store(handful), self.runtime.clock())
            except Exception as error:  # stored is stored: the backlog reads it
                log.error("a handful of replies was left to the backlog: %s", type(error).__name__)
            for taken in handful:
                if taken.is_stored:
                    taken.done.set_result(None)
            _wake([taken for taken in handful if taken.is_stored])

    def _store(self, handful: Sequence[Taken]) -> list[str]:
        """Commit a handful; when that fails, each alone. Returns the ids of the replies that are new."""
        try:
            new = self._commit(handful)
            for taken in handful:
                taken.is_stored = True
            return new
        except Exception as error:
            if len(handful) == 1:
                handful[0].done.set_exception(error)
                _wake(handful)
                return []
        return [reply_id for taken in handful for reply_id in self._store([taken])]

    def _commit(self, handful: Sequence[Taken]) -> list[str]:
        """Once more when the database had dropped the connection: what was stored is not stored again."""
        try:
            return self._commit_once(handful)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._commit_once(handful)

    def _commit_once(self, handful: Sequence[Taken]) -> list[str]:
        with session_for_one_statement(self.runtime.engine) as session:
            return inbox.store(session, [taken.arrival for taken in handful], self.runtime.clock())


def _wake(handful: Sequence[Taken]) -> None:
    """Tell each event loop once that replies are done: every telling interrupts it."""
    waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for taken in handful:
        if taken.waiter is not None:
            waiting[taken.waiter.get_loop()].append(taken.waiter)
    for loop, waiters in waiting.items():
        try:
            loop.call_soon_threadsafe(_let_go, waiters)
        except RuntimeError:  # that loop has ended: nobody waits there any more
            log.warning("%d replies were stored after the web process had stopped", len(waiters))


def _let_go(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():  # else it was given up
            waiter.set_result(None)


def intake_of(runtime: Runtime) -> Intake:
    """The one intake of this process, made when the first reply arrives."""
    if runtime.intake is None:
        runtime.intake = Intake(runtime)
    assert isinstance(runtime.intake, Intake)
    return runtime.intake
