"""Databases and processes of our own to measure and to break: nothing here touches anybody else's."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.request import urlopen

import psycopg

from service.db import make_engine, upgrade
from tests.databases import free_port, postgres_binaries

SECRET = "0123456789abcdef" * 4
REPOSITORY = Path(__file__).parent.parent


class Postgres:
    """A PostgreSQL server in a folder of its own; durable as a real one (fsync on)."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="aftercare-pg-"))
        self.port = free_port()
        self.as_owner: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self.as_owner = ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "-D", self.data, "-U", "app", "--auth=trust", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200 "
            "-c shared_buffers=256MB"
        )
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def restart(self) -> None:
        """As after a power cut: nothing is asked to finish."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        self.start()

    def new_database(self, name: str) -> str:
        """A migrated, empty database; its address."""
        with psycopg.connect(
            f"postgresql://app@127.0.0.1:{self.port}/postgres", autocommit=True
        ) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        url = f"postgresql+psycopg://app@127.0.0.1:{self.port}/{name}"
        migrate(url)
        return url

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object, check: bool = True) -> None:
        command = [*self.as_owner, str(postgres_binaries() / program), *map(str, arguments)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=check, cwd="/")


def migrate(url: str) -> None:
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A folder on a disk of its own that can be filled; needs root on Linux (raises CalledProcessError)."""
    folder = Path(mkdtemp(prefix="aftercare-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=False)
        folder.rmdir()


def environment(**values: object) -> dict[str, str]:
    """The environment of a process of the service: nothing of the caller's settings leaks in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AFTERCARE_")}
    # Processes are started by the hundred: keep bytecode somewhere even where writing it is switched off.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept["PYTHONPYCACHEPREFIX"] = str(Path(os.environ.get("TMPDIR", "/tmp")) / "aftercare-bytecode")
    kept["AFTERCARE_SECRET_KEY"] = SECRET
    return kept | {f"AFTERCARE_{name.upper()}": str(value) for name, value in values.items()}


def start(arguments: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A Python process of this repository with its output in a file."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=REPOSITORY, env=env, stdout=output, stderr=subprocess.STDOUT
        )


def wait_for(address: str, seconds: float = 60) -> None:
    """Until an address answers at all. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{address} did not answer within {seconds} s")
