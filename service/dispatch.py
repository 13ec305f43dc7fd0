"""Sending: claim a handful, call the carrier from threads with no session open, write the results in batches.

A lane is one queue of one process with threads of its own: ``urgent`` (safety answers, pages, texts a person
waits for) and ``routine`` (the plan). Neither can hold up the other, and one slow call holds up nobody.
"""

import logging
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from service import claims, outbox, pace, results
from service.carriers import CarrierError, Sending
from service.carriers.twilio_codes import KEY_MISSING, ONE_PHONE_ONLY
from service.claims import Claimed
from service.db import session_on
from service.keyring import Unreadable
from service.results import GivenBack
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

THREADS = 16
FEW_THREADS = 2  # for a carrier that answers at once: more would only fight for the interpreter
AT_ONCE = 0.02  # seconds
START_WITHIN = 4.0  # seconds from claim to call; with the carrier's time-out it ends before the lease does
CLOSE_WITHIN = 15.0
GATHER_SECONDS = 0.05
GOOD_HANDFUL = 100  # results written in one transaction
QUICK_CALL = 0.2  # seconds; while calls are slower, fewer texts are claimed ahead
LOOK_AFTER = {"safety": timedelta(seconds=4), "page": timedelta(0)}
LOOK_AFTER_OTHERS = timedelta(seconds=15)
URGENT_BACK_OFF = (0.5, 5.0)  # first and longest wait, seconds
ROUTINE_BACK_OFF = (2.0, 120.0)
URGENT_KINDS = ("safety", "page", "notice", "member")

Outcome = str | CarrierError | None  # the carrier's id, its refusal, or None: never offered


class Lane:
    """One queue's threads and the texts in its hands. ``step`` may be called by several threads."""

    def __init__(self, runtime: Runtime, priorities: tuple[int, ...]) -> None:
        self.runtime, self.priorities = runtime, priorities
        self.finished: SimpleQueue[tuple[Claimed, Outcome]] = SimpleQueue()
        self.unwritten: list[tuple[Claimed, Outcome]] = []
        self.in_hand: set[str] = set()
        self.call_seconds = 2 * AT_ONCE
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._lock = Lock()

    def step(self, limit: int, until: float) -> Counter[str]:
        """Claim and send until nothing is due, nothing is in hand, or ``until`` (time.monotonic) has come."""
        counts: Counter[str] = Counter()
        with self._lock:
            while True:
                drained = self._claim(limit, counts)
                self._collect()
                counts += self._write()
                if (drained and not self.in_hand) or time.monotonic() >= until:
                    return counts

    def close(self) -> None:
        """Finish what is in hand: texts not yet offered are given back, calls under way are waited for."""
        until = time.monotonic() + CLOSE_WITHIN
        self.runtime.stopping.set()
        try:
            self.step(0, until)
        except SQLAlchemyError as error:
            # Whatever could not be written is claimed still: the carrier's log settles it after the lease.
            log.error("results of %d texts were not written: %s", len(self.unwritten), type(error).__name__)
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _claim(self, limit: int, counts: Counter[str]) -> bool:
        """Take more texts when the threads need them; True when nothing more is to be had now."""
        if self.runtime.stopping.is_set() or limit <= 0:
            return True
        room = 2 * THREADS if self.call_seconds > QUICK_CALL else limit
        if len(self.in_hand) - len(self.unwritten) >= room:
            return False  # enough for the threads until the next look
        taken, drained = claims.claim(self.runtime, self.priorities, self.runtime.clock(), min(limit, room))
        began = time.monotonic()
        for claimed in taken:
            self.in_hand.add(claimed.id)
            self._threads().submit(self._offer, claimed, began)
        counts["claimed"] += len(taken)
        return drained

    def _threads(self) -> ThreadPoolExecutor:
        """Many while answers take long: waiting costs nothing, a fight over the interpreter does."""
        size = FEW_THREADS if self.call_seconds < AT_ONCE else THREADS
        if size not in self._pools:
            self._pools[size] = ThreadPoolExecutor(size, thread_name_prefix="carrier")
        return self._pools[size]

    def _offer(self, claimed: Claimed, began: float) -> None:
        """One call to the carrier, in a thread of the pool, with no session open. Never raises."""
        self.finished.put((claimed, self._call(claimed, began)))

    def _call(self, claimed: Claimed, began: float) -> Outcome:
        if isinstance(claimed.to_phone, Unreadable) or isinstance(claimed.body, Unreadable):
            return CarrierError("a key is missing", outcome="rejected", code=KEY_MISSING)
        stopping = self.runtime.stopping
        wait = began + claimed.after - time.monotonic()
        if wait > 0:
            stopping.wait(wait)
        started = time.monotonic()
        if stopping.is_set() or started - began > START_WITHIN:
            return None
        useful = int((claimed.expires_at - self.runtime.clock()).total_seconds())
        try:
            sid = self.runtime.carrier.send(
                Sending(claimed.id, claimed.to_phone, claimed.body, max(1, useful))
            ).carrier_sid
        except CarrierError as error:
            return error
        except Exception as error:
            log.error("sending text %s failed in our own code: %s", claimed.id, type(error).__name__)
            return CarrierError(f"fault ({type(error).__name__})", outcome="unknown")
        self.call_seconds += 0.1 * (time.monotonic() - started - self.call_seconds)
        return sid

    def _collect(self) -> None:
        """Move finished calls to ``unwritten``. Waits for a good handful, but never long."""
        until = time.monotonic() + GATHER_SECONDS
        try:
            while len(self.unwritten) < min(GOOD_HANDFUL, len(self.in_hand)):
                self.unwritten.append(self.finished.get(timeout=max(0.0, until - time.monotonic())))
            while True:
                self.unwritten.append(self.finished.get_nowait())
        except Empty:
            return

    def _write(self) -> Counter[str]:
        """Write what is finished. When the database fails, it stays in hand for the next step."""
        if not self.unwritten:
            return Counter()
        now = self.runtime.clock()
        counts: Counter[str] = Counter()
        accepted = [(claimed, result) for claimed, result in self.unwritten if isinstance(result, str)]
        results.write_accepted(self.runtime, accepted, now)
        self._written([claimed for claimed, _ in accepted])
        counts["accepted"] += len(accepted)
        counts += self._write_back(now)
        for claimed, error in list(self.unwritten):
            if isinstance(error, CarrierError) and error.permanent:
                results.write_refused(self.runtime, claimed, error.code, now)
                self._written([claimed])
                counts["refused"] += 1
        return counts

    def _write_back(self, now: datetime) -> Counter[str]:
        """Texts that were not processed or are of unknown fate, in one transaction."""
        counts: Counter[str] = Counter()
        done: list[Claimed] = []
        back: list[GivenBack] = []
        hold: datetime | None = None
        with session_on(self.runtime.engine) as session:
            for claimed, result in self.unwritten:
                if result is None:
                    back.append(GivenBack(claimed, now, offered=False))
                elif isinstance(result, CarrierError) and result.outcome == "not_processed":
                    again = _again(claimed, result, now)
                    back.append(GivenBack(claimed, again, result.code, str(result)))
                    if claimed.kind not in URGENT_KINDS and result.code not in ONE_PHONE_ONLY:
                        hold = max(hold or now, now + timedelta(seconds=result.retry_after or 1))
                elif isinstance(result, CarrierError) and result.outcome == "unknown":
                    look_at = now + LOOK_AFTER.get(claimed.kind, LOOK_AFTER_OTHERS)
                    results.write_unknown(session, claimed, str(result), look_at)
                    counts["unknown"] += 1
                else:
                    continue
                done.append(claimed)
            if done:
                results.write_given_back(session, self.runtime, back, now)
                if hold is not None:
                    pace.hold(session, self.runtime.carrier.sender, hold, now)
                session.commit()
        self._written(done)
        counts["given_back"] += len(back)
        return counts

    def _written(self, done: list[Claimed]) -> None:
        ids = {claimed.id for claimed in done}
        self.unwritten = [result for result in self.unwritten if result[0].id not in ids]
        self.in_hand -= ids


def _again(claimed: Claimed, error: CarrierError, now: datetime) -> datetime:
    """When to offer it again: the carrier's own wish, or doubling waits; with jitter against stampedes."""
    first, longest = URGENT_BACK_OFF if claimed.kind in URGENT_KINDS else ROUTINE_BACK_OFF
    wait = min(longest, first * 2 ** min(claimed.attempts - 1, 10))
    if error.retry_after is not None:
        wait = max(error.retry_after, 0.05)
    return now + timedelta(seconds=wait * (1 + 0.25 * random.random()))


def _lane(runtime: Runtime, name: str, priorities: tuple[int, ...]) -> Lane:
    if name not in runtime.lanes:
        runtime.lanes.setdefault(name, Lane(runtime, priorities))
    lane = runtime.lanes[name]
    assert isinstance(lane, Lane)
    return lane


def send_urgent(runtime: Runtime, now: datetime, limit: int = 50, seconds: float = 60) -> dict[str, int]:
    """Safety answers, pages and texts a person waits for. Returns counts by outcome.

    Returns when none is due and none in hand, or after ``seconds``: calls still under way stay in the lane's
    hands, and the next call writes their results.
    """
    lane = _lane(runtime, "urgent", outbox.URGENT_LANE)
    return dict(+lane.step(limit, time.monotonic() + seconds))


def send_due(runtime: Runtime, now: datetime, limit: int = 200, seconds: float = 60) -> dict[str, int]:
    """Everything due: late texts expire with their tasks, then the urgent lane, then the plan's texts."""
    counts: Counter[str] = Counter(expired=claims.expire_late(runtime, now))
    counts += Counter(send_urgent(runtime, now, seconds=seconds))
    lane = _lane(runtime, "routine", outbox.ROUTINE_LANE)
    counts += lane.step(limit, time.monotonic() + seconds)
    return dict(+counts)
