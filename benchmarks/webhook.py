"""B2: signed webhooks, each answered only after text, triage, escalation and answers are committed.

Nine in ten phones are patients who were asked about symptoms an hour ago, the others are unknown. 45 in 100
are red flags, 5 in 100 exact repeats, 1 in 100 forged. Against the smallest honest endpoint with one commit,
and against bare commits of the same database.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import insert, text
from sqlmodel import col, func, select

from benchmarks import dispatching
from benchmarks.ground import environment, free_port, start, wait_for
from benchmarks.table import Line
from service.db import make_engine, reading, session_on
from service.models import Enrollment, Escalation, Patient, PlanItem, Reply
from service.planning import pin
from service.runtime import make_runtime
from tests.standin_carrier import ACCOUNT, NUMBER, TOKEN, sign

CONNECTIONS = 32
RED = (
    "my foot is numb",
    "I have chest pain",
    "I cant pee",
    "fever 102 and chills",
    "my leg is weak and I fell",
    "no puedo mover la pierna",
)
QUIET = ("all good thanks", "pain is 3", "no new symptoms", "todo bien, gracias", "feeling better today", "2")


def requests(count: int, seed: int, public: str) -> tuple[list[dict], dict[str, int]]:
    """Signed requests in the order they are sent, and what must be found afterwards."""
    chance = random.Random(seed)
    url, forms, red = f"{public}/twilio/inbound", [], 0
    for number in range(count):
        is_red = chance.random() < 0.45
        red += is_red
        forms.append(
            {
                "AccountSid": ACCOUNT,
                "Body": chance.choice(RED if is_red else QUIET),
                "From": phone_of(number),
                "MessageSid": f"SM{seed:08x}{number:024x}",
                "NumMedia": "0",
                "NumSegments": "1",
                "To": NUMBER,
            }
        )
    lines = [_line(form, sign(url, form)) for form in forms]
    lines += [lines[chance.randrange(count)] for _ in range(count // 20)]
    chance.shuffle(lines)
    forged = [
        _line(form | {"MessageSid": f"SM{'f' * 32}"}, sign(url, form)) for form in forms[: count // 100]
    ]
    return [*lines, *forged], {"replies": count, "red": red, "forged": len(forged)}


def _line(form: dict[str, str], headers: dict[str, str]) -> dict:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"path": "/twilio/inbound", "headers": kind | headers, "body": urlencode(form)}


@contextmanager
def serving(arguments: list[str], env: dict[str, str], port: int, log: Path, path: str) -> Iterator[None]:
    process = start(arguments, env, log)
    try:
        wait_for(f"http://127.0.0.1:{port}{path}")
        yield
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, lines: list[dict], folder: Path) -> dict:
    """Send them all; the generator's own report."""
    file = folder / "requests.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    command = [sys.executable, "-m", "benchmarks.load_webhook", str(port), str(file), str(CONNECTIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
    return json.loads(done.stdout)


def ours(url: str, count: int, seed: int, folder: Path) -> dict:
    """The real web process; afterwards every reply is stored, triaged, and every red flag escalated."""
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    lines, expected = requests(count, seed, public)
    enroll_senders(url, count)
    env = environment(
        database_url=url,
        carrier="twilio",
        public_url=public,
        twilio_account_sid=ACCOUNT,
        twilio_auth_token=TOKEN,
        twilio_from=NUMBER,
        twilio_api_url="http://127.0.0.1:9",
    )
    with serving(["-m", "service", "web", "--port", str(port)], env, port, folder / "web.log", "/healthz"):
        report = load(port, lines, folder)
    _check(url, seed, expected, report)
    return report


def enroll_senders(url: str, count: int) -> None:
    """The people behind the phones: patients on their first day, with a question that is open."""
    runtime = make_runtime(dispatching.settings(url, "http://127.0.0.1:9"))
    now, protocol = runtime.clock(), runtime.protocols[dispatching.PROTOCOL]
    question = next(one for one in protocol.check_ins if one.asks == "symptoms")
    numbers = [number for number in range(count) if number % 10]
    with session_on(runtime.engine) as session:
        pin(session, protocol, now)
        session.execute(
            insert(Patient), [dispatching.patient(n, now) | {"phone": phone_of(n)} for n in numbers]
        )
        session.execute(insert(Enrollment), [dispatching.enrollment(n, protocol, now) for n in numbers])
        sent = {"asks": question.asks, "status": "sent", "sent_at": now - timedelta(hours=1)}
        session.execute(insert(PlanItem), [dispatching.item(n, question.key, now) | sent for n in numbers])
        session.commit()
    runtime.close()


def phone_of(number: int) -> str:
    return f"+1312{3_000_000 + number:07d}"


def _check(url: str, seed: int, expected: dict[str, int], report: dict) -> None:
    engine = make_engine(url)
    with reading(engine) as session:
        of_round = col(Reply.carrier_sid).startswith(f"SM{seed:08x}")
        stored = session.exec(select(func.count()).select_from(Reply).where(of_round)).one()
        triaged = session.exec(
            select(func.count()).select_from(Reply).where(of_round, col(Reply.triaged_at).is_not(None))
        ).one()
        red = session.exec(
            select(func.count())
            .select_from(Escalation)
            .join(Reply, col(Reply.id) == Escalation.reply_id)
            .where(of_round, Escalation.reason == "red_flag")
        ).one()
    engine.dispose()
    found = {"replies": stored, "red": red, "forged": report["statuses"].get("403", 0)}
    if found != expected or triaged != stored:
        raise AssertionError(f"found {found}, {triaged} triaged; expected {expected}; {report}")


def minimal(url: str, count: int, seed: int, folder: Path) -> dict:
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    lines, _ = requests(count, seed, public)
    arguments = ["-m", "benchmarks.peers.minimal_webhook", str(port), url, public, TOKEN]
    with serving(arguments, environment(), port, folder / "minimal.log", "/openapi.json"):
        return load(port, lines, folder)


def bare_commits(url: str, count: int) -> float:
    """The database alone: one insert and one commit each, on as many connections as help it."""
    engine = make_engine(url, pool_size=16)
    workers = 16 if engine.dialect.name == "postgresql" else 1
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS bare (id INTEGER, body TEXT)"))

    def work(first: int) -> None:
        for number in range(first, count, workers):
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO bare VALUES (:id, 'my foot is numb')"), {"id": number})

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    seconds = time.perf_counter() - began
    engine.dispose()
    return count / seconds


def _note(report: dict) -> str:
    return "50/95/99 %: " + "/".join(f"{report['ms'][share]:g}" for share in ("50", "95", "99")) + " ms"


def measure(lines: dict[str, Line], urls: dict[str, str], count: int, seed: int, folder: Path) -> None:
    """One round of everything, in turns."""
    for name, url in urls.items():
        report = ours(url, count, seed, folder)
        lines[f"ours {name}"].rounds.append(report["per_second"])
        lines[f"ours {name}"].note = _note(report)
        report = minimal(url, count, seed, folder)
        lines[f"minimal {name}"].rounds.append(report["per_second"])
        lines[f"minimal {name}"].note = _note(report)
        lines[f"commits {name}"].rounds.append(bare_commits(url, count))
