"""An escalation has an owner and a clock until a resolution is written; two people never hold one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import Session

from messages.urgency import Urgency
from service import escalations, member_texts
from service.db import session_on
from service.models import Enrollment, Escalation, LabelledCase, OutboundMessage
from service.runtime import Runtime
from tests.clinic import (
    ANA,
    bodies,
    enroll,
    escalations_of,
    in_session,
    kinds,
    member,
    rows,
    text,
    the_escalation,
)

NORA, SAM = "nora@clinic.example", "sam@clinic.example"


@pytest.fixture
def patient_id(runtime: Runtime) -> str:
    return enroll(runtime, days=10).patient_id


def opened(runtime: Runtime, patient_id: str, urgency: Urgency = Urgency.URGENT, **values) -> Escalation:
    with session_on(runtime.engine) as session:
        row = escalations.open_escalation(
            session,
            now=runtime.clock(),
            site=runtime.site,
            reason=values.pop("reason", "red_flag"),
            urgency=urgency,
            patient_id=patient_id,
            **values,
        )
        session.commit()
        return row


def do(runtime: Runtime, act, row: Escalation, actor: str = NORA, **values) -> Escalation:
    return in_session(runtime, act, site=runtime.site, escalation_id=row.id, actor=actor, **values)


def resolved(
    runtime: Runtime, row: Escalation, disposition: str = "advice_given", note: str = "Spoke."
) -> Escalation:
    return do(runtime, escalations.resolve, row, disposition=disposition, note=note)


def test_a_new_one_is_open_with_clocks_a_ladder_a_code_and_a_line_in_its_timeline(
    runtime: Runtime, patient_id: str, clock
) -> None:
    row = opened(runtime, patient_id)
    assert (row.status, row.version, row.next_event_at) == ("open", 2, clock())
    assert row.acknowledge_by == clock() + timedelta(minutes=15)
    assert row.contact_by == clock() + timedelta(minutes=60)
    assert [step["tier"] for step in row.ladder] == [1, 2, 3]
    assert len(row.code) == 4 and row.code.isdigit()
    assert kinds(runtime, row) == ["opened"]


def test_more_from_the_same_patient_joins_and_raises_and_never_lowers(
    runtime: Runtime, patient_id: str, clock
) -> None:
    first = opened(runtime, patient_id, Urgency.ROUTINE, reason="question")
    clock.advance(minutes=5)
    second = opened(runtime, patient_id, Urgency.EMERGENCY)
    clock.advance(minutes=1)
    third = opened(runtime, patient_id, Urgency.ROUTINE, reason="answer")
    assert first.id == second.id == third.id
    assert (third.urgency, third.reason, third.status) == ("emergency", "red_flag", "open")
    assert third.acknowledge_by == clock() + timedelta(minutes=4)
    assert kinds(runtime, third) == ["opened", "raised", "joined"]


def test_other_reasons_have_their_own_escalation(runtime: Runtime, patient_id: str) -> None:
    opened(runtime, patient_id)
    opened(runtime, patient_id, Urgency.ROUTINE, reason="silence")
    opened(runtime, patient_id, Urgency.ROUTINE, reason="opt_out")
    opened(runtime, patient_id, Urgency.ROUTINE, reason="silence")
    assert [row.kind for row in escalations_of(runtime)].count("silence") == 1
    assert len(escalations_of(runtime)) == 3


def test_worse_news_after_an_acknowledgement_opens_it_again_for_the_holder_too(
    runtime: Runtime, patient_id: str, clock
) -> None:
    row = opened(runtime, patient_id)
    do(runtime, escalations.acknowledge, row)
    clock.advance(minutes=3)
    row = opened(runtime, patient_id, Urgency.EMERGENCY)
    assert (row.status, row.acknowledged_by, row.next_event_at) == ("open", None, clock())
    assert row.ladder[0]["also"] == [NORA] and row.ladder[0]["generation"] == 2


def test_the_same_again_leaves_an_acknowledged_one_with_its_holder(runtime: Runtime, patient_id: str) -> None:
    row = opened(runtime, patient_id)
    do(runtime, escalations.acknowledge, row)
    row = opened(runtime, patient_id)
    assert (row.status, row.acknowledged_by) == ("acknowledged", NORA)


def test_a_red_flag_after_the_contact_needs_a_new_contact(runtime: Runtime, patient_id: str) -> None:
    row = opened(runtime, patient_id)
    do(runtime, escalations.contact, row, method="phone")
    row = opened(runtime, patient_id)
    assert (row.status, row.contacted_at) == ("open", None)
    with pytest.raises(escalations.ContactNeeded):
        resolved(runtime, row)


def test_acknowledging_stops_the_clock_again_by_the_same_is_fine_by_another_is_refused(
    runtime: Runtime, patient_id: str, clock
) -> None:
    row = do(runtime, escalations.acknowledge, opened(runtime, patient_id))
    assert (row.status, row.acknowledged_by, row.acknowledged_at) == ("acknowledged", NORA, clock())
    assert row.next_event_at == row.acknowledgement_expires_at == clock() + timedelta(minutes=60)
    clock.advance(minutes=2)
    again = do(runtime, escalations.acknowledge, row)
    assert again.version == row.version
    with pytest.raises(escalations.HeldByOther) as refused:
        do(runtime, escalations.acknowledge, row, actor=SAM)
    assert (refused.value.holder, refused.value.at) == (NORA, row.acknowledged_at)


def test_two_nurses_at_once_exactly_one_gets_it(runtime: Runtime, patient_id: str) -> None:
    row = opened(runtime, patient_id, Urgency.EMERGENCY)

    def attempt(actor: str) -> str:
        try:
            return str(do(runtime, escalations.acknowledge, row, actor=actor).acknowledged_by)
        except escalations.HeldByOther as refused:
            return f"held by {refused.holder}"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, [f"nurse{number}@clinic.example" for number in range(8)]))
    winners = [result for result in results if not result.startswith("held")]
    assert len(winners) == 1 and results.count(f"held by {winners[0]}") == 7
    assert kinds(runtime, row).count("acknowledged") == 1


def test_the_same_red_flag_from_many_workers_at_once_is_one_escalation(
    runtime: Runtime, patient_id: str
) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = {row.id for row in pool.map(lambda _: opened(runtime, patient_id), range(6))}
    assert len(ids) == 1 and kinds(runtime, the_escalation(runtime)).count("joined") == 5


def test_an_acknowledgement_without_contact_expires_and_another_may_take_it(
    runtime: Runtime, patient_id: str, clock
) -> None:
    row = do(runtime, escalations.acknowledge, opened(runtime, patient_id))
    clock.advance(minutes=60)
    row = do(runtime, escalations.acknowledge, row, actor=SAM)
    assert row.acknowledged_by == SAM
    assert kinds(runtime, row) == ["opened", "acknowledged", "acknowledgement_expired", "acknowledged"]


def test_hand_over_and_take_over_move_it_and_are_written_down(runtime: Runtime, patient_id: str) -> None:
    member(runtime, "Sam Second", phone=None, tier=None)
    row = do(runtime, escalations.acknowledge, opened(runtime, patient_id))
    with pytest.raises(escalations.HeldByOther):
        do(runtime, escalations.hand_over, row, actor=SAM, to=SAM)
    with pytest.raises(escalations.InvalidAct, match="not a member"):
        do(runtime, escalations.hand_over, row, to="who@clinic.example")
    assert do(runtime, escalations.hand_over, row, to=SAM).acknowledged_by == SAM
    assert do(runtime, escalations.take_over, row).acknowledged_by == NORA
    assert kinds(runtime, row)[-2:] == ["handed_over", "taken_over"]


def test_a_contact_acknowledges_an_open_one_and_a_try_only_counts(
    runtime: Runtime, patient_id: str, clock
) -> None:
    row = opened(runtime, patient_id)
    row = do(runtime, escalations.contact, row, method="could_not_reach")
    assert (row.status, row.contact_tries, row.contacted_at) == ("open", 1, None)
    row = do(runtime, escalations.contact, row, method="phone", note="numb since noon")
    assert (row.status, row.contacted_by, row.acknowledged_by) == ("contacted", NORA, NORA)
    assert row.next_event_at == clock() + timedelta(hours=24)
    with pytest.raises(escalations.InvalidAct, match="method"):
        do(runtime, escalations.contact, row, method="pigeon")


@pytest.mark.parametrize("disposition", ["false_alarm", "sent_to_ed", "deceased"])
def test_these_stand_without_a_contact(runtime: Runtime, patient_id: str, disposition: str) -> None:
    assert resolved(runtime, opened(runtime, patient_id), disposition).status == "resolved"


@pytest.mark.parametrize("disposition", ["advice_given", "seen_today", "expected_recovery", "other"])
def test_these_need_one_when_urgent_and_not_when_routine(
    runtime: Runtime, patient_id: str, disposition: str
) -> None:
    row = opened(runtime, patient_id)
    with pytest.raises(escalations.ContactNeeded):
        resolved(runtime, row, disposition)
    task = opened(runtime, patient_id, Urgency.ROUTINE, reason="silence")
    assert resolved(runtime, task, disposition).next_event_at is None


def test_not_reached_needs_three_recorded_tries(runtime: Runtime, patient_id: str) -> None:
    row = opened(runtime, patient_id)
    for tries in range(3):
        with pytest.raises(escalations.ContactNeeded, match=f"{tries} of 3"):
            resolved(runtime, row, "could_not_reach")
        do(runtime, escalations.contact, row, method="could_not_reach")
    assert resolved(runtime, row, "could_not_reach").status == "resolved"


def test_nothing_is_done_to_a_resolved_one_but_reopening_it(runtime: Runtime, patient_id: str, clock) -> None:
    row = resolved(runtime, opened(runtime, patient_id), "sent_to_ed")
    for act, values in (
        (escalations.acknowledge, {}),
        (escalations.take_over, {}),
        (escalations.contact, {"method": "phone"}),
        (escalations.resolve, {"disposition": "other", "note": "again"}),
    ):
        with pytest.raises(escalations.WrongState):
            do(runtime, act, row, **values)
    clock.advance(hours=1)
    row = do(runtime, escalations.reopen, row, reason="worse again")
    assert (row.status, row.disposition, row.next_event_at) == ("open", None, clock())
    with pytest.raises(escalations.WrongState):
        do(runtime, escalations.reopen, row)


def test_a_patient_with_a_newer_open_one_goes_on_with_that(runtime: Runtime, patient_id: str) -> None:
    old = resolved(runtime, opened(runtime, patient_id), "sent_to_ed")
    new = opened(runtime, patient_id)
    with pytest.raises(escalations.WrongState, match=new.code):
        do(runtime, escalations.reopen, old)


@pytest.mark.parametrize(
    "values", [{"disposition": "cured", "note": "x"}, {"disposition": "other", "note": "  "}]
)
def test_a_resolution_needs_a_known_disposition_and_a_note(
    runtime: Runtime, patient_id: str, values: dict[str, str]
) -> None:
    with pytest.raises(escalations.InvalidAct):
        do(runtime, escalations.resolve, opened(runtime, patient_id), **values)


def test_an_unknown_one_is_said_so(runtime: Runtime) -> None:
    with pytest.raises(escalations.UnknownEscalation):
        in_session(runtime, escalations.acknowledge, site=runtime.site, escalation_id="none", actor=NORA)


def test_a_false_alarm_is_one_click_and_kept_as_a_labelled_case(runtime: Runtime) -> None:
    enroll(runtime)
    reply = text(runtime, ANA, "chest pain")
    row = do(runtime, escalations.false_alarm, the_escalation(runtime), should_be="none")
    (case,) = rows(runtime, LabelledCase)
    assert (row.disposition, case.reply_id, case.should_be, case.read_as) == (
        "false_alarm",
        reply.id,
        "none",
        "emergency",
    )


def test_an_open_emergency_pauses_this_patients_check_ins_only(runtime: Runtime) -> None:
    mine, other = enroll(runtime), enroll(runtime, "+13125550114", "Cora Poe")

    def paused(session: Session, now) -> set[str]:
        return escalations.pauses_check_ins(session, [mine.id, other.id], now)

    assert in_session(runtime, paused) == set()
    row = opened(runtime, mine.patient_id, Urgency.EMERGENCY)
    assert in_session(runtime, paused) == {mine.id}
    resolved(runtime, row, "sent_to_ed")
    assert in_session(runtime, paused) == set()


def test_a_refused_answer_is_noted_once_on_its_own_escalation(runtime: Runtime, patient_id: str) -> None:
    row = opened(runtime, patient_id)
    for _ in range(2):
        with session_on(runtime.engine) as session:
            escalations.cannot_be_texted(session, now=runtime.clock(), escalation_id=row.id, code="21610")
            session.commit()
    assert the_escalation(runtime).cannot_be_texted
    assert kinds(runtime, row) == ["opened", "cannot_be_texted"]
    assert bodies(runtime, ANA) == []


def test_every_unresolved_one_has_a_code_of_its_own(runtime: Runtime) -> None:
    with session_on(runtime.engine) as session:
        for number in range(60):
            escalations.open_escalation(
                session,
                now=runtime.clock(),
                site=runtime.site,
                reason="unknown_number",
                urgency=Urgency.ROUTINE,
                phone=f"+1312555{number:04d}",
            )
        session.commit()
    codes = [row.code for row in escalations_of(runtime)]
    assert len(set(codes)) == 60


@pytest.mark.parametrize(
    "values", [{"disposition": "deceased"}, {"disposition": "sent_to_ed", "withdraw_reason": "in hospital"}]
)
def test_who_has_died_or_is_withdrawn_gets_no_more_texts(runtime: Runtime, values: dict[str, str]) -> None:
    enrollment = enroll(runtime)
    do(
        runtime,
        escalations.resolve,
        opened(runtime, enrollment.patient_id),
        note="Told by the son.",
        **values,
    )
    (course,) = rows(runtime, Enrollment)
    assert course.status == "withdrawn" and course.withdrawn_reason
    assert {m.status for m in rows(runtime, OutboundMessage) if m.kind == "check_in"} == {"cancelled"}


def test_a_person_who_is_writing_with_the_patient_holds_check_ins_back_for_an_hour(
    runtime: Runtime, clock
) -> None:
    mine = enroll(runtime)
    in_session(
        runtime, member_texts.send_text, patient_id=mine.patient_id, body="How are you?", author=NORA, key="1"
    )

    def paused(session: Session, now) -> set[str]:
        return escalations.pauses_check_ins(session, [mine.id], now)

    assert in_session(runtime, paused) == {mine.id}
    clock.advance(minutes=61)
    assert in_session(runtime, paused) == set()
