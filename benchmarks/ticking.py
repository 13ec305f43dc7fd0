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
from service.models import OutboundMessage, metadata
from service.runtime import Runtime, make_runtime

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TICKS = 100
DUE_TICKS = 9
DUE_AT_ONCE = 200
COPIED_AT_ONCE = 100_000
DUE = bindparam("due", type_=col(OutboundMessage.due_at).type)


def fill(runtime: Runtime, count: int) -> None:
    """Planned texts spread over the coming ninety days, and as many that were sent long ago.

    The first few are written as the service writes them; the database copies those into the rest by itself,
    with times and keys of their own: millions would take Python half an hour.
    """
    now = runtime.clock()
    few = range(min(count, DUE_AT_ONCE))
    with session_on(runtime.engine) as session:
        for sent in (False, True):
            session.execute(insert(OutboundMessage), [_row(n, now, sent=sent) for n in few])
        session.commit()
    with runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        raw = connection.connection.driver_connection
        if is_sqlite and raw is not None:
            raw.execute("PRAGMA synchronous=OFF")
        for start in range(len(few), count, COPIED_AT_ONCE):
            for sent in (False, True):
                span = {"first": start, "end": min(count, start + COPIED_AT_ONCE)}
                connection.execute(text(_copy(sent, is_sqlite)), span)
                connection.commit()
        connection.execute(text("ANALYZE outbound_messages"))
        connection.commit()
        if is_sqlite and raw is not None:
            raw.execute("PRAGMA synchronous=FULL")


def _copy(sent: bool, is_sqlite: bool) -> str:
    """The statement that copies the first row into the rows from ``:first`` to before ``:end``."""
    kind, sign = ("e", "-") if sent else ("f", "+")
    seconds = "(3600 + n.i * 7 % 7776000)"
    moved = f"model.{{}} {sign} {seconds} * interval '1 second'"
    number = "lpad(CAST(n.i AS text), 31, '0')"
    if is_sqlite:
        moved = f"strftime('%Y-%m-%d %H:%M:%S', model.{{}}, '{sign}' || {seconds} || ' seconds') || '.000000'"
        number = "printf('%031d', n.i)"
    own = {
        "id": f"'{kind}' || {number}",
        "key": f"'tick-{sent}-' || n.i",
        "due_at": moved.format("due_at"),
        "expires_at": moved.format("expires_at"),
    }
    columns = [column.name for column in metadata.tables["outbound_messages"].columns]
    named = ", ".join(f'"{name}"' for name in columns)
    values = [own.get(name, f'model."{name}"') for name in columns]
    return (
        "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS integer) UNION ALL "
        "SELECT i + 1 FROM n WHERE i + 1 < CAST(:end AS integer)) "
        f"INSERT INTO outbound_messages ({named}) "
        f"SELECT {', '.join(values)} FROM outbound_messages AS model, n WHERE model.id = '{kind}{0:031d}'"
    )


def _row(number: int, now, *, sent: bool) -> dict:
    due = now + timedelta(hours=1, seconds=number * 7 % (90 * 86_400)) * (-1 if sent else 1)
    return {
        "id": f"{'e' if sent else 'f'}{number:031d}",
        "key": f"tick-{sent}-{number}",
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


def with_due(runtime: Runtime, count: int = DUE_AT_ONCE) -> float:
    """Milliseconds to claim ``count`` due texts, median; they are planned again afterwards."""
    times = []
    for _ in range(DUE_TICKS):
        now = runtime.clock()
        _move(runtime, now - timedelta(seconds=1), count, "")
        began = time.perf_counter()
        assert tick(runtime, now) == count
        times.append(time.perf_counter() - began)
        _move(runtime, now + timedelta(days=1), count, ", status = 'planned'")
    return 1000 * median(times)


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
