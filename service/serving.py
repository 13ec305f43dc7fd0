"""Starting the web process so that it also stops well."""

import gc
import signal
import socket
import sys
from types import FrameType

import uvicorn

from messages.triage import assess
from service import site_versions
from service.app import create_app
from service.db import current_revision, newest_revision, session_on, upgrade
from service.index_keys import adopt
from service.planning import pin
from service.runtime import Runtime
from service.settings import SettingsError

GRACE_SECONDS = 5
# How long one thread may keep the interpreter from another. A thread that writes to the database waits for
# its turn after every statement: with the usual 5 ms longer than for the database.
TURN_SECONDS = 0.0005


class Server(uvicorn.Server):
    """Tells open live streams to end when a stop is asked for; otherwise they would hold it."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        super().__init__(config)
        self.runtime = runtime

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.runtime.stopping.set()
        super().handle_exit(sig, frame)


def prepare_database(runtime: Runtime) -> None:
    """An empty database is brought up to date; an older one is refused, so that nobody migrates by accident.

    Also keeps the text of every protocol version in use, and refuses keys of encryption at rest that do not
    fit. Raises SettingsError, ProtocolChanged.
    """
    revision = current_revision(runtime.engine)
    if revision is None:
        upgrade(runtime.engine)
    elif revision != newest_revision():
        raise SettingsError(
            f"The database is at revision {revision}, this version needs {newest_revision()}: "
            "make a backup, then run: aftercare db upgrade."
        )
    adopt(runtime.engine, runtime.clock())
    with session_on(runtime.engine) as session:
        for protocol in runtime.protocols.values():
            pin(session, protocol, runtime.clock())
        session.commit()
    site_versions.refresh(runtime)


def require_free_port(host: str, port: int) -> None:
    """Say at once that a port is taken. Raises SettingsError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {host} port {port} ({error.strerror}): choose another with --port "
                "(make demo: PORT=9000 make demo)."
            ) from error


def serve(runtime: Runtime, host: str, port: int) -> None:
    """Serve until a signal asks to stop. Access logs stay off: addresses carry query strings."""
    config = uvicorn.Config(
        create_app(runtime),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        forwarded_allow_ips=runtime.settings.trusted_proxies,
    )
    runtime.bound_host = host
    sys.setswitchinterval(TURN_SECONDS)
    assess("numb foot", None)  # read the catalogue now: the first thirty replies would each read it at once
    keep_what_is_loaded()
    Server(config, runtime).run()


def keep_what_is_loaded() -> None:
    """What a process has loaded by now stays: looking for garbage in it stood everything still for a fifth of
    a second, every few hundred replies."""
    gc.collect()
    gc.freeze()


def wait_for_stop(runtime: Runtime) -> None:
    """Block until SIGTERM or SIGINT, for processes without a web server."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        runtime.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    keep_what_is_loaded()
    while not runtime.stopping.wait(timeout=1):
        pass
