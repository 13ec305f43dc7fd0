"""Texts of unknown fate, settled from the carrier's own log.

Nothing of unknown fate is sent again before the log was read, except pages (a page too many is better than
one too few) and safety answers when the log cannot be read for a minute. Safety answers and pages are settled
in a lane of their own: a thousand check-ins behind a log that hangs do not stand before them.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from messages.sms import sanitise
from service import fates, receipts
from service.carriers import CarrierError, LoggedMessage
from service.claims import LEASE
from service.db import reading, session_on
from service.keyring import Unreadable
from service.models import MESSAGE_KINDS, OutboundMessage
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")

URGENT = ("safety", "page")
ROUTINE = tuple(kind for kind in MESSAGE_KINDS if kind not in URGENT)
BATCH = 1000
THREADS = 8
LOOK_SECONDS = 8.0  # for one round of look-ups; what was not read by then counts as unreadable now
WATCH_SECONDS = 15.0  # longer than a worker may take from claim to the end of its call
LOOK_AGAIN = {"safety": timedelta(seconds=2)}
LOOK_AGAIN_OTHERS = timedelta(seconds=15)
UNREADABLE_FOR = 60.0  # seconds
LOOK_BACK = timedelta(hours=24)  # clocks may differ or jump; ids that are taken tell old texts apart

Verdict = LoggedMessage | CarrierError | None
Log = list[LoggedMessage] | CarrierError
NOT_TOLD_APART = CarrierError("not to be told apart yet", outcome="unknown")
NO_TIME = CarrierError("the carrier's log did not answer in time", outcome="unknown")
NO_KEY = CarrierError("this process has no key to read the text by", outcome="unknown")


def settle(runtime: Runtime, now: datetime, kinds: Sequence[str] = MESSAGE_KINDS) -> dict[str, int]:
    """Settle what is claimed by a worker that is gone, and what is unknown. Returns counts by verdict.

    ``kinds``: of these kinds only; those of one lane must always be asked for together.

    1. Watch claims of others: a lease is a time, and clocks jump; so a claim counts as abandoned only when
    its lease is over and this process has seen it unchanged for as long as a call can last.
    2. Pages go again at once. 3. For the rest, read the carrier's log by phone, with no session open.
    4. Found: it moves on as by a receipt. Absent: it is due again while useful, else expired with its task.
    Unreadable: look again later.
    """
    ripe = _ripe(runtime, now, kinds)
    if not ripe:
        return {}
    verdicts = _look_up(runtime, [row for row in ripe if row.kind != "page"], now)
    _note_unreadable(runtime, ripe, verdicts)
    counts: Counter[str] = Counter()
    for row in ripe:
        with session_on(runtime.engine) as session:
            counts[_settle_one(session, runtime, row, verdicts.get(row.id), now)] += 1
            session.commit()
    return dict(counts)


def _ripe(runtime: Runtime, now: datetime, kinds: Sequence[str]) -> list[OutboundMessage]:
    with reading(runtime.engine) as session:
        rows = session.exec(
            select(OutboundMessage)
            .where(
                col(OutboundMessage.kind).in_(kinds),
                col(OutboundMessage.status).in_(("claimed", "unknown")),
                col(OutboundMessage.settled_at).is_(None),
            )
            .order_by(col(OutboundMessage.lease_until))
            .limit(BATCH)
        ).all()
    in_hand = {message_id for lane in runtime.lanes.values() for message_id in lane.in_hand}
    seen, at = runtime.seen_claims.setdefault(",".join(kinds), {}), runtime.monotonic()
    present = {(row.id, row.fence) for row in rows}
    for gone in seen.keys() - present:
        del seen[gone]
    if "safety" in kinds:
        tries = {(row.id, row.attempts) for row in rows}
        for settled in runtime.unreadable_since.keys() - tries:
            del runtime.unreadable_since[settled]
    ripe = []
    for row in rows:
        watched = at - seen.setdefault((row.id, row.fence), at)
        if row.id not in in_hand and _is_ripe(row, watched, now):
            ripe.append(row)
    return ripe


def _is_ripe(row: OutboundMessage, watched: float, now: datetime) -> bool:
    """Whether nobody can be at work on this text any more. A lease far in the future is a clock's fault."""
    until = row.lease_until
    if row.status == "unknown":
        return until is None or until <= now or until > now + LOOK_AGAIN_OTHERS * 2
    over = until is None or until <= now or until > now + LEASE * 2
    return over and watched >= WATCH_SECONDS


def _look_up(runtime: Runtime, rows: Sequence[OutboundMessage], now: datetime) -> dict[str, Verdict]:
    """What the carrier's log says of each text: its line, nothing, or that it cannot be read.

    A text whose key is missing here is in no log by its placeholder: that says nothing about its fate.
    """
    by_phone: dict[str, list[OutboundMessage]] = defaultdict(list)
    verdicts: dict[str, Verdict] = {}
    for row in rows:
        if isinstance(row.to_phone, Unreadable) or isinstance(row.body, Unreadable):
            verdicts[row.id] = NO_KEY
        else:
            by_phone[row.to_phone].append(row)
    if not by_phone:
        return verdicts

    def read(phone: str) -> Log:
        first = min(row.dispatched_at or row.created_at for row in by_phone[phone])
        try:
            return runtime.carrier.log(to_phone=phone, since=min(first, now) - LOOK_BACK, direction="out")
        except CarrierError as error:
            return error

    logs = _read_all(list(by_phone), read)
    for phone, texts in by_phone.items():
        found = logs.get(phone, NO_TIME)
        if isinstance(found, CarrierError):
            verdicts |= dict.fromkeys((row.id for row in texts), found)
        else:
            verdicts |= _matched(runtime, texts, found)
    return verdicts


def _read_all(phones: Sequence[str], read: Callable[[str], Log]) -> dict[str, Log]:
    """Each phone's log, as far as they could be read in ``LOOK_SECONDS``; the rest is left to itself."""
    pool = ThreadPoolExecutor(min(THREADS, len(phones)), thread_name_prefix="log")
    try:
        looking = {pool.submit(read, phone): phone for phone in phones}
        done, _ = wait(looking, timeout=LOOK_SECONDS)
        return {looking[one]: one.result() for one in done}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _note_unreadable(
    runtime: Runtime, rows: Sequence[OutboundMessage], verdicts: Mapping[str, Verdict]
) -> None:
    """Since when, by a clock that never jumps, the log could not be read for each safety answer on end."""
    for row in rows:
        verdict, key = verdicts.get(row.id), (row.id, row.attempts)
        if row.kind != "safety":
            continue
        if isinstance(verdict, CarrierError) and verdict is not NOT_TOLD_APART:
            runtime.unreadable_since.setdefault(key, runtime.monotonic())
        else:
            runtime.unreadable_since.pop(key, None)


def _matched(
    runtime: Runtime, texts: Sequence[OutboundMessage], logged: Sequence[LoggedMessage]
) -> dict[str, Verdict]:
    """Give each text a line of its own: same words, an id no row has, the oldest line to the oldest text.

    Whose words a line has exactly comes first: one text may end with the words of another.
    """
    ids = [row.id for row in texts]
    with reading(runtime.engine) as session:
        sids = [line.carrier_sid for line in logged]
        taken = set(
            session.exec(
                select(OutboundMessage.carrier_sid).where(col(OutboundMessage.carrier_sid).in_(sids))
            )
        )
        others = session.exec(
            select(OutboundMessage.body, OutboundMessage.status).where(
                OutboundMessage.to_phone == texts[0].to_phone,
                col(OutboundMessage.status).in_(("claimed", "unknown")),
                col(OutboundMessage.id).not_in(ids),
            )
        ).all()
    under_way = {body for body, status in others if status == "claimed"}
    free = [line for line in reversed(logged) if line.carrier_sid not in taken]
    in_order = sorted(texts, key=lambda row: row.dispatched_at or row.created_at)
    # The same words are on their way to this phone: their line is not ours.
    verdicts: dict[str, Verdict] = {row.id: NOT_TOLD_APART for row in in_order if row.body in under_way}
    looked_for = [row for row in in_order if row.id not in verdicts]
    verdicts |= _paired(looked_for, free, _same_words)
    theirs = [_words(body) for body, _ in others]
    longest_first = sorted(looked_for, key=lambda row: -len(row.body))
    left = [row for row in longest_first if verdicts[row.id] is None]
    return verdicts | _paired(left, free, lambda logged, ours: _ends_alike(logged, ours, theirs))


def _paired(
    texts: Sequence[OutboundMessage], free: list[LoggedMessage], alike: Callable[[str, str], bool]
) -> dict[str, Verdict]:
    """Each text's line or None; lines that are taken leave ``free``."""
    verdicts: dict[str, Verdict] = {}
    for row in texts:
        line = next((line for line in free if alike(line.body, row.body)), None)
        if line is not None:
            free.remove(line)
        verdicts[row.id] = line
    return verdicts


def _words(body: str) -> str:
    return sanitise(body).strip()


def _same_words(logged: str, ours: str) -> bool:
    """A messaging service may simplify characters."""
    return _words(logged) == _words(ours)


def _ends_alike(logged: str, ours: str, theirs: Sequence[str]) -> bool:
    """A trial account puts words of its own in front. ``theirs``: of other texts on their way there."""
    line, end = _words(logged), _words(ours)
    return line.endswith(end) and not any(len(one) > len(end) and line.endswith(one) for one in theirs)


def _settle_one(
    session: Session, runtime: Runtime, seen: OutboundMessage, verdict: Verdict, now: datetime
) -> str:
    row = session.exec(
        select(OutboundMessage)
        .where(
            OutboundMessage.id == seen.id,
            OutboundMessage.fence == seen.fence,
            col(OutboundMessage.status).in_(("claimed", "unknown")),
        )
        .with_for_update()
    ).first()
    if row is None:
        return "settled_meanwhile"
    if isinstance(verdict, LoggedMessage):
        receipts.record(
            session,
            runtime,
            message_id=row.id,
            carrier_sid=verdict.carrier_sid,
            status=verdict.status if verdict.status.lower() in receipts.STATES else "accepted",
            error_code=verdict.error_code,
            now=now,
        )
        return "found"
    row.fence += 1  # whoever held it before can only still report that the carrier accepted it
    if isinstance(verdict, CarrierError) and not _go_without_log(runtime, row):
        return _look_again(session, runtime, row, now)
    if row.expires_at <= now:
        fates.expire(session, runtime, row, "the carrier did not take it in time", now)
        return "expired"
    row.status, row.due_at, row.lease_until, row.claimed_by = "planned", now, None, None
    row.why = "offered again: the first try never reached the carrier"
    session.add(row)
    return "sent_again"


def _go_without_log(runtime: Runtime, row: OutboundMessage) -> bool:
    """A safety answer is not kept waiting for a log that this process could not read for a minute on end. How
    long ago the text was offered says nothing: we may have been away."""
    since = runtime.unreadable_since.get((row.id, row.attempts))
    return row.kind == "safety" and since is not None and runtime.monotonic() - since >= UNREADABLE_FOR


def _look_again(session: Session, runtime: Runtime, row: OutboundMessage, now: datetime) -> str:
    if row.expires_at <= now:
        fates.give_up_unknown(session, runtime, row, now)
        return "given_up"
    row.status, row.claimed_by = "unknown", None
    row.lease_until = now + LOOK_AGAIN.get(row.kind, LOOK_AGAIN_OTHERS)
    session.add(row)
    return "unreadable"
