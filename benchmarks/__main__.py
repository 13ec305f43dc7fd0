"""``make bench``: every measurement in turns, one table with peers, limits and ratios; about 12 minutes.

``python -m benchmarks`` [--rounds 5] [--texts 4000] [--webhooks 1000] [--planned 1000000] [--patients 20000]
[--only B1,B2,...]. Shorter: ``--rounds 2 --planned 100000 --patients 2000``. As long as it gets:
``--rounds 9 --texts 20000 --webhooks 5000 --patients 100000``.

Each part prints its rows when it is done; one that fails is named in the table and the others go on. Peers
are installed into a throw-away environment, never into the project's own. Only 127.0.0.1 is used.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
import venv
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import dispatching, enrolling, pages, safety_latency, ticking, webhook
from benchmarks.ground import Postgres, environment, free_port, migrate, start, wait_for
from benchmarks.table import HEAD, Line, rows

PEERS = ("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop")
SHARED = ("apscheduler", "sqlalchemy", "psycopg", "psycopg-binary", "twilio")
DATABASES = ("PostgreSQL", "SQLite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--webhooks", type=int, default=1000)
    parser.add_argument("--planned", type=int, default=1_000_000)
    parser.add_argument("--replies", type=int, default=60)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--patients", type=int, default=20_000)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # take our processes with us
    table, failed = list[str](), list[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="aftercare-bench-")))
        postgres = Postgres()
        stack.callback(postgres.stop)
        for name in given.only.split(","):
            began = time.monotonic()
            try:
                lines = PARTS[name](given, folder, postgres)
            except Exception as error:
                failed.append(name)
                progress(f"{name} failed: {type(error).__name__}: {error}")
                lines = [f"| {name} | **failed**: {type(error).__name__} | | | | | |"]
            progress(f"{name} took {time.monotonic() - began:.0f} s\n" + "\n".join(lines))
            table += lines
    print("\n".join([*machine(given), "", *HEAD, *table]))
    sys.exit(1 if failed else 0)


def progress(words: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {words}\n")
    sys.stderr.flush()


def fresh(folder: Path, postgres: Postgres) -> dict[str, str]:
    """An empty, migrated database of each kind."""
    (folder / "bench.sqlite3").unlink(missing_ok=True)
    lite = f"sqlite:///{folder}/bench.sqlite3"
    migrate(lite)
    return {"PostgreSQL": postgres.new_database("bench"), "SQLite": lite}


def bench_dispatch(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    port = free_port()
    python = throw_away(folder)
    lines: dict[str, Line] = defaultdict(lambda: Line("B1 due check-ins sent", "", "texts/s"))
    carrier = start(["-m", "benchmarks.stub_carrier", str(port)], environment(), folder / "carrier.log")
    try:
        wait_for(f"http://127.0.0.1:{port}/counts")
        for turn in range(given.rounds):
            progress(f"B1 round {turn + 1} of {given.rounds}")
            postgres.new_database("peer")
            urls = fresh(folder, postgres)
            dispatching.measure(lines, urls, f"http://127.0.0.1:{port}", python, given.texts)
    finally:
        carrier.kill()
        carrier.wait()
    table = []
    for name in DATABASES:
        ours = lines[f"ours {name}"]
        ours.what = f"B1 due check-ins sent, {name}"
        peers = [named(lines[f"apscheduler {name}"], "APScheduler, one job per text")] if python else []
        if name == "PostgreSQL" and python:
            peers.insert(0, named(lines["pgqueuer"], "pgqueuer, same client"))
        table += rows(ours, peers, named(lines["limit"], "same client, no database"))
    return table


def named(line: Line, system: str) -> Line:
    line.system = system
    return line


def bench_webhook(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    lines: dict[str, Line] = defaultdict(lambda: Line("", "", "requests/s"))
    for turn in range(given.rounds):
        progress(f"B2 round {turn + 1} of {given.rounds}")
        webhook.measure(lines, fresh(folder, postgres), given.webhooks, turn + 1, folder)
    table = []
    for name in DATABASES:
        ours = lines[f"ours {name}"]
        ours.what = f"B2 signed webhook with triage, {name}"
        peer = named(lines[f"minimal {name}"], "minimal FastAPI endpoint, one commit")
        table += rows(ours, [peer], named(lines[f"commits {name}"], "bare commits"))
    return table


def bench_tick(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    progress("B4")
    lines: dict[str, Line] = defaultdict(lambda: Line("", "", "ms"))
    chosen = [size for size in ticking.SIZES if size <= given.planned]
    urls: dict[str, dict[int, str]] = {"PostgreSQL": {}, "SQLite": {}}
    for size in chosen:
        urls["SQLite"][size] = f"sqlite:///{folder}/tick{size}.sqlite3"
        migrate(urls["SQLite"][size])
        urls["PostgreSQL"][size] = postgres.new_database(f"tick{size}")
    ticking.measure(lines, urls, given.rounds)
    table = []
    for name in DATABASES:
        for kind, words in (("idle", "idle tick"), ("due", "tick with 200 due")):
            least = lines[f"{kind} {name} {chosen[0]}"].middle
            for size in chosen:
                line = lines[f"{kind} {name} {size}"]
                line.what = f"B4 {words}, {size:,} planned, {name}"
                line.note = f"{line.middle / least:.2f} of the first size"
                table += rows(line, [], named(lines[f"limit {name}"], "SELECT 1") if kind == "idle" else None)
    return table


def bench_enroll(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    lines: dict[str, Line] = defaultdict(lambda: Line("", "", "patients/s"))
    for turn in range(given.rounds):
        progress(f"enrolling, round {turn + 1} of {given.rounds}")
        enrolling.measure(lines, fresh(folder, postgres))
    for name in DATABASES:
        lines[f"ours {name}"].what = f"kyphoplasty enrolled with its whole plan, {name}"
    return [line for name in DATABASES for line in rows(lines[f"ours {name}"], [], None)]


def bench_safety(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    progress("red flag to safety answer")
    lines: dict[str, Line] = defaultdict(lambda: Line("", "", "s"))
    safety_latency.measure(lines, fresh(folder, postgres), given.replies, folder)
    for name in DATABASES:
        lines[f"ours {name}"].what = f"red flag to safety answer accepted, {name}"
    return [line for name in DATABASES for line in rows(lines[f"ours {name}"], [], None)]


def bench_pages(given: argparse.Namespace, folder: Path, postgres: Postgres) -> list[str]:
    progress(f"pages on a clinic of {given.patients:,} patients")
    lines: dict[str, Line] = defaultdict(lambda: Line("", "", "ms"))
    pages.measure(lines, fresh(folder, postgres), given.rounds, given.patients)
    table = []
    for page in pages.addresses():
        for name in DATABASES:
            lines[f"{page} {name}"].what = f"page: {page}, {given.patients:,} patients, {name}"
            table += rows(lines[f"{page} {name}"], [], None)
    return table


def throw_away(folder: Path) -> Path | None:
    """An environment for the peers, with our own versions of what both use; None: they cannot be had here."""
    progress("installing the peers into a throw-away environment")
    venv.create(folder / "peers", with_pip=True)
    python = folder / "peers" / "bin" / "python"
    shared = [f"{name}=={version(name)}" for name in SHARED]
    command = [python, "-m", "pip", "install", "--quiet", *PEERS, *shared]
    try:
        subprocess.run(command, check=True, timeout=300)
    except subprocess.SubprocessError as error:
        progress(f"the peers cannot be installed here ({type(error).__name__}): measured without them")
        return None
    return python


def machine(given: argparse.Namespace) -> list[str]:
    """What the figures belong to."""
    system = f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"
    versions = {name: version(name) for name in ("fastapi", "sqlalchemy", "sqlmodel", "psycopg", *PEER_NAMES)}
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {system}",
        json.dumps(versions),
        f"{given.rounds} rounds in turns; {given.texts} texts, {given.webhooks} webhooks",
    ]


PEER_NAMES = ("apscheduler", "twilio")
PARTS: dict[str, Callable[[argparse.Namespace, Path, Postgres], list[str]]] = {
    "B1": bench_dispatch,
    "B2": bench_webhook,
    "B4": bench_tick,
    "enroll": bench_enroll,
    "safety": bench_safety,
    "pages": bench_pages,
}

if __name__ == "__main__":
    main()
