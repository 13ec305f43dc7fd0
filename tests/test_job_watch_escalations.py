"""The auditor finds what is missing, repairs it, and says so."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlmodel import Session, delete, select

from jobs import page_on_call, watch_escalations
from messages.urgency import Urgency
from service import escalation_rows, escalations, inbox
from service.db import session_on
from service.models import Enrollment, Escalation, EscalationEvent, Mark, Reply, StoredAssessment
from service.runtime import Runtime
from tests.clinic import (
    ANA,
    NURSE,
    STRANGER,
    enroll,
    escalations_of,
    kinds,
    member,
    rows,
    sent_to,
    text,
    the_escalation,
)
from tests.conftest import SetClock

NOTHING = {"unread": 0, "without_escalation": 0, "clocks": 0, "strays": 0, "long_pauses": 0}


def received(runtime: Runtime, phone: str, body: str, sid: str, now: datetime) -> str:
    with session_on(runtime.engine) as session:
        row, _ = inbox.receive(session, now=now, carrier_sid=sid, from_phone=phone, to_phone=None, body=body)
        return row.id


def test_on_a_quiet_day_there_is_nothing_to_repair(runtime: Runtime, clock) -> None:
    assert watch_escalations.run(runtime, clock()) == NOTHING


def test_a_red_flag_with_its_escalation_and_pages_needs_nothing(runtime: Runtime, clock) -> None:
    enroll(runtime)
    member(runtime)
    text(runtime, ANA, "my temp is 101.5")
    page_on_call.run(runtime, clock())
    assert watch_escalations.run(runtime, clock()) == NOTHING


def test_a_red_flag_whose_escalation_is_gone_gets_one_and_a_page(runtime: Runtime, clock, caplog) -> None:
    enroll(runtime)
    reply = text(runtime, ANA, "my temp is 101.5")
    with session_on(runtime.engine) as session:
        session.execute(update(StoredAssessment).values(escalation_id=None))
        session.execute(delete(EscalationEvent))
        for message in sent_to(runtime, ANA):
            stored = session.get_one(type(message), message.id)
            stored.escalation_id = None
            session.add(stored)
        session.flush()
        session.execute(delete(Escalation))
        session.commit()
    member(runtime)
    counts = watch_escalations.run(runtime, clock.advance(minutes=2))
    assert counts == NOTHING | {"without_escalation": 1} and "without an escalation" in caplog.text
    row = the_escalation(runtime)
    assert (row.reply_id, row.urgency) == (reply.id, "urgent")
    assert len(sent_to(runtime, NURSE)) == 1
    assert rows(runtime, Mark, Mark.name == "auditor:repairs")[0].count == 1
    assert watch_escalations.run(runtime, clock.advance(seconds=15)) == NOTHING


def test_an_emergency_hidden_in_a_less_serious_escalation_is_found(runtime: Runtime, clock) -> None:
    enroll(runtime)
    text(runtime, ANA, "i cant breathe")
    with session_on(runtime.engine) as session:
        row = session.get_one(Escalation, the_escalation(runtime).id)
        row.urgency, row.urgency_rank = "routine", 1
        session.add(row)
        session.commit()
    assert watch_escalations.run(runtime, clock())["without_escalation"] == 1
    assert the_escalation(runtime).urgency == "emergency"


def test_replies_begun_in_one_order_and_written_in_the_other_are_both_covered(
    runtime: Runtime, clock
) -> None:
    """Two texts of one phone at the same moment: whoever began first may well write last, and the clocks of
    two processes differ."""
    enroll(runtime)
    first = received(runtime, ANA, "chest pain", "SM1", clock())
    second = received(runtime, ANA, "my foot is numb", "SM2", clock())
    inbox.triage_reply(runtime, second, clock() + timedelta(minutes=15))
    inbox.triage_reply(runtime, first, clock())
    assert len(escalations_of(runtime)) == 1
    assert watch_escalations.run(runtime, clock.advance(minutes=16))["without_escalation"] == 0


def test_before_assessments_named_their_escalation_the_time_tells(runtime: Runtime, clock) -> None:
    enroll(runtime)
    text(runtime, ANA, "my temp is 101.5")
    with session_on(runtime.engine) as session:
        session.execute(update(StoredAssessment).values(escalation_id=None))
        session.commit()
    assert watch_escalations.run(runtime, clock()) == NOTHING


def test_a_clock_without_a_next_event_is_started_again(runtime: Runtime, clock, caplog) -> None:
    enroll(runtime)
    member(runtime)
    text(runtime, ANA, "my temp is 101.5")
    with session_on(runtime.engine) as session:
        row = session.get_one(Escalation, the_escalation(runtime).id)
        row.next_event_at, row.ladder = None, []
        session.add(row)
        session.commit()
    assert watch_escalations.run(runtime, clock())["clocks"] == 1
    row = the_escalation(runtime)
    assert row.next_event_at is not None and row.ladder and "stood still" in caplog.text
    assert kinds(runtime, row)[-1] == "repaired" or "repaired" in kinds(runtime, row)


def test_a_stored_reply_that_nobody_read_is_read(runtime: Runtime, clock) -> None:
    enroll(runtime)
    received(runtime, ANA, "chest pain", "SM9", clock())
    assert watch_escalations.run(runtime, clock.advance(seconds=30)) == NOTHING
    assert watch_escalations.run(runtime, clock.advance(minutes=2))["unread"] == 1
    assert the_escalation(runtime).urgency == "emergency"
    assert rows(runtime, Reply)[0].triaged_at == clock()


def test_a_pause_over_a_day_is_a_task_once(runtime: Runtime, clock) -> None:
    enrollment = enroll(runtime)
    with session_on(runtime.engine) as session:
        row = session.get_one(Enrollment, enrollment.id)
        row.status, row.paused_at = "paused", clock()
        session.add(row)
        session.commit()
    assert watch_escalations.run(runtime, clock.advance(hours=23)) == NOTHING
    assert watch_escalations.run(runtime, clock.advance(hours=2))["long_pauses"] == 1
    assert watch_escalations.run(runtime, clock.advance(minutes=1)) == NOTHING
    assert the_escalation(runtime).reason == "long_pause"


def test_an_emergency_open_over_a_day_holds_the_course_back_and_is_said_so(runtime: Runtime, clock) -> None:
    enrollment = enroll(runtime)
    with session_on(runtime.engine) as session:
        escalations.open_escalation(
            session,
            now=clock(),
            site=runtime.site,
            reason="red_flag",
            urgency=Urgency.EMERGENCY,
            patient_id=enrollment.patient_id,
        )
        session.commit()
    clock.advance(hours=24, minutes=1)
    page_on_call.run(runtime, clock())
    assert watch_escalations.run(runtime, clock())["long_pauses"] == 1
    assert {row.reason for row in escalations_of(runtime)} == {"red_flag", "long_pause"}
    assert watch_escalations.run(runtime, clock() + timedelta(seconds=15))["long_pauses"] == 0


def test_a_clock_somebody_else_started_meanwhile_is_left_alone(
    runtime: Runtime, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers each have an auditor and see the same late clock: it is started again, and told, once."""
    member(runtime)
    text(runtime, STRANGER, "my foot is numb")
    with session_on(runtime.engine) as session:
        session.exec(select(Escalation)).one().next_event_at = clock() - timedelta(minutes=5)
        session.commit()
    locked = escalation_rows.locked_if_free

    def other_was_quicker(session: Session, escalation_id: str) -> Escalation | None:
        monkeypatch.setattr(escalation_rows, "locked_if_free", locked)
        session.rollback()
        assert watch_escalations.run(runtime, clock())["clocks"] == 1
        return locked(session, escalation_id)

    monkeypatch.setattr(escalation_rows, "locked_if_free", other_was_quicker)
    assert watch_escalations.run(runtime, clock())["clocks"] == 0
    assert kinds(runtime, the_escalation(runtime)).count("repaired") == 1
