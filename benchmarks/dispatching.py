"""B1: due check-ins to accepted rows. Ours, the peers, and the same POSTs without a database.

Ours does the whole job: claims with the plan's rules, fences, results and opened questions committed.
"""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

from sqlalchemy import insert

from benchmarks.table import Line
from service import dispatch
from service.carriers import Sending
from service.db import session_on
from service.models import Enrollment, OutboundMessage, Patient, PlanItem, metadata
from service.planning import pin
from service.runtime import Runtime, make_runtime
from service.settings import Settings
from tests.standin_carrier import ACCOUNT, NUMBER

PROTOCOL, KEY = "vertebroplasty", "welcome"
PEERS = Path(__file__).parent / "peers"


def settings(url: str, carrier: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=url,
        secret_key="0" * 64,
        carrier="twilio",
        public_url="http://127.0.0.1:1",
        twilio_account_sid=ACCOUNT,
        twilio_auth_token="token",
        twilio_from=NUMBER,
        twilio_api_url=carrier,
        pace=0,
        quiet_hours="none",
    )


def lay_down(runtime: Runtime, count: int) -> None:
    """``count`` patients, each with one welcome due now."""
    now = runtime.clock()
    protocol = runtime.protocols[PROTOCOL]
    first = protocol.check_ins[0].key
    with session_on(runtime.engine) as session:
        for table in reversed(metadata.sorted_tables):
            if table.name not in ("audit_events", "sealing_keys", "teams"):
                session.execute(table.delete())
        pin(session, protocol, now)
        session.commit()
        for start in range(0, count, 1000):
            numbers = range(start, min(count, start + 1000))
            session.execute(insert(Patient), [patient(number, now) for number in numbers])
            session.execute(insert(Enrollment), [enrollment(number, protocol, now) for number in numbers])
            session.execute(insert(PlanItem), [item(number, first, now) for number in numbers])
            session.execute(insert(OutboundMessage), [_message(number, now) for number in numbers])
            session.commit()


def patient(number: int, now) -> dict:
    return {
        "id": f"a{number:031d}",
        "name": f"Patient {number}",
        "phone": f"+1312{2_000_000 + number:07d}",
        "timezone": "America/Chicago",
        "language": "en",
        "caregiver_consent": False,
        "created_at": now,
    }


def enrollment(number: int, protocol, now) -> dict:
    return {
        "id": f"b{number:031d}",
        "patient_id": f"a{number:031d}",
        "protocol": protocol.name,
        "version": protocol.version,
        "status": "active",
        "procedure_at": now - timedelta(minutes=30),
        "consent_method": "written",
        "consent_at": now - timedelta(hours=1),
        "enrolled_at": now - timedelta(minutes=5),
        "enrolled_by": "bench",
        "ends_at": now + timedelta(days=90),
    }


def item(number: int, key: str, now) -> dict:
    return {
        "id": f"c{number:031d}",
        "enrollment_id": f"b{number:031d}",
        "key": key,
        "due_at": now - timedelta(seconds=1),
        "expires_at": now + timedelta(hours=6),
        "status": "planned",
    }


def _message(number: int, now) -> dict:
    return {
        "id": f"d{number:031d}",
        "key": f"bench:{number}",
        "kind": "check_in",
        "priority": 5,
        "to_phone": f"+1312{2_000_000 + number:07d}",
        "body": f"Text {number}",
        "language": "en",
        "patient_id": f"a{number:031d}",
        "enrollment_id": f"b{number:031d}",
        "plan_item_id": f"c{number:031d}",
        "status": "planned",
        "created_at": now,
        "due_at": now - timedelta(seconds=1),
        "expires_at": now + timedelta(hours=6),
        "fence": 0,
        "attempts": 0,
    }


def ours(url: str, carrier: str, count: int) -> float:
    """Texts per second, from the first claim to the last committed result; each phone got exactly one."""
    runtime = make_runtime(settings(url, carrier))
    try:
        lay_down(runtime, count)
        forget(carrier)
        began = time.perf_counter()
        counts = dispatch.send_due(runtime, runtime.clock(), seconds=600)
        seconds = time.perf_counter() - began
        check(carrier, count)
        if counts.get("accepted") != count:
            raise AssertionError(f"accepted {counts} of {count}")
        return count / seconds
    finally:
        runtime.close()


def without_database(carrier: str, count: int) -> float:
    """The limit: the same client, the same threads, nothing written down."""
    runtime_settings = settings("sqlite:///unused.sqlite3", carrier)
    from service.carriers.twilio import TwilioCarrier
    from service.runtime import system_clock

    client = TwilioCarrier.from_settings(runtime_settings, system_clock())
    forget(carrier)
    texts = [Sending(f"{n:032x}", f"+1312{2_000_000 + n:07d}", f"Text {n}") for n in range(count)]
    began = time.perf_counter()
    with ThreadPoolExecutor(dispatch.FEW_THREADS) as pool:
        for _ in pool.map(client.send, texts):
            pass
    seconds = time.perf_counter() - began
    client.close()
    check(carrier, count)
    return count / seconds


def peer(python: Path, script: str, url: str, carrier: str, count: int) -> float:
    """A peer in the throw-away environment; it prints texts per second."""
    forget(carrier)
    command = [str(python), str(PEERS / script), url, str(count), carrier]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{script} failed: {done.stderr[-2000:]}")
    check(carrier, count)
    return float(done.stdout.split()[-1])


def forget(carrier: str) -> None:
    urlopen(f"{carrier}/reset").close()


def check(carrier: str, count: int) -> None:
    import json

    with urlopen(f"{carrier}/counts") as answer:
        counts = json.load(answer)
    if counts != {"texts": count, "phones": count, "twice": 0}:
        raise AssertionError(f"the carrier saw {counts} instead of {count} texts once each")


def measure(
    lines: dict[str, Line], urls: dict[str, str], carrier: str, python: Path | None, count: int
) -> None:
    """One round of everything, in turns; without ``python`` (the peers' environment) only ours."""
    few = max(200, count // 5)
    for name, url in urls.items():
        lines[f"ours {name}"].rounds.append(ours(url, carrier, count))
        lines["limit"].rounds.append(without_database(carrier, count))
        if python is None:
            continue
        aps = url.replace("/bench", "/peer") if name == "PostgreSQL" else f"{url}.peer"
        lines[f"apscheduler {name}"].rounds.append(peer(python, "apscheduler_peer.py", aps, carrier, few))
        if name == "PostgreSQL":
            dsn = aps.replace("+psycopg", "")
            lines["pgqueuer"].rounds.append(peer(python, "pgqueuer_peer.py", dsn, carrier, count))
