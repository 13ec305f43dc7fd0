"""A small clinic for tests: patients, members, texts from phones, and looks at what came of them."""

from datetime import timedelta
from itertools import count
from typing import Any

from sqlmodel import col, select

from jobs import page_on_call
from service import enrollments, escalation_rows, inbox, oncall
from service.db import reading, session_on
from service.enrollment_request import NewEnrollment
from service.models import (
    Enrollment,
    Escalation,
    EscalationEvent,
    Member,
    OutboundMessage,
    PlanItem,
    Reply,
    StoredAssessment,
)
from service.runtime import Runtime

_sids = count(1)
ANA = "+13125550111"
BEN = "+13125550112"
STRANGER = "+13125550199"
NURSE = "+13125550171"
SECOND = "+13125550172"
THIRD = "+13125550173"


def enroll(
    runtime: Runtime,
    phone: str = ANA,
    name: str = "Ana Doe",
    *,
    days: float = 1,
    protocol: str = "vertebroplasty",
    **values: Any,
) -> Enrollment:
    """Enroll a patient whose procedure was ``days`` ago."""
    now = runtime.clock()
    at = now - timedelta(days=days)
    given: dict[str, Any] = {"timezone": "America/Chicago", "language": "en", "baseline_pain": 7}
    if protocol == "kyphoplasty":
        given["discharged_at"] = at + timedelta(hours=3)
    request = NewEnrollment(
        name=name,
        phone=phone,
        protocol=protocol,
        procedure_at=at,
        consent_method="written",
        consent_at=at,
        **(given | values),
    )
    with session_on(runtime.engine) as session:
        return enrollments.enroll(session, runtime, request, now=now, actor="test")


def member(
    runtime: Runtime, name: str = "Nora Nurse", phone: str | None = NURSE, tier: int | None = 1, **values: Any
) -> Member:
    """A member, on call for ``tier`` around the clock unless it is None."""
    now = runtime.clock()
    given = {"email": f"{name.split()[0].lower()}@clinic.example", "role": "nurse", "created_at": now}
    with session_on(runtime.engine) as session:
        row = Member(name=name, phone=phone, **(given | values))
        session.add(row)
        session.commit()
        if tier is not None:
            oncall.add_shift(
                session, now=now, actor="test", member_id=row.id, tier=tier, starts_at=now - timedelta(days=1)
            )
        return row


def text(runtime: Runtime, phone: str, body: str, **values: Any) -> Reply:
    """A text from a phone, received and triaged as the webhook does it."""
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        row, _ = inbox.receive(
            session,
            now=now,
            carrier_sid=values.pop("carrier_sid", f"SM{next(_sids):032d}"),
            from_phone=phone,
            to_phone="+13125550100",
            body=body,
            **values,
        )
    inbox.triage_reply(runtime, row.id, now)
    page_on_call.run(runtime, now)  # a worker is woken by the commit
    with reading(runtime.engine) as session:
        return session.get_one(Reply, row.id)


def asked(
    runtime: Runtime, enrollment: Enrollment, asks: str, ago: timedelta = timedelta(minutes=5)
) -> PlanItem:
    """Make a question of the plan one that went out ``ago``, as if the carrier had taken it."""
    with session_on(runtime.engine) as session:
        item = session.exec(
            select(PlanItem)
            .where(PlanItem.enrollment_id == enrollment.id, PlanItem.asks == asks, PlanItem.status != "sent")
            .order_by(col(PlanItem.due_at))
        ).first()
        assert item is not None, f"the protocol has no question about {asks}"
        item.status, item.sent_at, item.why = "sent", runtime.clock() - ago, None
        session.add(item)
        session.commit()
        return item


def rows(runtime: Runtime, model: type, *where: Any) -> list[Any]:
    with reading(runtime.engine) as session:
        return list(session.exec(select(model).where(*where)))


def escalations_of(runtime: Runtime, **values: Any) -> list[Escalation]:
    found = rows(runtime, Escalation, *(getattr(Escalation, key) == value for key, value in values.items()))
    return sorted(found, key=lambda row: (-row.urgency_rank, row.opened_at, row.id))


def the_escalation(runtime: Runtime, **values: Any) -> Escalation:
    found = escalations_of(runtime, **values)
    assert len(found) == 1, [(row.reason, row.urgency, row.status) for row in found]
    return found[0]


def sent_to(runtime: Runtime, phone: str, kind: str | None = None) -> list[OutboundMessage]:
    """The texts queued to a phone, oldest first; ``kind`` None: whatever is no check-in or reminder."""
    found = rows(runtime, OutboundMessage, OutboundMessage.to_phone == phone)
    wanted = [m for m in found if m.kind == kind or (kind is None and m.kind not in ("check_in", "reminder"))]
    return sorted(wanted, key=lambda m: (m.created_at, m.priority, m.id))


def bodies(runtime: Runtime, phone: str, kind: str | None = None) -> list[str]:
    return [message.body for message in sent_to(runtime, phone, kind)]


def events(runtime: Runtime, row: Escalation) -> list[EscalationEvent]:
    with reading(runtime.engine) as session:
        return escalation_rows.timeline(session, row.id)


def kinds(runtime: Runtime, row: Escalation) -> list[str]:
    return [event.kind for event in events(runtime, row)]


def assessments(runtime: Runtime, reply: Reply) -> list[StoredAssessment]:
    return rows(runtime, StoredAssessment, StoredAssessment.reply_id == reply.id)


def in_session(runtime: Runtime, act: Any, **values: Any) -> Any:
    """Call a use case that takes a session, at the clock's time."""
    with session_on(runtime.engine) as session:
        return act(session, now=runtime.clock(), **values)


def fail_pages(runtime: Runtime, *, status: str = "undelivered", phone: str | None = None) -> int:
    """The carrier says of every page on its way (to ``phone``) that it did not arrive."""
    with session_on(runtime.engine) as session:
        pages = session.exec(
            select(OutboundMessage).where(OutboundMessage.kind == "page", OutboundMessage.status == "planned")
        ).all()
        mine = [page for page in pages if phone is None or page.to_phone == phone]
        for page in mine:
            page.status = status
            page.settled_at = runtime.clock()
            session.add(page)
        session.commit()
        return len(mine)
