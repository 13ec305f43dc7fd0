"""From a red flag to the safety answer accepted by the carrier: real processes, one reply at a time.

PostgreSQL: ``web`` and ``work`` are two processes (LISTEN/NOTIFY between them). SQLite: one ``run`` process.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.ground import environment, free_port, start, wait_for
from benchmarks.table import Line
from tests.standin_carrier import StandIn, inbound_form, post_signed, settings_of

LONGEST = 20.0


def seconds(url: str, replies: int, folder: Path) -> list[float]:
    """One figure per reply: webhook sent to safety answer in the carrier's log."""
    standin, port = StandIn(push_receipts=True).start(), free_port()
    public = f"http://127.0.0.1:{port}"
    env = environment(database_url=url, public_url=public, pace=0, **settings_of(standin))
    together = url.startswith("sqlite")
    with ExitStack() as stack:
        stack.callback(standin.stop)
        commands = [["run" if together else "web", "--port", str(port)]] + ([] if together else [["work"]])
        for command in commands:
            process = start(["-m", "service", *command], env, folder / f"{command[0]}.log")
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        wait_for(f"{public}/healthz")
        measured = [_one(standin, public, number) for number in range(replies + 3)]
    return measured[3:]  # the first ones load the catalogue


def _one(standin: StandIn, public: str, number: int) -> float:
    phone = f"+1312{4_000_000 + number:07d}"
    form = inbound_form(standin.write(phone, "my foot is numb and I cannot lift it"))
    began = time.perf_counter()
    if post_signed(f"{public}/twilio/inbound", form) != 200:
        raise AssertionError("the webhook was not answered with 200")
    while not any("911" in body for body in standin.got(phone)):
        if time.perf_counter() - began > LONGEST:
            raise AssertionError(f"no safety answer within {LONGEST} s")
        time.sleep(0.002)
    return time.perf_counter() - began


def measure(lines: dict[str, Line], urls: dict[str, str], replies: int, folder: Path) -> None:
    """Fill one line per database: its rounds are single replies."""
    for name, url in urls.items():
        line = lines[f"ours {name}"]
        line.rounds.extend(seconds(url, replies, folder))
        ordered = sorted(line.rounds)
        line.note = f"median {median(ordered):.2f} s, 95 %: {ordered[int(len(ordered) * 0.95)]:.2f} s"
