"""On PostgreSQL, a commit anywhere wakes every worker: one thread that listens, and carries ids only.

It is a hint and never the only way: the urgent lane looks every half second by itself.
"""

import logging
from threading import Thread

import psycopg
from sqlalchemy import make_url

from service.outbox import WAKE_CHANNEL
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

LISTEN_SECONDS = 1.0  # then look whether the process is stopping
RECONNECT_SECONDS = 2.0


def listen(runtime: Runtime) -> Thread | None:
    """Start listening until the process stops; None where there is nothing to listen to (SQLite)."""
    if runtime.engine.dialect.name != "postgresql":
        return None
    thread = Thread(target=_listen, args=(runtime,), name="listen", daemon=True)
    thread.start()
    return thread


def _listen(runtime: Runtime) -> None:
    url = make_url(runtime.settings.database_url).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    while not runtime.stopping.is_set():
        try:
            with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
                connection.execute(f"LISTEN {WAKE_CHANNEL}")
                runtime.wake.set()  # whatever was committed while nobody listened
                while not runtime.stopping.is_set():
                    for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                        runtime.wake.set()
        except psycopg.Error as error:
            log.warning("listening to the database ended (%s); trying again", type(error).__name__)
            runtime.stopping.wait(RECONNECT_SECONDS)
