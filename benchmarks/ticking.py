"""B4: what one tick costs while nothing is due, from a thousand to a million planned texts, and with 200 due.

A tick here is everything ``send_due`` asks of the database: what is too late, what is due in each lane.
"""

import time
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import bindparam, insert, text
from sqlmodel import col

from benchmarks.dispatching import settings
from benchmarks.table import Line
from service import claims, outbox
from service.db import session_on
from service.models import OutboundMessage
from service.runtime import Runtime, make_runtime

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TICKS = 200
DUE = bindparam("due", type_=col(OutboundMessage.due_at).type)


def fill(runtime: Runtime, count: int) -> None:
    """Planned texts spread over the coming ninety days, and as many that were sent long ago."""
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        for start in range(0, count, 10_000):
            numbers = range(start, min(count, start + 10_000))
            session.execute(insert(OutboundMessage), [_row(n, now, sent=False) for n in numbers])
            session.execute(insert(OutboundMessage), [_row(n, now, sent=True) for n in numbers])
            session.commit()
    with runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE outbound_messages"))


def _row(number: int, now, *, sent: bool) -> dict:
    due = now + timedelta(hours=1, seconds=number * 7 % (90 * 86_400)) * (-1 if sent else 1)
    return {
        "id": f"{'e' if sent else 'f'}{number:031d}",
        "key": f"tick:{sent}:{number}",
        "kind": "notice",
        "priority": outbox.PLAN,
        "to_phone": f"+1312{number % 10_000_000:07d}",
        "body": "How is your back today? Reply 0 to 10.",
        "language": "en",
        "status": "delivered" if sent else "planned",
        "created_at": now,
        "due_at": due,
        "expires_at": due + timedelta(hours=6),
        "fence": int(sent),
        "attempts": int(sent),
    }


def tick(runtime: Runtime, now) -> int:
    claims.expire_late(runtime, now)
    claims.claim(runtime, outbox.URGENT_LANE, now, 50)
    taken, _ = claims.claim(runtime, outbox.ROUTINE_LANE, now, 200)
    return len(taken)


def idle(runtime: Runtime) -> float:
    """Milliseconds of one tick, median."""
    times = []
    for _ in range(TICKS):
        began = time.perf_counter()
        assert tick(runtime, runtime.clock()) == 0
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def with_due(runtime: Runtime, count: int = 200) -> float:
    """Milliseconds to claim ``count`` due texts; they are planned again afterwards."""
    now = runtime.clock()
    _move(runtime, now - timedelta(seconds=1), count, "")
    began = time.perf_counter()
    assert tick(runtime, now) == count
    seconds = time.perf_counter() - began
    _move(runtime, now + timedelta(days=1), count, ", status = 'planned'")
    return 1000 * seconds


def _move(runtime: Runtime, due: datetime, count: int, also: str) -> None:
    change = f"UPDATE outbound_messages SET due_at = :due{also} WHERE id >= 'f' AND id < :end"
    with session_on(runtime.engine) as session:
        session.execute(text(change).bindparams(DUE), {"due": due, "end": f"f{count:031d}"})
        session.commit()


def round_trip(runtime: Runtime) -> float:
    """The limit: as many empty transactions as a tick has, each with one ``SELECT 1``."""
    times = []
    for _ in range(TICKS):
        began = time.perf_counter()
        for _ in range(3):
            with session_on(runtime.engine) as session:
                session.execute(text("SELECT 1"))
                session.rollback()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def measure(lines: dict[str, Line], urls: dict[str, dict[int, str]], rounds: int) -> None:
    """One database for each size; every round measures all of them, in turns."""
    runtimes = {
        (name, size): make_runtime(settings(url, "http://127.0.0.1:9"))
        for name, sizes in urls.items()
        for size, url in sizes.items()
    }
    for (_, size), runtime in runtimes.items():
        fill(runtime, size)
    for _ in range(rounds):
        for (name, size), runtime in runtimes.items():
            lines[f"idle {name} {size}"].rounds.append(idle(runtime))
            lines[f"due {name} {size}"].rounds.append(with_due(runtime))
            lines[f"limit {name}"].rounds.append(round_trip(runtime))
    for runtime in runtimes.values():
        runtime.close()
