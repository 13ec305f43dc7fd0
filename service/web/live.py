"""Live pages: one stream per page that says "something changed", never what; the page asks for itself again.

Versions instead of row ids: on PostgreSQL ids become visible out of order, a version that is compared cannot
be missed. All streams of one process share one look at the database per topic and tick.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from threading import Lock
from time import monotonic
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, func, select

from service import accounts, presence
from service.db import reading, session_on
from service.models import Enrollment, Escalation, OutboundMessage, PlanItem, Reply, SimulatedText
from service.runtime import Runtime
from service.sight import (
    EVERYTHING,
    Sight,
    escalation_in_sight,
    patient_in_sight,
    phone_in_sight,
    sight_of_member,
)
from service.web.doors import PageRoute, cookie_name, must_set_up, peoples_clock
from service.web.local_visits import is_local_phone_visit

router = APIRouter(route_class=PageRoute, include_in_schema=False)
log = logging.getLogger("aftercare.web")

TICK = 0.4  # seconds between looks: a change is on every page within a second
BEAT = 10.0  # seconds between signs of life; the page turns red after 45
STEP = 0.1  # seconds between looks at whether the process stops
TOPIC = re.compile(r"(queue|none|phones|escalation:[0-9a-f]{32}|patient:[0-9a-f]{32}|phone:\+[1-9]\d{6,14})")

NOTHING = Sight(frozenset())

_shared: dict[tuple[int, str, Sight], tuple[float, dict[str, Any]]] = {}
_lock = Lock()


def version_of(session: Session, sight: Sight, topic: str) -> str:
    """A word that differs whenever what a page of this topic shows has changed; ``gone`` for what is not in
    sight."""
    kind, _, subject = topic.partition(":")
    if kind == "queue":
        mine = (_unresolved(), sight.of_escalations())
        rows = [session.exec(select(func.count(), func.sum(Escalation.version)).where(*mine)).one()]
    elif kind == "escalation":
        row = escalation_in_sight(session, sight, subject)
        if row is None:
            return "gone"
        rows = [(row.version,), *_texts(session, row.patient_id, row.phone)]
    elif kind == "patient":
        if patient_in_sight(session, sight, subject) is None:
            return "gone"
        rows = [*_texts(session, subject, None), *_course(session, subject)]
    elif kind in ("phones", "phone"):
        seen = select(func.count(), func.max(SimulatedText.created_at))
        if subject:  # a number out of sight looks like one that never wrote
            seen = seen.where(
                SimulatedText.phone == (subject if phone_in_sight(session, sight, subject) else "")
            )
        rows = [session.exec(seen).one()]
    else:
        rows = []
    return "|".join(",".join(str(value) for value in row) for row in rows) or "still"


def _unresolved() -> Any:
    return col(Escalation.status) != "resolved"


def _texts(session: Session, patient_id: str | None, phone: str | None) -> list[Any]:
    sent = select(
        func.count(),
        func.count(OutboundMessage.accepted_at),
        func.count(OutboundMessage.settled_at),
        func.max(OutboundMessage.created_at),
    )
    heard = select(func.count(), func.count(Reply.triaged_at))
    if patient_id is not None:
        sent, heard = (
            sent.where(OutboundMessage.patient_id == patient_id),
            heard.where(Reply.patient_id == patient_id),
        )
    else:
        sent, heard = (
            sent.where(OutboundMessage.to_phone == phone, col(OutboundMessage.patient_id).is_(None)),
            heard.where(Reply.from_phone == phone, col(Reply.patient_id).is_(None)),
        )
    return [session.exec(sent).one(), session.exec(heard).one()]


def _course(session: Session, patient_id: str) -> list[Any]:
    mine = select(PlanItem.status, func.count()).join(Enrollment).where(Enrollment.patient_id == patient_id)
    items = session.exec(mine.group_by(PlanItem.status).order_by(PlanItem.status)).all()
    states = session.exec(select(Enrollment.id, Enrollment.status).where(Enrollment.patient_id == patient_id))
    open_ones = select(func.count(), func.sum(Escalation.version)).where(Escalation.patient_id == patient_id)
    return [*items, *states.all(), session.exec(open_ones).one()]


def alarm_counts(session: Session, sight: Sight) -> dict[str, Any]:
    """What may be told on a locked page: numbers. ``alarm_key`` changes when another alarm came."""
    loud = (col(Escalation.status) == "open", col(Escalation.urgency_rank) >= 2)
    alarming = (_unresolved(), *loud, sight.of_escalations())
    count, newest = session.exec(select(func.count(), func.max(Escalation.raised_at)).where(*alarming)).one()
    return {"alarming": count, "alarm_key": str(newest)}


def look(runtime: Runtime, topic: str, sight: Sight) -> dict[str, Any]:
    """Version and counts of a topic; looks at most once per tick, process and sight."""
    key = (id(runtime), topic, sight)
    with _lock:
        kept = _shared.get(key)
        if kept is not None and monotonic() - kept[0] < TICK * 0.9:
            return kept[1]
        with reading(runtime.engine) as session:
            version = version_of(session, sight, topic)
            found = {"version": version, "counts": alarm_counts(session, sight)}
            found["present"] = _present(session, runtime, topic, sight) if version != "gone" else []
        if len(_shared) > 2000:
            _shared.clear()
        _shared[key] = (monotonic(), found)
    return found


def _present(
    session: Session, runtime: Runtime, topic: str, sight: Sight
) -> list[tuple[str, str, bool, str]]:
    """Who is at the escalation, or (on the queue) at any that is in sight: member id, name, whether they
    write, escalation."""
    kind, _, escalation_id = topic.partition(":")
    if kind not in ("escalation", "queue"):
        return []
    lasts = presence.LASTS * getattr(runtime.clock, "speed", 1)
    found = presence.people_at(session, now=runtime.clock(), escalation_id=escalation_id, lasts=lasts)
    if kind == "escalation" or not found:
        return found
    ids = {one[3] for one in found}
    wanted = select(Escalation.id).where(col(Escalation.id).in_(ids), sight.of_escalations())
    seen = set(session.exec(wanted))
    return [one for one in found if one[3] in seen]


def _standing(runtime: Runtime, token: str, topic: str = "none") -> tuple[str, str, float, Sight]:
    """Whether the session is active, idle or ended, whose it is, in how many seconds it locks, and what the
    member sees.

    Whoever watches an escalation is noted as present; that is no activity and keeps no session awake.
    """
    now, theirs = runtime.clock(), peoples_clock(runtime)
    with reading(runtime.engine) as session:
        visit = accounts.visit(session, token, theirs)
        if visit is None or must_set_up(runtime, visit):
            return "ended", "", 0.0, NOTHING
        sight = sight_of_member(session, visit.member, now)
        kind, _, escalation_id = topic.partition(":")
        is_there = kind == "escalation" and escalation_in_sight(session, sight, escalation_id) is not None
    if is_there and visit.state == "active":
        with session_on(runtime.engine) as session:
            presence.note_presence(session, now=now, escalation_id=escalation_id, member_id=visit.member.id)
    return visit.state, visit.member.id, (visit.locks_at - theirs).total_seconds(), sight


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def changes(runtime: Runtime, topic: str, token: str | None) -> AsyncIterator[str]:
    """The stream of one page. Ends when the session ends or the process stops. Without ``token`` (phones on
    the machine itself) nobody's session is watched and no counts are told."""
    yield "retry: 2000\n\n"
    told, told_at, checked_at, standing, member_id, locks_in = None, 0.0, 0.0, "active", "", None
    sight = EVERYTHING
    while not runtime.stopping.is_set():
        at = monotonic()
        try:
            if token is not None and at - checked_at >= BEAT / 2:
                standing, member_id, locks_in, sight = await run_in_threadpool(
                    _standing, runtime, token, topic
                )
                checked_at = at
            found = await run_in_threadpool(look, runtime, topic, sight) if standing != "ended" else {}
        except SQLAlchemyError as error:
            # The page stays open and says by itself that it is not up to date; the next look tells more.
            log.warning("a live page waits for the database: %s", type(error).__name__)
            await asyncio.sleep(TICK)
            continue
        if standing == "ended":
            yield _event("ended", {})
            return
        others = [one[1:] for one in found["present"] if one[0] != member_id]
        word = (found["version"], str(found["counts"]), standing, str(others))
        if word != told or at - told_at >= BEAT:
            told, told_at = word, at
            state = {"now": runtime.clock().timestamp(), "version": found["version"], "locked": False}
            state["present"], state["locks_in"] = others, locks_in
            state["counts"] = found["counts"] if token is not None else {"alarming": 0, "alarm_key": ""}
            if standing == "idle":
                state.update(locked=True, version="locked", present=[])
            yield _event("state", state)
        for _ in range(round(TICK / STEP)):
            if runtime.stopping.is_set():
                return
            await asyncio.sleep(STEP)


def _is_there(runtime: Runtime, topic: str, sight: Sight) -> bool:
    """Whether somebody may watch this: an unknown id and one out of sight are the same."""
    kind, _, subject = topic.partition(":")
    seen = {"escalation": escalation_in_sight, "patient": patient_in_sight}.get(kind)
    with reading(runtime.engine) as session:
        return seen is None or seen(session, sight, subject) is not None


@router.get("/live")
async def live(request: Request, topic: str = "none") -> Response:
    """Server-sent events of one page. Watching is not activity: it keeps no session awake."""
    runtime: Runtime = request.app.state.runtime
    if not TOPIC.fullmatch(topic):
        raise HTTPException(404)
    token = request.cookies.get(cookie_name(runtime))
    standing, sight = "ended", NOTHING
    if token:
        standing, _, _, sight = await run_in_threadpool(_standing, runtime, token)
    if standing != "ended" and not await run_in_threadpool(_is_there, runtime, topic, sight):
        raise HTTPException(404)
    if standing == "ended":
        if not (topic.startswith("phone") and is_local_phone_visit(request)):
            raise HTTPException(401, "Sign in again.")
        token = None
    return StreamingResponse(
        changes(runtime, topic, token),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
