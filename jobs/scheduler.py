"""The ticker: calls each job every few seconds. The rows are the truth; nothing is stored here.

APScheduler's job stores cannot be shared between processes and lose work at ``kill -9``, so jobs live in
memory only, in UTC, never skipped for being late, never two of one kind at once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from time import monotonic

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import SQLAlchemyError

from jobs import (
    catch_up,
    complete_enrollments,
    delete_expired,
    flag_silence,
    heartbeat,
    page_on_call,
    redact_at_carrier,
    refresh_site,
    seal_audit,
    send_due,
    send_reminders,
    send_urgent,
    settle_restore,
    settle_unknown,
    settle_urgent,
    triage_backlog,
    watch_escalations,
)
from service import marks, wake
from service.db import session_on
from service.runtime import Runtime

log = logging.getLogger("aftercare.jobs")

Run = Callable[[Runtime, datetime], dict[str, int]]


@dataclass(frozen=True)
class Job:
    """``run`` is called every ``seconds``."""

    name: str
    run: Run
    seconds: float


JOBS = (
    Job("send_urgent", send_urgent.run, 0.5),
    Job("send_due", send_due.run, 1),
    Job("settle_urgent", settle_urgent.run, 2),
    Job("settle_unknown", settle_unknown.run, 2),
    Job("settle_restore", settle_restore.run, 5),
    Job("triage_backlog", triage_backlog.run, 2),
    Job("page_on_call", page_on_call.run, 1),
    Job("watch_escalations", watch_escalations.run, 15),
    Job("flag_silence", flag_silence.run, 10),
    Job("send_reminders", send_reminders.run, 10),
    Job("seal_audit", seal_audit.run, 10),
    Job("catch_up", catch_up.run, 60),
    Job("heartbeat", heartbeat.run, 60),
    Job("complete_enrollments", complete_enrollments.run, 300),
    Job("refresh_site", refresh_site.run, 15),
    Job("redact_at_carrier", redact_at_carrier.run, 60),
    Job("delete_expired", delete_expired.run, 600),
)
MARK_EVERY_SECONDS = 5


def tick(runtime: Runtime, job: Job, marked: dict[str, float]) -> dict[str, int] | None:
    """Run one job once. A fault is logged by its kind (never its text, which may quote a patient) and the
    next tick tries again: a database that went away comes back.
    """
    now = runtime.clock()
    try:
        counts = job.run(runtime, now)
        if monotonic() - marked.get(job.name, float("-inf")) >= MARK_EVERY_SECONDS:
            with session_on(runtime.engine) as session:
                marks.set_mark(session, f"tick:{job.name}", runtime.clock())
                session.commit()
            marked[job.name] = monotonic()
        return counts
    except SQLAlchemyError as error:
        log.error("job %s: the database failed (%s); trying again", job.name, type(error).__name__)
    except Exception as error:
        log.error("job %s failed: %s at %s", job.name, type(error).__name__, _place(error))
    return None


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "?"


class Ticker:
    """All jobs of one process, and a thread that sends and pages the moment something urgent commits."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.marked: dict[str, float] = {}
        self.scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for job in JOBS:
            self.scheduler.add_job(
                tick, "interval", args=(runtime, job, self.marked), seconds=job.seconds, id=job.name
            )
        self.waker = Thread(target=self._wait_for_urgent, name="wake", daemon=True)

    def start(self) -> None:
        """Begin ticking; every job runs once at once, so that what waited over a restart goes first."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self.scheduler.start()
        for job in JOBS:
            self.scheduler.modify_job(job.name, next_run_time=datetime.now(UTC))
        self.waker.start()
        wake.listen(self.runtime)

    def _wait_for_urgent(self) -> None:
        send, page = (
            next(job for job in JOBS if job.name == name) for name in ("send_urgent", "page_on_call")
        )
        while not self.runtime.stopping.is_set():
            if self.runtime.wake.wait(timeout=0.5):
                self.runtime.wake.clear()
                tick(self.runtime, send, self.marked)  # the patient's answer first
                tick(self.runtime, page, self.marked)  # what it lays wakes this thread again

    def stop(self) -> None:
        """Finish what is in hand, then stop; claims that were not begun are given back by their jobs."""
        self.runtime.stopping.set()
        self.scheduler.shutdown(wait=True)
        self.waker.join(timeout=15)
