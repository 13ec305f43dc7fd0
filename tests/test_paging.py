"""Pages climb the ladder until somebody acknowledges, and nothing about the patient is ever in one."""

from datetime import timedelta

import pytest

from jobs import page_on_call
from messages.urgency import Urgency
from service import escalations, oncall, paging
from service.db import session_on
from service.models import Enrollment, Escalation, Member, OutboundMessage
from service.runtime import Runtime
from tests.clinic import (
    ANA,
    NURSE,
    SECOND,
    THIRD,
    bodies,
    enroll,
    escalations_of,
    events,
    fail_pages,
    in_session,
    kinds,
    member,
    rows,
    sent_to,
    text,
    the_escalation,
)
from tests.web_clinic import browser_of, words_of

NORA, SAM = "nora@clinic.example", "sam@clinic.example"


@pytest.fixture
def ladder(runtime: Runtime) -> list[Member]:
    """Three people on call, one per tier."""
    return [
        member(runtime),
        member(runtime, "Sam Second", SECOND, tier=2),
        member(runtime, "Tess Third", THIRD, tier=3),
    ]


def opened(runtime: Runtime, urgency: Urgency = Urgency.EMERGENCY, **values) -> Escalation:
    patient = enroll(runtime, days=10).patient_id
    with session_on(runtime.engine) as session:
        row = escalations.open_escalation(
            session,
            now=runtime.clock(),
            site=runtime.site,
            reason="red_flag",
            urgency=urgency,
            patient_id=patient,
            **values,
        )
        session.commit()
    page_on_call.run(runtime, runtime.clock())
    return row


def after(runtime: Runtime, **duration: float) -> dict[str, int]:
    """Let the clock go on, ticking each half minute as the scheduler would."""
    end = runtime.clock() + timedelta(**duration)
    counts = {}
    while runtime.clock() < end:
        counts = page_on_call.run(runtime, runtime.clock.advance(seconds=30))
    return counts


def pages(runtime: Runtime, phone: str) -> int:
    return len(sent_to(runtime, phone, "page"))


def do(runtime: Runtime, act, row: Escalation, actor: str = NORA, **values) -> Escalation:
    return in_session(runtime, act, site=runtime.site, escalation_id=row.id, actor=actor, **values)


def test_a_page_holds_a_code_the_urgency_and_a_link_and_nothing_of_the_patient(
    runtime: Runtime, ladder
) -> None:
    row = opened(runtime)
    (page,) = sent_to(runtime, NURSE, "page")
    assert row.code in page.body and "EMERGENCY" in page.body and page.body.endswith(f"/escalations/{row.id}")
    assert page.patient_id is None and page.priority == 0 and page.due_at == runtime.clock()
    assert not {"Ana", ANA, "numb"} & set(page.body.split())


def test_nobody_answers_and_the_whole_ladder_is_climbed(runtime: Runtime, ladder) -> None:
    opened(runtime)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 0, 0]
    after(runtime, minutes=5)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 1, 0]
    after(runtime, minutes=5)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 1, 1]
    after(runtime, minutes=5)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [2, 2, 2]
    assert bodies(runtime, NURSE, "page")[-1].startswith("NO ONE HAS TAKEN")
    after(runtime, minutes=60)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [14, 14, 14]


def test_an_acknowledgement_stops_every_page(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    do(runtime, escalations.acknowledge, row)
    after(runtime, minutes=14)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 0, 0]


def test_acknowledged_and_forgotten_tells_the_holder_and_whoever_is_on_call_now(
    runtime: Runtime, ladder
) -> None:
    row = opened(runtime)
    do(runtime, escalations.acknowledge, row, actor=SAM)
    after(runtime, minutes=15, seconds=30)
    assert the_escalation(runtime).status == "open"
    assert pages(runtime, NURSE) == 2 and pages(runtime, SECOND) == 1
    after(runtime, minutes=5)
    assert pages(runtime, SECOND) == 2, "and then tier 2 in its turn"


def test_nothing_is_paged_after_the_resolution(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    do(runtime, escalations.resolve, row, disposition="sent_to_ed", note="Ambulance.")
    after(runtime, hours=1)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 0, 0]


def test_worse_news_pages_anew_at_once_with_the_higher_urgency(runtime: Runtime, ladder) -> None:
    member(runtime, "Una", "+13125550175", tier=None)
    enroll(runtime)
    text(runtime, ANA, "my temp is 101.5")
    do(runtime, escalations.acknowledge, the_escalation(runtime))
    runtime.clock.advance(minutes=1)
    text(runtime, ANA, "now i cant breathe")
    assert pages(runtime, NURSE) == 2
    assert bodies(runtime, NURSE, "page")[-1].startswith("EMERGENCY")


def test_a_page_that_cannot_be_delivered_moves_to_the_next_person_at_once(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    runtime.clock.advance(seconds=20)
    assert fail_pages(runtime, phone=NURSE) == 1
    page_on_call.run(runtime, runtime.clock())
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 1, 0]
    fail_pages(runtime, phone=SECOND)
    page_on_call.run(runtime, runtime.clock())
    assert pages(runtime, THIRD) == 1
    fail_pages(runtime, phone=THIRD)
    page_on_call.run(runtime, runtime.clock())
    assert "tier_lost" in kinds(runtime, row)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [2, 2, 2], "the whole team is tried"
    told = words_of(browser_of(runtime, "Boss", role="admin").text(f"/escalations/{row.id}"))
    assert "Page sent · tier 1" in told and "Page sent · the whole team" in told


def test_one_of_two_on_a_tier_is_enough_to_hold_the_turn(runtime: Runtime, ladder) -> None:
    member(runtime, "Uma", "+13125550175", tier=1)
    opened(runtime)
    fail_pages(runtime, phone=NURSE)
    page_on_call.run(runtime, runtime.clock())
    assert pages(runtime, "+13125550175") == 1 and pages(runtime, SECOND) == 0


def test_a_member_who_texts_stop_is_passed_by_and_the_team_hears_of_it(runtime: Runtime, ladder) -> None:
    opened(runtime)
    text(runtime, NURSE, "STOP")
    page_on_call.run(runtime, runtime.clock())
    assert pages(runtime, SECOND) >= 1
    (nora,) = rows(runtime, Member, Member.email == NORA)
    assert nora.pages_blocked_at == runtime.clock()
    assert "pages_blocked" in {row.reason for row in escalations_of(runtime)}
    text(runtime, NURSE, "START")
    assert rows(runtime, Member, Member.email == NORA)[0].pages_blocked_at is None


def test_a_carrier_refusal_marks_the_member_too(runtime: Runtime, ladder) -> None:
    opened(runtime)
    with session_on(runtime.engine) as session:
        page = session.get_one(OutboundMessage, sent_to(runtime, NURSE, "page")[0].id)
        page.status = "failed"
        paging.page_failed(session, page, runtime.clock(), "21610")
        session.commit()
    page_on_call.run(runtime, runtime.clock())
    assert rows(runtime, Member, Member.email == NORA)[0].pages_blocked_at is not None
    assert pages(runtime, SECOND) == 1


def test_with_nobody_on_call_everyone_with_a_phone_is_told(runtime: Runtime) -> None:
    member(runtime, tier=None)
    member(runtime, "Sam Second", SECOND, tier=None, role="admin")
    member(runtime, "Vic Viewer", THIRD, tier=None, role="viewer")
    member(runtime, "Paul Phoneless", None, tier=None)
    row = opened(runtime)
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [1, 1, 0]
    assert kinds(runtime, row).count("tier_empty") == 3


def test_a_site_with_one_nurse_pages_her_until_she_takes_it(runtime: Runtime) -> None:
    member(runtime)
    row = opened(runtime)
    after(runtime, minutes=30)
    assert pages(runtime, NURSE) == 7
    text(runtime, NURSE, f"ACK {row.code}")
    after(runtime, minutes=10)
    assert pages(runtime, NURSE) == 7


def test_with_nobody_at_all_it_says_so_loudly_and_pages_the_first_who_appears(
    runtime: Runtime, caplog
) -> None:
    row = opened(runtime)
    assert "nobody can be paged" in caplog.text and "nobody_to_page" in kinds(runtime, row)
    member(runtime, tier=None)
    after(runtime, minutes=5)
    assert pages(runtime, NURSE) == 1


def test_a_shift_change_between_two_tellings_tells_the_new_shift(runtime: Runtime, clock) -> None:
    now = clock()
    nora, sam = member(runtime, tier=None), member(runtime, "Sam Second", SECOND, tier=None)
    for person, start, end in ((nora, -60, 2), (sam, 2, 600)):
        in_session(
            runtime,
            oncall.add_shift,
            actor="test",
            member_id=person.id,
            tier=1,
            starts_at=now + timedelta(minutes=start),
            ends_at=now + timedelta(minutes=end),
        )
    row = opened(runtime)
    do(runtime, escalations.acknowledge, row)
    after(runtime, minutes=16)
    assert pages(runtime, NURSE) == 2, "the acknowledger is reminded although her shift is over"
    assert pages(runtime, SECOND) == 1, "and the new shift is told"


def test_after_an_hour_of_standstill_there_is_no_burst(runtime: Runtime, ladder, clock) -> None:
    opened(runtime)
    clock.advance(hours=1)
    page_on_call.run(runtime, clock())
    assert [pages(runtime, phone) for phone in (NURSE, SECOND, THIRD)] == [2, 2, 2]


def test_a_routine_matter_pages_only_when_its_deadline_comes_near(runtime: Runtime, ladder, clock) -> None:
    row = opened(runtime, Urgency.ROUTINE)
    after(runtime, minutes=2)
    assert pages(runtime, NURSE) == 0
    clock.now = row.acknowledge_by - timedelta(minutes=60)
    page_on_call.run(runtime, clock())
    assert pages(runtime, NURSE) == 1 and "ROUTINE" in bodies(runtime, NURSE, "page")[0]


def test_who_spoke_with_the_patient_is_reminded_daily_until_it_is_resolved(
    runtime: Runtime, ladder, clock
) -> None:
    row = do(runtime, escalations.contact, opened(runtime), actor=SAM, method="phone")
    clock.advance(hours=23)
    page_on_call.run(runtime, clock())
    assert pages(runtime, SECOND) == 0
    for _ in range(3):
        page_on_call.run(runtime, clock.advance(hours=1))
    assert pages(runtime, SECOND) == 1
    page_on_call.run(runtime, clock.advance(hours=24))
    assert pages(runtime, SECOND) == 2 and kinds(runtime, row)[-1] == "reminded"


def test_a_member_may_answer_with_the_code_alone(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    reply = text(runtime, SECOND, f" ack {row.code}! ")
    now = the_escalation(runtime)
    assert (now.status, now.acknowledged_by) == ("acknowledged", SAM)
    assert reply.triaged_at and reply.urgency == "none" and reply.from_member_id == ladder[1].id
    assert "You have alert" in bodies(runtime, SECOND, "notice")[0]
    text(runtime, NURSE, row.code)
    assert "Sam Second already has" in bodies(runtime, NURSE, "notice")[0]
    assert the_escalation(runtime).acknowledged_by == SAM


def test_three_wrong_codes_in_ten_minutes_are_reported(runtime: Runtime, ladder, clock) -> None:
    row = opened(runtime)
    wrong = [f"ACK {(int(row.code) + step) % 10000:04d}" for step in (1, 2, 3)]
    text(runtime, NURSE, wrong[0])
    clock.advance(minutes=11)
    text(runtime, NURSE, wrong[1])
    text(runtime, NURSE, wrong[2])
    assert "wrong_codes" not in {one.reason for one in escalations_of(runtime)}
    text(runtime, NURSE, wrong[0])
    assert "wrong_codes" in {one.reason for one in escalations_of(runtime)}
    assert bodies(runtime, NURSE, "notice")[0].startswith("No open alert has the code")
    assert the_escalation(runtime, id=row.id).status == "open"


def test_any_other_text_from_a_members_number_is_read_as_a_patients(runtime: Runtime, ladder) -> None:
    text(runtime, NURSE, "i cant breathe")
    row = the_escalation(runtime)
    assert (row.urgency, row.phone) == ("emergency", NURSE)


def test_a_member_who_is_a_patient_too_can_answer_a_question_with_a_number(runtime: Runtime) -> None:
    member(runtime)
    enroll(runtime, NURSE, "Nora Nurse", days=9)
    reply = text(runtime, NURSE, "1004")
    assert reply.patient_id is not None


def test_a_code_from_a_number_that_is_no_members_takes_nothing(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    text(runtime, "+13125550188", f"ACK {row.code}")
    assert the_escalation(runtime, id=row.id).status == "open"


def test_looking_twice_at_the_same_moment_pages_once(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    for _ in range(3):
        with session_on(runtime.engine) as session:
            paging.advance(session, runtime, escalations.locked(session, row.id), runtime.clock())
            session.commit()
    assert pages(runtime, NURSE) == 1
    assert [event.kind for event in events(runtime, row)] == ["opened", "paged"]


def test_whoever_it_is_handed_to_is_told_once(runtime: Runtime, ladder) -> None:
    row = opened(runtime)
    do(runtime, escalations.acknowledge, row)
    do(runtime, escalations.hand_over, row, to=SAM)
    for _ in range(3):
        page_on_call.run(runtime, runtime.clock())
    (told,) = bodies(runtime, SECOND, "page")
    assert told.startswith("You have alert")
    member(runtime, "Vic Viewer", None, tier=None, role="viewer")
    with pytest.raises(escalations.InvalidAct, match="not answer"):
        do(runtime, escalations.hand_over, row, actor=SAM, to="vic@clinic.example")


def test_a_nurse_who_is_a_patient_too_stops_and_starts_both(runtime: Runtime, ladder) -> None:
    enrollment = enroll(runtime, NURSE, "Nora Nurse", days=9)
    text(runtime, NURSE, "STOP")
    assert {"opt_out", "pages_blocked"} <= {row.reason for row in escalations_of(runtime)}
    text(runtime, NURSE, "START")
    assert rows(runtime, Member, Member.email == NORA)[0].pages_blocked_at is None
    assert rows(runtime, Enrollment, Enrollment.id == enrollment.id)[0].status == "paused"
    assert "opt_in" in {row.reason for row in escalations_of(runtime)}
