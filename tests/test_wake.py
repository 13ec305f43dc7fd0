"""A commit in one process wakes the workers of all others, and a lost connection is made again."""

from datetime import timedelta

from sqlalchemy import text

from service import outbox, wake
from service.db import session_on
from service.runtime import Runtime, make_runtime
from tests.conftest import settings_for


def test_an_urgent_text_committed_elsewhere_wakes_a_worker(postgres_url: str) -> None:
    worker, web = make_runtime(settings_for(postgres_url)), make_runtime(settings_for(postgres_url))
    thread = wake.listen(worker)
    assert thread is not None
    assert worker.wake.wait(10)  # listening: whatever was committed before is looked at once
    for kill_first in (False, True):
        if kill_first:
            _cut_listeners(web)
        worker.wake.clear()
        with session_on(web.engine) as session:
            now = web.clock()
            outbox.queue(
                session,
                now=now,
                key=f"k{kill_first}",
                kind="safety",
                to_phone="+13125550100",
                body="Call 911.",
                expires_at=now + timedelta(hours=1),
            )
            session.commit()
        assert worker.wake.wait(10)
    worker.stopping.set()
    thread.join(10)
    assert not thread.is_alive()
    worker.close()
    web.close()


def _cut_listeners(web: Runtime) -> None:
    with session_on(web.engine) as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
        session.commit()


def test_on_sqlite_there_is_nothing_to_listen_to(sqlite_url: str) -> None:
    runtime = make_runtime(settings_for(sqlite_url))
    assert wake.listen(runtime) is None
    runtime.close()
