"""Texts we mean to send, written in the caller's transaction: the row is the promise, sending comes later.

Priorities: 0 safety answers and pages, 1 texts a person waits for, 5 the plan. The first two are the urgent
lane: a slow batch of check-ins never stands in front of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from messages.sms import sanitise
from service.models import MESSAGE_KINDS, OutboundMessage

SAFETY = 0
PERSON_WAITS = 1
PLAN = 5
URGENT_LANE = (SAFETY, PERSON_WAITS)
ROUTINE_LANE = (PLAN,)
PRIORITIES = {"safety": SAFETY, "page": SAFETY, "notice": PERSON_WAITS, "member": PERSON_WAITS}
WAKE_CHANNEL = "aftercare_outbox"


def made(
    *,
    now: datetime,
    key: str,
    kind: str,
    to_phone: str,
    body: str,
    expires_at: datetime,
    language: str = "en",
    priority: int | None = None,
    due_at: datetime | None = None,
    patient_id: str | None = None,
    enrollment_id: str | None = None,
    plan_item_id: str | None = None,
    escalation_id: str | None = None,
    reply_id: str | None = None,
    member_id: str | None = None,
    author: str | None = None,
) -> OutboundMessage:
    """One text as a row that is not stored yet.

    ``due_at`` defaults to now; after ``expires_at`` (aware UTC) the text is not sent any more and becomes a
    task. The priority follows from the kind unless given. Raises ValueError for an unknown kind or priority,
    an empty body, or a text that would be useless before it is due.
    """
    due_at = due_at or now
    priority = PRIORITIES.get(kind, PLAN) if priority is None else priority
    clean = sanitise(body).strip()
    if kind not in MESSAGE_KINDS:
        raise ValueError(f"{kind!r} is not a kind of outbound message; use one of {', '.join(MESSAGE_KINDS)}")
    if priority not in (*URGENT_LANE, *ROUTINE_LANE):
        raise ValueError(f"priority {priority} of the text {key!r} belongs to no lane; use 0, 1 or 5")
    if not clean:
        raise ValueError(f"the text {key!r} is empty: give it a body")
    if expires_at <= due_at:
        raise ValueError(f"the text {key!r} expires at {expires_at} before it is due at {due_at}")
    return OutboundMessage(
        key=key,
        kind=kind,
        priority=priority,
        to_phone=to_phone,
        body=clean,
        language=language,
        created_at=now,
        due_at=due_at,
        expires_at=expires_at,
        patient_id=patient_id,
        enrollment_id=enrollment_id,
        plan_item_id=plan_item_id,
        escalation_id=escalation_id,
        reply_id=reply_id,
        member_id=member_id,
        author=author,
    )


def queue(session: Session, *, key: str, **text: Any) -> OutboundMessage:
    """Plan one text (see ``made``); the caller commits. The same ``key`` again returns the first row."""
    known = _with_key(session, key)
    if known is not None:
        return known
    message = made(key=key, **text)
    try:
        with session.begin_nested():
            session.add(message)
    except IntegrityError:
        # Another process planned the same text a moment ago: its row is the one.
        twin = _with_key(session, key)
        if twin is None:
            raise
        return twin
    if message.priority in URGENT_LANE:
        wake_workers(session, message.id)
    return message


def lay(session: Session, **text: Any) -> OutboundMessage:
    """Plan one text (see ``made``) whose key is new for certain, because it names a row that the caller holds
    locked and has looked behind. Asks the database nothing. The caller wakes the workers and commits."""
    message = made(**text)
    session.add(message)
    return message


def is_planned(session: Session, key: str) -> bool:
    """Whether there is a text with this key. What the session has not stored yet is stored later."""
    with session.no_autoflush:
        return _with_key(session, key) is not None


def _with_key(session: Session, key: str) -> OutboundMessage | None:
    return session.exec(select(OutboundMessage).where(OutboundMessage.key == key)).first()


def wake_workers(session: Session, what: str) -> None:
    """On PostgreSQL the commit itself wakes every worker; the note carries an id and nothing else."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, :id)"), {"channel": WAKE_CHANNEL, "id": what})


def cancel_planned(
    session: Session,
    *,
    now: datetime,
    why: str,
    plan_item_ids: Executable | Sequence[str] | None = None,
    to_phone: str | None = None,
    kinds: Sequence[str] = ("check_in", "reminder"),
) -> list[str]:
    """Cancel texts still planned for plan items or a phone, all in one statement; returns the ids of the
    plan items they were for. No commit.

    A text in a worker's hands at this moment is left to it: it goes out if it was claimed already; else the
    worker reads what was just decided as soon as that is committed, and cancels it itself. So nobody who
    cancels ever waits for a worker that waits for them. Raises ValueError when neither plan items nor a phone
    are given: everybody's texts are never meant.
    """
    if plan_item_ids is None and to_phone is None:
        raise ValueError("cancel_planned needs plan_item_ids or a to_phone")
    wanted = select(OutboundMessage.id).where(
        col(OutboundMessage.status) == "planned", col(OutboundMessage.kind).in_(kinds)
    )
    if plan_item_ids is not None:
        wanted = wanted.where(col(OutboundMessage.plan_item_id).in_(plan_item_ids))
    if to_phone is not None:
        wanted = wanted.where(col(OutboundMessage.to_phone) == to_phone)
    found = session.execute(
        update(OutboundMessage)
        .where(col(OutboundMessage.id).in_(wanted.with_for_update(skip_locked=True)))
        .values(status="cancelled", why=why, settled_at=now)
        .returning(col(OutboundMessage.plan_item_id))
        .execution_options(synchronize_session="fetch")
    ).scalars()
    return sorted({item_id for item_id in found if item_id is not None})
