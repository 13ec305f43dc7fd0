"""A text that did not arrive becomes work for a person, as soon as the patient's day asks for."""

from datetime import timedelta

import pytest

from service import fates
from service.db import session_on
from service.models import OutboundMessage
from service.runtime import Runtime
from tests.clinic import ANA, enroll, rows, the_escalation


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
