"""Nothing due; not yet due; due; due again."""

from datetime import timedelta

from jobs import page_on_call
from messages.urgency import Urgency
from service import escalations
from service.db import session_on
from service.runtime import Runtime
from tests.clinic import NURSE, enroll, member, sent_to, the_escalation


def opened(runtime: Runtime, **values) -> None:
    patient = enroll(runtime, days=9).patient_id
    with session_on(runtime.engine) as session:
        escalations.open_escalation(
            session,
            now=runtime.clock(),
            site=runtime.site,
            reason="red_flag",
            urgency=Urgency.URGENT,
            patient_id=patient,
            **values,
        )
        session.commit()


def test_nothing_due(runtime: Runtime, clock) -> None:
    assert page_on_call.run(runtime, clock()) == {"looked_at": 0, "pages": 0}
    assert not runtime.wake.is_set()


def test_not_yet_due(runtime: Runtime, clock) -> None:
    member(runtime)
    opened(runtime, due_by=clock() + timedelta(hours=5))
    assert page_on_call.run(runtime, clock.advance(hours=3)) == {"looked_at": 0, "pages": 0}


def test_due_and_due_again(runtime: Runtime, clock) -> None:
    member(runtime)
    opened(runtime)
    assert page_on_call.run(runtime, clock()) == {"looked_at": 1, "pages": 1}
    assert runtime.wake.is_set()
    assert page_on_call.run(runtime, clock.advance(minutes=14))["pages"] == 0
    clock.advance(minutes=31)  # tiers 2 and 3 are nobody's: the team hears of it at once
    assert page_on_call.run(runtime, clock())["pages"] == 1
    assert [page.to_phone for page in sent_to(runtime, NURSE, "page")] == [NURSE, NURSE]


def test_a_resolved_one_is_never_looked_at(runtime: Runtime, clock) -> None:
    member(runtime)
    opened(runtime)
    with session_on(runtime.engine) as session:
        escalations.resolve(
            session,
            now=clock(),
            site=runtime.site,
            escalation_id=the_escalation(runtime).id,
            actor="nora@clinic.example",
            disposition="sent_to_ed",
            note="Gone.",
        )
    assert page_on_call.run(runtime, clock.advance(hours=9)) == {"looked_at": 0, "pages": 0}
