"""Laying down the plan of one enrollment as rows, and moving or cancelling what is still to come."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, exists, select

from messages import schedule
from messages.protocol import CheckIn, Protocol, parse, text_of
from messages.schedule import Facts, PlannedCheckIn
from messages.site import Site
from service import outbox
from service.models import Enrollment, OutboundMessage, Patient, PlanItem, ProtocolVersion, new_id
from service.runtime import Runtime

SCHEDULED_KINDS = ("check_in", "reminder")
OPTED_OUT = "the phone has opted out"
_parsed: dict[tuple[str, int, str, int], tuple[Protocol, Site]] = {}


class ProtocolChanged(Exception):
    """A protocol's text changed while its version number did not."""


def pin(session: Session, protocol: Protocol, now: datetime) -> None:
    """Keep the text of this protocol version. Raises ProtocolChanged when another text has this number."""
    kept = session.get(ProtocolVersion, (protocol.name, protocol.version))
    if kept is None:
        session.add(
            ProtocolVersion(
                name=protocol.name,
                version=protocol.version,
                digest=protocol.digest,
                source_text=protocol.source_text,
                created_at=now,
            )
        )
        session.flush()
    elif kept.digest != protocol.digest:
        raise ProtocolChanged(
            f"Protocol {protocol.name} version {protocol.version} differs from the text patients were "
            f"enrolled on: raise its version to {protocol.version + 1}."
        )


def protocol_of(session: Session, runtime: Runtime, enrollment: Enrollment) -> Protocol:
    """The protocol version the enrollment began with, whatever the files say today."""
    current = runtime.protocols.get(enrollment.protocol)
    if current is not None and current.version == enrollment.version:
        return current
    kept = session.get(ProtocolVersion, (enrollment.protocol, enrollment.version))
    if kept is None:
        raise LookupError(f"The text of {enrollment.protocol} version {enrollment.version} is not stored.")
    key = (kept.name, kept.version, kept.digest, id(runtime.site))
    if key not in _parsed:  # the site is kept beside it: its id must not come to name another one
        found = parse(kept.source_text, f"{kept.name} version {kept.version}", runtime.site)
        _parsed[key] = (found, runtime.site)
    return _parsed[key][0]


def facts_of(enrollment: Enrollment, patient: Patient) -> Facts:
    """What planning needs to know."""
    return Facts(
        procedure_at=enrollment.procedure_at,
        discharged_at=enrollment.discharged_at,
        timezone=patient.timezone,
        enrolled_at=enrollment.enrolled_at,
        on_blood_thinner=enrollment.on_blood_thinner,
        follow_up_on=enrollment.follow_up_on,
        thoracic=any(level.startswith("T") for level in enrollment.levels or ()),
    )


def lay_down(
    session: Session, runtime: Runtime, enrollment: Enrollment, patient: Patient, now: datetime
) -> None:
    """One plan item per check-in, and one text in the outbox for each that is still to come; all items in one
    statement, all texts in the next. ``enrollment`` is new: nobody else can have laid these down."""
    protocol = protocol_of(session, runtime, enrollment)
    planned = schedule.plan(protocol, facts_of(enrollment, patient), runtime.settings.quiet, now)
    items = [
        PlanItem(
            id=new_id(),
            enrollment_id=enrollment.id,
            key=entry.check_in.key,
            asks=entry.check_in.asks,
            due_at=entry.due_at,
            expires_at=entry.expires_at,
            status=entry.status,
            why=entry.why or None,
        )
        for entry in planned
    ]
    enrollment.ends_at = ends_at(planned, enrollment)
    session.add_all(items)
    session.flush()  # the texts point to them
    for entry, item in zip(planned, items, strict=True):
        if entry.status == "planned":
            outbox.lay(session, **_text(runtime, enrollment, patient, item, entry.check_in, now))


def ends_at(planned: Iterable[PlannedCheckIn], enrollment: Enrollment) -> datetime:
    """When the course is over: a day after the last check-in could still be answered."""
    last = max((entry.expires_at for entry in planned), default=enrollment.procedure_at)
    return max(last, enrollment.enrolled_at) + timedelta(days=2)


def _text(
    runtime: Runtime,
    enrollment: Enrollment,
    patient: Patient,
    item: PlanItem,
    check_in: CheckIn,
    now: datetime,
    suffix: str = "",
) -> dict[str, Any]:
    """The text of one check-in, as the outbox takes it."""
    return dict(
        now=now,
        key=f"{enrollment.id}:{item.key}{suffix}",
        kind="check_in",
        to_phone=patient.phone,
        body=text_of(check_in, patient.language, runtime.site, enrollment.follow_up_on),
        language=patient.language,
        due_at=item.due_at,
        expires_at=item.expires_at,
        patient_id=patient.id,
        enrollment_id=enrollment.id,
        plan_item_id=item.id,
    )


def replan(
    session: Session, runtime: Runtime, enrollment: Enrollment, patient: Patient, now: datetime
) -> None:
    """Move what is still to come to its new times; what went out or came due stays as it was."""
    protocol = protocol_of(session, runtime, enrollment)
    planned = schedule.plan(protocol, facts_of(enrollment, patient), runtime.settings.quiet, now)
    items = {
        item.key: item
        for item in session.exec(select(PlanItem).where(PlanItem.enrollment_id == enrollment.id))
    }
    for entry in planned:
        item = items[entry.check_in.key]
        if item.status == "cancelled" and item.why == OPTED_OUT and item.due_at > now:
            # It stays cancelled; should the phone opt in again, it is planned for the new time.
            item.due_at, item.expires_at = entry.due_at, entry.expires_at
            if entry.status != "planned":
                item.status, item.why = entry.status, entry.why or None
            session.add(item)
            continue
        movable = item.status == "planned" and item.due_at > now
        revivable = item.status == "skipped" and entry.status == "planned" and entry.due_at > now
        if not (movable or revivable):
            continue
        item.due_at, item.expires_at = entry.due_at, entry.expires_at
        item.status, item.why = entry.status, entry.why or None
        session.add(item)
        outbox.cancel_planned(session, now=now, why="the plan was moved", plan_item_ids=[item.id])
        if entry.status == "planned":
            text = _text(runtime, enrollment, patient, item, entry.check_in, now, _anew("moved", now))
            outbox.queue(session, **text)
    enrollment.ends_at = ends_at(planned, enrollment)
    session.add(enrollment)


def hold_texts(session: Session, enrollment_id: str) -> None:
    """Lock the planned texts of a course before the course itself: workers lock in this order, and who locks
    the other way round and waits would stand before a worker that waits for them."""
    session.exec(
        select(OutboundMessage.id)
        .where(
            col(OutboundMessage.plan_item_id).in_(
                select(PlanItem.id).where(PlanItem.enrollment_id == enrollment_id)
            ),
            OutboundMessage.status == "planned",
        )
        .order_by(OutboundMessage.id)
        .with_for_update()
    ).all()


def cancel(session: Session, enrollment: Enrollment, why: str, now: datetime) -> None:
    """Nothing more of this plan goes out: texts and items in one statement each. What a worker has in its
    hands may still go out: its item says so when it has."""
    mine = select(PlanItem.id).where(PlanItem.enrollment_id == enrollment.id)
    outbox.cancel_planned(session, now=now, why=why, plan_item_ids=mine)
    in_hand = exists().where(
        col(OutboundMessage.plan_item_id) == PlanItem.id,
        col(OutboundMessage.status).in_(("claimed", "unknown")),
    )
    _close(session, [col(PlanItem.enrollment_id) == enrollment.id, ~in_hand], why)
    session.execute(
        update(PlanItem)
        .where(col(PlanItem.enrollment_id) == enrollment.id, col(PlanItem.status) == "sent")
        .values(remind_at=None, silent_at=None)
        .execution_options(synchronize_session="fetch")
    )


def fall_silent(session: Session, phone: str, now: datetime) -> None:
    """This phone opted out: no check-in goes to it any more, whichever course it belongs to. What was asked
    already stays asked. No commit."""
    ids = outbox.cancel_planned(session, now=now, why=OPTED_OUT, to_phone=phone)
    if ids:
        _close(session, [col(PlanItem.id).in_(ids)], OPTED_OUT)


def speak_again(
    session: Session, runtime: Runtime, enrollment: Enrollment, patient: Patient, now: datetime
) -> int:
    """The phone opted in again: what was cancelled for its opt-out and is not due yet is planned anew, as new
    texts. Returns how many. No commit."""
    protocol = protocol_of(session, runtime, enrollment)
    asleep = session.exec(
        select(PlanItem).where(
            PlanItem.enrollment_id == enrollment.id,
            PlanItem.status == "cancelled",
            PlanItem.why == OPTED_OUT,
            PlanItem.due_at > now,
        )
    ).all()
    for item in asleep:
        item.status, item.why = "planned", None
        session.add(item)
        check_in = protocol.check_in(item.key)
        outbox.queue(session, **_text(runtime, enrollment, patient, item, check_in, now, _anew("again", now)))
    return len(asleep)


def _anew(why: str, now: datetime) -> str:
    """What tells a new text of a check-in from those that were cancelled. The time alone does not: replies of
    a backlog are read at one and the same time, and STOP, START, STOP, START found a cancelled text again."""
    return f":{why}-{now:%Y%m%d%H%M%S%f}-{new_id()[:8]}"


def _close(session: Session, which: Sequence[ColumnElement[bool]], why: str) -> None:
    session.execute(
        update(PlanItem)
        .where(col(PlanItem.status) == "planned", *which)
        .values(status="cancelled", why=why)
        .execution_options(synchronize_session="fetch")
    )
