"""A text that did not arrive becomes work for a person, as soon as the patient's day asks for."""

from datetime import timedelta

import pytest

from service import fates, outbox
from service.db import session_on
from service.models import OutboundMessage
from service.runtime import Runtime
from tests.clinic import ANA, BEN, enroll, escalations_of, member, rows, the_escalation


@pytest.mark.parametrize(("days", "urgency"), [(1, "urgent"), (3, "urgent"), (9, "routine")])
def test_on_the_first_days_an_undeliverable_text_is_a_call_by_next_morning(
    runtime: Runtime, clock, days: int, urgency: str
) -> None:
    enroll(runtime, days=days)
    planned = next(m for m in rows(runtime, OutboundMessage) if m.to_phone == ANA and m.status == "planned")
    with session_on(runtime.engine) as session:
        fates.fail(session, runtime, session.get_one(OutboundMessage, planned.id), "30008", clock())
        session.commit()
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("undeliverable", urgency)
    next_morning = clock() + timedelta(hours=23, minutes=30)  # it is 10:00 in Chicago
    assert (row.acknowledge_by == next_morning) == (urgency == "urgent")


@pytest.mark.parametrize(("code", "reason"), [("21610", "opt_out"), ("30006", "undeliverable")])
@pytest.mark.parametrize("kind", ["check_in", "page"])
def test_whoever_shares_a_phone_that_refuses_texts_gets_a_task_of_their_own(
    runtime: Runtime, clock, kind: str, code: str, reason: str
) -> None:
    """Of theirs nothing is offered any more, so that no text of theirs would ever say that it failed."""
    first, other = enroll(runtime), enroll(runtime, name="Luis Doe")
    enroll(runtime, BEN, "Ben")
    with session_on(runtime.engine) as session:
        told = {"patient_id": first.patient_id, "enrollment_id": first.id}
        if kind == "page":
            told = {"member_id": member(runtime, phone=ANA).id}
        text = {"to_phone": ANA, "body": "hello", "expires_at": clock() + timedelta(hours=1)} | told
        sent = outbox.queue(session, now=clock(), key="k", kind=kind, **text)
        for _ in range(2):  # the carrier says so again
            fates.fail(session, runtime, session.get_one(OutboundMessage, sent.id), code, clock())
        session.commit()
    tasks = {row.patient_id: row for row in escalations_of(runtime, reason=reason)}
    assert set(tasks) == {first.patient_id, other.patient_id}
    task = tasks[other.patient_id]
    assert (task.enrollment_id, task.urgency) == (other.id, "urgent") and task.acknowledge_by > clock()
    assert ANA not in task.summary and "Doe" not in task.summary
