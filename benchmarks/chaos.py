"""Kill it at random and count: real ``aftercare work`` and ``web`` processes against the stand-in carrier.

``python -m benchmarks.chaos`` [--texts 5000] [--kills 300] [--replies 10000] [--workers 3] [--database both]
[--minutes 3.5]: both databases take about 12 minutes on a quiet machine. Shorter: ``--kills 40 --texts 600
--replies 1000``. Until every kill is done however slow the machine: ``--minutes 60``.

1. Texts of every kind are queued little by little while workers are killed (kill -9), the clock of new
workers jumps, and the database server dies. 2. The disk fills up (SQLite). 3. Thousands of replies arrive at
once, some twice, while the web process is killed. 4. Quiet; then every phone is asked what it got and every
row what became of it. One table of counts at the end. Exit status 1 when anything is lost, doubled, stuck, or
unsent without a task.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError, Popen
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from sqlalchemy.exc import SQLAlchemyError

from benchmarks import chaos_count, chaos_load
from benchmarks.ground import Postgres, environment, free_port, migrate, small_disk, start, wait_for
from service.runtime import Runtime, make_runtime
from service.settings import Settings
from tests.standin_carrier import ACCOUNT, NUMBER, TOKEN

RATES = "429=0.05&503=0.03&accept_500=0.03&accept_drop=0.03&drop=0.02&slow=0.02"
OFFSETS = (0, 0, 0, 3600, -3600, 900, -900)
SETTLED_WITHIN = 90.0


@dataclass
class Scene:
    """One run on one database."""

    url: str
    folder: Path
    workers: int
    chance: random.Random
    postgres: Postgres | None
    standin: str = ""
    web_port: int = 0
    offset: int = 0
    replies: int = 0
    processes: list[Popen[bytes]] = field(default_factory=list)
    web: Popen[bytes] | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def settings(self) -> dict[str, object]:
        return {
            "database_url": self.url,
            "carrier": "twilio",
            "public_url": f"http://127.0.0.1:{self.web_port}",
            "twilio_account_sid": ACCOUNT,
            "twilio_auth_token": TOKEN,
            "twilio_from": NUMBER,
            "twilio_api_url": self.standin,
            "pace": 0,
            "quiet_hours": "none",
        }

    def runtime(self) -> Runtime:
        """Our own look at the database; sends nothing."""
        return make_runtime(Settings(_env_file=None, secret_key="0" * 64, **self.settings()))

    def new_worker(self) -> Popen[bytes]:
        env = environment(**self.settings(), clock_offset=self.offset)
        return start(["-m", "service", "work"], env, self.folder / "work.log")

    def new_web(self) -> None:
        env = environment(**self.settings())
        self.web = start(["-m", "service", "web", "--port", str(self.web_port)], env, self.folder / "web.log")
        wait_for(f"http://127.0.0.1:{self.web_port}/healthz", seconds=180)  # busy machines start slowly

    def stop(self) -> None:
        for process in [*self.processes, *([self.web] if self.web else [])]:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--replies", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=3.5, help="longest time for the kills on one database"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # take our processes and disks with us
    names = ["sqlite", "postgresql"] if given.database == "both" else [given.database]
    results = {}
    for name in names:
        say(f"== {name}")
        try:
            results[name] = run(name, given)
        except Exception as error:  # the other database is still worth its run
            results[name] = ({}, [f"the run itself ended with {type(error).__name__}: {error}"])
            say(results[name][1][0])
    print("\n".join(table(results)), flush=True)
    sys.exit(1 if any(broken for _, broken in results.values()) else 0)


def table(results: dict[str, tuple[dict[str, int], list[str]]]) -> list[str]:
    """All counts, a column for each database, and what was broken."""
    names = list(results)
    lines = [f"| what | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    counted = dict.fromkeys(what for counts, _ in results.values() for what in counts)
    for what in counted:
        lines.append(f"| {what} | {' | '.join(str(results[name][0].get(what, '-')) for name in names)} |")
    broken = [f"BROKEN on {name}: {line}" for name, (_, lines_) in results.items() for line in lines_]
    return ["", *lines, "", *(broken or ["Nothing lost, doubled, stuck, or unsent without a task."])]


def say(words: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {words}", flush=True)


def run(name: str, given: argparse.Namespace) -> tuple[dict[str, int], list[str]]:
    """One whole run; returns its counts and the promises it broke."""
    with TemporaryDirectory(prefix="aftercare-chaos-") as folder, ExitStack() as stack:
        scene = set_scene(name, Path(folder), given, stack)
        stack.callback(scene.stop)
        runtime = scene.runtime()
        stack.callback(runtime.close)
        chaos_load.on_call(runtime)
        kill_while_sending(scene, runtime, given)
        if name == "sqlite":
            fill_disk(scene, runtime)
        if given.replies:
            flood(scene, runtime, given.replies)
        settle(scene, runtime)
        got = Counter({(phone, body): times for phone, body, times in ask(scene, "/_counts")["texts"]})
        counts, broken = chaos_count.verdict(runtime, got, scene.replies)
        repaired = chaos_count.repaired(runtime, [scene.folder / "work.log", scene.folder / "web.log"])
        counts |= repaired
        if repaired[chaos_count.WITHOUT]:
            broken.append(f"{repaired[chaos_count.WITHOUT]} {chaos_count.WITHOUT}")
        for line in broken:
            say(f"BROKEN: {line}")
        return dict(scene.counts) | counts, broken


def set_scene(name: str, folder: Path, given: argparse.Namespace, stack: ExitStack) -> Scene:
    postgres = None
    if name == "postgresql":
        postgres = Postgres()
        stack.callback(postgres.stop)
        url = postgres.new_database("chaos")
    else:
        disk = folder
        try:
            disk = stack.enter_context(small_disk(400))
        except (CalledProcessError, OSError):
            say("the disk-full part needs root: left out")
        url = f"sqlite:///{disk}/chaos.sqlite3"
        migrate(url)
    scene = Scene(url, folder, given.workers, random.Random(given.seed), postgres, web_port=free_port())
    port = free_port()
    carrier = start(
        ["-m", "tests.standin_carrier", "--port", str(port)], environment(), folder / "carrier.log"
    )
    stack.callback(carrier.kill)
    scene.standin = f"http://127.0.0.1:{port}"
    wait_for(f"{scene.standin}/_counts")
    urlopen(Request(f"{scene.standin}/_set", data=RATES.encode())).close()
    scene.new_web()
    return scene


def ask(scene: Scene, path: str) -> dict:
    with urlopen(f"{scene.standin}{path}", timeout=30) as answer:
        return json.load(answer)


def kill_while_sending(scene: Scene, runtime: Runtime, given: argparse.Namespace) -> None:
    """Queue a few texts, kill a worker, start another; again and again."""
    texts, kills, until = given.texts, given.kills, time.monotonic() + 60 * given.minutes
    scene.processes = [scene.new_worker() for _ in range(scene.workers)]
    time.sleep(3)
    queued = 0
    for kill in range(1, kills + 1):
        if time.monotonic() > until:
            say(f"stopped after {kill - 1} kills: {given.minutes:g} minutes are over")
            return
        wanted = round(texts * kill / kills)
        patiently(partial(chaos_load.queue_some, runtime, queued, wanted))
        queued = wanted
        time.sleep(scene.chance.expovariate(1 / 0.6))
        place = scene.chance.randrange(len(scene.processes))
        scene.processes[place].kill()
        scene.processes[place].wait()
        scene.counts["kills"] += 1
        if kill % 25 == 0:
            scene.offset = scene.chance.choice(OFFSETS)
            scene.counts["clock jumps"] += 1
            say(f"{kill} kills, {queued} texts queued, clock now {scene.offset:+d} s")
        if scene.postgres is not None and kill % 60 == 0:
            scene.postgres.restart()
            scene.counts["database restarts"] += 1
        scene.processes[place] = scene.new_worker()


def patiently(act, seconds: float = 60) -> int:
    """Our own bookkeeping survives the database's absence too."""
    until = time.monotonic() + seconds
    while True:
        try:
            return act()
        except SQLAlchemyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def fill_disk(scene: Scene, runtime: Runtime) -> None:
    """No room for 8 s while texts are due; then room again."""
    disk = Path(scene.url.removeprefix("sqlite:///")).parent
    if disk == scene.folder:
        return
    begin = runtime.clock()
    chaos_load.queue_some(runtime, 900_000, 900_200, due_at=begin + timedelta(seconds=1))
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    time.sleep(8)
    ballast.unlink()
    scene.counts["seconds of full disk"] += 8


def flood(scene: Scene, runtime: Runtime, replies: int) -> None:
    """All at once, one in twenty twice, and the web process dies in the middle of it, twice."""
    forms = chaos_load.replies(scene.chance, replies)
    chaos_load.tell_carrier(scene.standin, forms)
    twice = [*forms, *scene.chance.sample(forms, len(forms) // 20)]
    scene.chance.shuffle(twice)
    url = f"http://127.0.0.1:{scene.web_port}/twilio/inbound"
    say(f"{len(twice)} webhooks at once")
    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda form: chaos_load.post(url, form), twice)
        for _ in range(2):
            time.sleep(max(1.0, replies / 3000))
            assert scene.web is not None
            scene.web.kill()
            scene.web.wait()
            scene.counts["web kills"] += 1
            scene.new_web()
        scene.counts += Counter(f"webhook answers {status or 'none'}" for status in answers)
    scene.counts["replies written"] += len(forms)
    scene.replies = len(forms)
    scene.counts["seconds of flood"] += round(time.monotonic() - began)


def settle(scene: Scene, runtime: Runtime) -> None:
    """Everybody restarts once more at the right time; then nothing is touched until all is settled."""
    scene.offset = 0
    urlopen(Request(f"{scene.standin}/_set", data=b"429=0.02")).close()
    for place, process in enumerate(scene.processes):
        process.kill()
        process.wait()
        scene.processes[place] = scene.new_worker()
    began, said, acknowledged = time.monotonic(), 0.0, False
    while time.monotonic() - began < SETTLED_WITHIN + 300:
        time.sleep(1)
        if not acknowledged and patiently(partial(chaos_count.read_all, runtime, scene.replies)):
            scene.counts["escalations acknowledged"] = patiently(partial(chaos_load.acknowledge_all, runtime))
            acknowledged = True
        left = patiently(partial(chaos_count.unsettled, runtime, scene.replies))
        if left == 0:
            break
        if time.monotonic() - said > 15:
            said = time.monotonic()
            say(f"{left} texts and replies not settled yet")
    scene.counts["seconds until all was settled"] = round(time.monotonic() - began)
    time.sleep(3)


if __name__ == "__main__":
    main()
