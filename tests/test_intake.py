"""Replies that arrive together: stored together, read together, each as if it had come alone."""

from concurrent.futures import wait
from datetime import timedelta

from sqlmodel import select

from service import inbox
from service.db import session_on
from service.inbox import Arrival
from service.intake import HANDFUL, Intake, intake_of
from service.models import OutboundMessage, Reply, StoredAssessment
from service.runtime import Runtime
from tests.clinic import ANA, BEN, STRANGER, bodies, enroll, escalations_of, kinds, rows
from tests.test_inbox import without_phone

CARER = "+13125550188"


def arrival(number: int, phone: str, body: str, sid: str | None = None) -> Arrival:
    return Arrival(carrier_sid=sid or f"SM{number:032x}", from_phone=phone, to_phone=None, body=body)


def take_all(runtime: Runtime, arrivals: list[Arrival]) -> Intake:
    intake = intake_of(runtime)
    taken = [intake.take(one) for one in arrivals]
    wait([one.done for one in taken], timeout=60)
    assert all(one.is_stored and one.done.result(0) is None for one in taken)
    return intake


def test_a_crowd_is_stored_once_each_and_read(runtime: Runtime) -> None:
    enroll(runtime)
    crowd = [
        arrival(number, f"+1312555{2000 + number}", "my foot is numb" if number % 2 else "all good")
        for number in range(3 * HANDFUL)
    ]
    take_all(runtime, [*crowd, *crowd[:5]])
    replies = rows(runtime, Reply)
    assert len(replies) == len(crowd) and all(reply.triaged_at for reply in replies)
    assert len(rows(runtime, StoredAssessment)) == len(crowd)
    found = escalations_of(runtime)
    assert sum(row.reason == "red_flag" for row in found) == len(crowd) // 2
    assert len({row.code for row in found}) == len(found)
    assert all(kinds(runtime, row) == ["opened"] for row in found)
    assert all("911" in bodies(runtime, one.from_phone)[0] for one in crowd[1::2])


def handful(runtime: Runtime, *texts: tuple[str, str]) -> None:
    """Store these and read them in one go."""
    with session_on(runtime.engine) as session:
        ids = inbox.store(session, [arrival(n, *one) for n, one in enumerate(texts)], runtime.clock())
    inbox.triage_replies(runtime, ids, runtime.clock())


def test_texts_of_one_phone_in_one_handful_are_read_one_after_the_other(runtime: Runtime) -> None:
    enroll(runtime)
    handful(
        runtime,
        (ANA, "my temp is 101.5"),
        (BEN, "hi"),
        (ANA, "and my chest hurts"),
        (STRANGER, "who is this"),
    )
    mine = escalations_of(runtime, patient_id=rows(runtime, Reply, Reply.from_phone == ANA)[0].patient_id)
    assert len(mine) == 1 and mine[0].urgency == "emergency"
    assert kinds(runtime, mine[0]) == ["opened", "raised"]
    assert [reply.triaged_at for reply in rows(runtime, Reply)] == [runtime.clock()] * 4


def test_a_patient_and_the_carer_in_one_handful_join_one_escalation(runtime: Runtime) -> None:
    enroll(runtime, caregiver_phone=CARER, caregiver_consent=True)
    handful(runtime, (ANA, "my foot is numb"), (CARER, "she has chest pain"))
    (row,) = escalations_of(runtime)
    assert row.urgency == "emergency" and len(kinds(runtime, row)) == 2
    assert {one.escalation_id for one in rows(runtime, StoredAssessment)} == {row.id}


def test_one_that_cannot_be_read_holds_back_nobody_of_its_handful(runtime: Runtime) -> None:
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    runtime.site = without_phone(runtime.site)  # an urgent answer cannot be written
    handful(runtime, (BEN, "all good thanks"), (ANA, "my temp is 101.5"))
    by_phone = {reply.from_phone: reply for reply in rows(runtime, Reply)}
    assert by_phone[BEN].triaged_at is not None and by_phone[BEN].urgency == "none"
    assert by_phone[ANA].triaged_at is None and by_phone[ANA].triage_attempts == 1
    assert [row.reason for row in escalations_of(runtime)] == ["triage_failed"]


def test_one_that_cannot_be_stored_is_named_and_the_others_are_kept(runtime: Runtime) -> None:
    intake = intake_of(runtime)
    bad = Arrival(carrier_sid="SMbad", from_phone=ANA, to_phone=None, body="x", segments=None)  # type: ignore[arg-type]
    taken = [intake.take(one) for one in (arrival(1, ANA, "ok"), bad, arrival(2, BEN, "ok"))]
    wait([one.done for one in taken], timeout=60)
    assert [one.is_stored for one in taken] == [True, False, True]
    assert taken[1].done.exception(0) is not None
    assert len(rows(runtime, Reply)) == 2


def test_quoting_a_text_that_was_planned_long_ago_and_sent_yesterday_is_nobodys_symptom(
    runtime: Runtime, clock
) -> None:
    enroll(runtime, days=30)
    own = "Have you had chest pain, a numb foot or trouble walking since the last text?"
    with session_on(runtime.engine) as session:
        message = session.exec(select(OutboundMessage).where(OutboundMessage.to_phone == ANA)).first()
        assert message is not None
        message.body, message.status = own, "delivered"
        message.created_at, message.dispatched_at = clock() - timedelta(days=30), clock() - timedelta(days=1)
        session.add(message)
        session.commit()
    handful(runtime, (ANA, f"{own} no"))
    assert [row.urgency for row in escalations_of(runtime)] in ([], ["routine"])
