"""A reply is never lost, is read once, and whatever could be dangerous reaches a person and is answered."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from messages.site import Site
from service import inbox
from service.db import session_on
from service.models import AuditEvent, Enrollment, PhoneState, PlanItem, Reply, StoredAssessment
from service.runtime import Runtime
from tests.clinic import (
    ANA,
    BEN,
    NURSE,
    STRANGER,
    asked,
    assessments,
    bodies,
    enroll,
    escalations_of,
    kinds,
    member,
    rows,
    sent_to,
    text,
    the_escalation,
)


def test_a_numb_foot_is_stored_assessed_escalated_answered_paged_and_audited_at_once(
    runtime: Runtime,
) -> None:
    enrollment = enroll(runtime)
    member(runtime)
    reply = text(runtime, ANA, "numbness in my left foot")
    row = the_escalation(runtime)
    assert (row.reason, row.urgency, row.patient_id) == ("red_flag", "urgent", enrollment.patient_id)
    assert row.reply_id == reply.id and row.findings[0]["words"] in "numbness in my left foot"
    (answer,) = sent_to(runtime, ANA)
    assert answer.kind == "safety" and "911" in answer.body and "within 1 hour" in answer.body
    (page,) = sent_to(runtime, NURSE)
    assert (
        page.kind == "page" and row.code in page.body and "Ana" not in page.body and "numb" not in page.body
    )
    assert kinds(runtime, row) == ["opened", "paged"]
    assert reply.triaged_at and reply.urgency == "urgent" and reply.patient_id == enrollment.patient_id
    assert [event.action for event in rows(runtime, AuditEvent) if event.subject_id == reply.id] == [
        "triage reply"
    ]
    assert runtime.wake.is_set()


def test_the_same_carrier_id_again_changes_nothing(runtime: Runtime) -> None:
    enroll(runtime)
    first = text(runtime, ANA, "cant breathe", carrier_sid="SM1")
    before = (
        len(rows(runtime, StoredAssessment)),
        len(sent_to(runtime, ANA)),
        the_escalation(runtime).version,
    )
    again = text(runtime, ANA, "cant breathe", carrier_sid="SM1")
    assert again.id == first.id and len(rows(runtime, Reply)) == 1
    assert before == (
        len(rows(runtime, StoredAssessment)),
        len(sent_to(runtime, ANA)),
        the_escalation(runtime).version,
    )


def test_an_emergency_gets_the_911_line_and_nothing_that_delays_it(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "chest pain and i cant breathe")
    assert bodies(runtime, ANA) == ["Call 911 now. Do not wait for us. Lakeside Spine Center is being told."]
    assert the_escalation(runtime).urgency == "emergency"


def test_thoughts_of_suicide_get_988_first(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "i want to kill myself")
    (body,) = bodies(runtime, ANA)
    assert body.index("988") < body.index("911")


def test_an_unknown_number_is_triaged_and_told_911_but_not_which_clinic(runtime: Runtime) -> None:
    text(runtime, STRANGER, "i have chest pain")
    row = the_escalation(runtime)
    assert (row.urgency, row.reason, row.patient_id, row.phone) == ("emergency", "red_flag", None, STRANGER)
    assert bodies(runtime, STRANGER) == ["Call 911 now. Do not wait for us."]


def test_an_unknown_number_with_small_talk_still_reaches_a_person(runtime: Runtime) -> None:
    text(runtime, STRANGER, "hello there")
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("unknown_number", "routine")
    (body,) = bodies(runtime, STRANGER)
    assert "911" in body and "Lakeside" not in body


def test_a_text_from_the_carers_phone_is_the_patients_marked_so(runtime: Runtime) -> None:
    enrollment = enroll(runtime, caregiver_phone=BEN, caregiver_consent=True)
    reply = text(runtime, BEN, "mom cant move her legs")
    assert reply.from_caregiver and reply.patient_id == enrollment.patient_id
    assert the_escalation(runtime).urgency == "emergency"
    assert bodies(runtime, BEN)[0].startswith("Call 911 now for the patient.")
    assert sent_to(runtime, ANA) == []


def test_a_phone_that_two_patients_share_is_triaged_for_both_and_answered_once(runtime: Runtime) -> None:
    first = enroll(runtime, name="Ana Doe")
    second = enroll(runtime, name="Abe Doe")
    reply = text(runtime, ANA, "my leg is numb")
    assert {row.patient_id for row in assessments(runtime, reply)} == {first.patient_id, second.patient_id}
    assert {row.patient_id for row in escalations_of(runtime)} == {first.patient_id, second.patient_id}
    assert len(sent_to(runtime, ANA)) == 1


def test_replies_after_the_course_or_after_an_opt_out_reach_a_person_whatever_they_say(
    runtime: Runtime,
) -> None:
    enrollment = enroll(runtime)
    with session_on(runtime.engine) as session:
        row = session.get_one(Enrollment, enrollment.id)
        row.status = "completed"
        session.add(row)
        session.commit()
    text(runtime, ANA, "thank you for everything")
    assert the_escalation(runtime).reason == "ended_enrollment"
    enroll(runtime, BEN, "Ben Roe")
    text(runtime, BEN, "STOP")
    text(runtime, BEN, "ok thanks")
    reasons = {row.reason for row in escalations_of(runtime) if row.phone != ANA}
    assert {"opt_out", "opted_out_reply"} <= reasons


@pytest.mark.parametrize("word", ["STOP", "stop.", "Unsubscribe", "END"])
def test_a_carrier_word_is_obeyed_left_to_the_carrier_to_answer_and_leaves_a_call_to_make(
    runtime: Runtime, word: str
) -> None:
    enroll(runtime, days=8)
    text(runtime, ANA, word)
    assert sent_to(runtime, ANA) == []
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("opt_out", "routine")


def test_an_opt_out_in_the_first_days_is_due_by_next_morning(runtime: Runtime) -> None:
    enroll(runtime, days=1)  # Monday 10:00 in Chicago
    text(runtime, ANA, "STOP")
    row = the_escalation(runtime)
    assert row.urgency == "urgent"
    assert row.acknowledge_by == runtime.clock() + timedelta(hours=23, minutes=30)


@pytest.mark.parametrize("body", ["ALTO", "please stop texting me"])
def test_what_the_carrier_does_not_answer_itself_gets_one_confirmation(runtime: Runtime, body: str) -> None:
    enroll(runtime, days=8)
    text(runtime, ANA, body)
    (confirmation,) = sent_to(runtime, ANA)
    assert confirmation.kind == "notice" and "911" in confirmation.body
    assert the_escalation(runtime).reason == "opt_out"


def test_an_opt_out_with_a_symptom_gets_its_safety_answer_first_then_the_confirmation(
    runtime: Runtime,
) -> None:
    enroll(runtime)
    text(runtime, ANA, "stop texting me i cant breathe")
    first, second = sent_to(runtime, ANA)
    assert (first.kind, second.kind) == ("safety", "notice") and first.priority < second.priority
    assert {row.reason for row in escalations_of(runtime)} == {"red_flag", "opt_out"}


def test_a_red_flag_after_an_opt_out_still_gets_its_one_safety_answer(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "STOP")
    text(runtime, ANA, "my chest hurts")
    (answer,) = sent_to(runtime, ANA)
    assert answer.kind == "safety" and answer.body.startswith("Call 911")


def test_a_bare_help_pages_and_is_left_to_the_carrier_to_answer(runtime: Runtime) -> None:
    enroll(runtime)
    member(runtime)
    text(runtime, ANA, "HELP")
    assert the_escalation(runtime).urgency == "urgent"
    assert sent_to(runtime, ANA) == [] and len(sent_to(runtime, NURSE)) == 1


def test_start_asks_the_team_before_check_ins_resume(runtime: Runtime, clock) -> None:
    enrollment = enroll(runtime, days=8)
    text(runtime, ANA, "STOP")
    clock.advance(hours=2)
    text(runtime, ANA, "START")
    (course,) = rows(runtime, Enrollment, Enrollment.id == enrollment.id)
    assert course.status == "paused" and "confirm" in course.paused_reason
    assert {row.reason for row in escalations_of(runtime)} == {"opt_out", "opt_in"}


def test_a_yes_to_the_symptoms_question_is_urgent_and_answers_it(runtime: Runtime) -> None:
    enrollment = enroll(runtime)
    item = asked(runtime, enrollment, "symptoms")
    text(runtime, ANA, "yes")
    assert the_escalation(runtime).urgency == "urgent"
    (now,) = rows(runtime, PlanItem, PlanItem.id == item.id)
    assert now.status == "answered" and now.answer["kind"] == "yes"


def test_a_no_to_it_needs_nobody(runtime: Runtime) -> None:
    enrollment = enroll(runtime)
    item = asked(runtime, enrollment, "symptoms")
    text(runtime, ANA, "No")
    assert escalations_of(runtime) == [] and sent_to(runtime, ANA) == []
    assert rows(runtime, PlanItem, PlanItem.id == item.id)[0].answer == {"kind": "no"}


def test_a_bare_yes_counts_for_an_unanswered_symptoms_question_behind_a_newer_one(runtime: Runtime) -> None:
    enrollment = enroll(runtime)
    asked(runtime, enrollment, "symptoms", ago=timedelta(hours=3))
    asked(runtime, enrollment, "pain", ago=timedelta(minutes=30))
    text(runtime, ANA, "yes")
    assert the_escalation(runtime).urgency == "urgent"


@pytest.mark.parametrize("body", ["lkjh wqer", "👍", "?"])
def test_an_unclear_answer_to_the_symptoms_question_is_asked_once_more_and_due_within_the_hour(
    runtime: Runtime, clock, body: str
) -> None:
    enrollment = enroll(runtime, days=7)
    asked(runtime, enrollment, "symptoms")
    text(runtime, ANA, body)
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("not_understood", "routine")
    assert row.acknowledge_by == clock() + timedelta(minutes=60)
    (again,) = sent_to(runtime, ANA)
    assert "say it again" in again.body and "911" in again.body
    clock.advance(minutes=2)
    text(runtime, ANA, "asdf qwert")
    assert len(sent_to(runtime, ANA)) == 1, "asked once more, not for ever"


def test_at_night_an_unclear_answer_is_due_at_half_past_nine_next_morning_weekends_too(
    runtime: Runtime, clock
) -> None:
    clock.now = clock.now.replace(day=6, hour=4)  # Friday 22:00 in Chicago
    enroll(runtime)
    text(runtime, ANA, "lkjh wqer")
    assert the_escalation(runtime).acknowledge_by == clock.now.replace(hour=15, minute=30)


def test_a_picture_without_words_is_urgent_and_answered(runtime: Runtime) -> None:
    enroll(runtime, days=9)
    text(runtime, ANA, "", media=[{"content_type": "image/jpeg"}])
    row = the_escalation(runtime)
    assert (row.urgency, row.reason) == ("urgent", "not_understood")
    assert "911" in bodies(runtime, ANA)[0] and "pictures" in bodies(runtime, ANA)[0]


def test_a_picture_with_calm_words_is_still_seen_by_a_person(runtime: Runtime) -> None:
    enroll(runtime, days=9)
    text(runtime, ANA, "looks good, doing fine", media=[{"content_type": "image/jpeg"}])
    assert the_escalation(runtime).urgency == "routine"


@pytest.mark.parametrize(
    "body", ["", "   ", "🙂" * 300, "x" * 1600, "nul\x00byte", "half \ud83d pair", "..."]
)
def test_whatever_arrives_is_stored_and_reaches_a_person(runtime: Runtime, body: str) -> None:
    enroll(runtime, days=9)
    reply = text(runtime, ANA, body)
    assert reply.triaged_at is not None
    assert the_escalation(runtime).urgency in ("routine", "urgent")


def test_a_flood_becomes_one_escalation_and_one_safety_answer_and_loses_nothing(runtime: Runtime) -> None:
    enroll(runtime)
    for number in range(25):
        text(runtime, ANA, f"my temp is 101.5 {chr(97 + number)}")
    assert len(rows(runtime, Reply)) == len(rows(runtime, StoredAssessment)) == 25
    the_escalation(runtime)
    assert len(sent_to(runtime, ANA)) == 1
    text(runtime, ANA, "now i cant breathe")
    assert [message.body[:12] for message in sent_to(runtime, ANA)].count("Call 911 now") == 1
    assert the_escalation(runtime).urgency == "emergency"


def test_pieces_of_one_message_are_also_read_together(runtime: Runtime, clock) -> None:
    enroll(runtime, days=9)
    text(runtime, ANA, "hi its me. i cant feel")
    clock.advance(seconds=3)
    text(runtime, ANA, "anything between my legs")
    assert the_escalation(runtime).urgency in ("urgent", "emergency")


@pytest.mark.parametrize(
    "score, days, baseline, last, urgency",
    [
        ("8", 1, None, None, "urgent"),
        ("4", 2, 7, 2.0, "urgent"),
        ("3", 2, 7, 1.0, None),
        ("5", 2, 4, None, "urgent"),
        ("6", 4, 7, None, "routine"),
        ("4", 4, 7, None, None),
        ("3", 14, 3, None, "routine"),
        ("0", 14, 0, None, None),
    ],
)
def test_pain_scores_follow_the_clinical_rules(
    runtime: Runtime, score: str, days: int, baseline: int | None, last: float | None, urgency: str | None
) -> None:
    enrollment = enroll(runtime, days=days, baseline_pain=baseline)
    if last is not None:
        with session_on(runtime.engine) as session:
            row = session.get_one(Enrollment, enrollment.id)
            row.last_score = last
            session.add(row)
            session.commit()
    asked(runtime, enrollment, "pain")
    text(runtime, ANA, score)
    assert [row.urgency for row in escalations_of(runtime)] == ([urgency] if urgency else [])


def test_a_correction_is_written_down_and_closes_nothing(runtime: Runtime, clock) -> None:
    enrollment = enroll(runtime)
    item = asked(runtime, enrollment, "pain")
    text(runtime, ANA, "9")
    clock.advance(minutes=1)
    reply = text(runtime, ANA, "sorry i meant 1")
    row = the_escalation(runtime)
    assert (row.urgency, row.status) == ("urgent", "open")
    assert assessments(runtime, reply)[0].answer == {"kind": "score", "value": 1.0}
    assert rows(runtime, PlanItem, PlanItem.id == item.id)[0].answer["value"] == 1.0


def test_our_own_words_quoted_back_never_trigger_us(runtime: Runtime) -> None:
    enrollment = enroll(runtime, days=9)
    asked(runtime, enrollment, "pain")
    text(runtime, ANA, "Liked “Any new numbness, tingling, weakness, fever or new pain? Reply YES or NO”")
    assert escalations_of(runtime) == []


def test_no_to_the_blood_thinner_question_is_a_task_for_the_same_day(runtime: Runtime, clock) -> None:
    enrollment = enroll(runtime, on_blood_thinner=True)
    asked(runtime, enrollment, "blood_thinner")
    text(runtime, ANA, "no")
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("blood_thinner", "routine")
    assert row.acknowledge_by.date() <= (clock() + timedelta(hours=14)).date()
    assert "ask the doctor" in bodies(runtime, ANA)[0]


def test_a_spanish_text_is_answered_in_spanish_whatever_the_enrollment_says(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "me duele mucho el pecho y no puedo respirar")
    assert bodies(runtime, ANA)[0].startswith("Llame al 911 ahora.")


def test_a_script_of_neither_language_is_urgent_and_answered_in_both(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "У меня онемела нога")
    assert the_escalation(runtime).urgency == "urgent"
    assert "Emergency?" in bodies(runtime, ANA)[0] and "Emergencia?" in bodies(runtime, ANA)[0]


def without_phone(site: Site) -> Site:
    """A broken part: no text that names the clinic's number can be written."""
    return replace(site, clinic_phone="")


def test_a_triage_that_fails_is_urgent_work_for_a_person_and_is_tried_again(runtime: Runtime, clock) -> None:
    enroll(runtime)
    whole = runtime.site
    runtime.site = without_phone(whole)
    reply = text(runtime, ANA, "my temp is 101.5")
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("triage_failed", "urgent")
    assert reply.triaged_at is None and reply.triage_attempts == 1 and assessments(runtime, reply) == []
    runtime.site = whole
    assert inbox.triage_backlog(runtime, clock()) == {"tried": 0, "triaged": 0}
    assert inbox.triage_backlog(runtime, clock.advance(minutes=1)) == {"tried": 1, "triaged": 1}
    row = the_escalation(runtime)
    assert (row.reason, row.urgency) == ("red_flag", "urgent")
    assert "911" in bodies(runtime, ANA)[-1]


def test_a_triage_that_always_fails_stays_with_a_person_and_is_not_tried_for_ever(
    runtime: Runtime, clock
) -> None:
    enroll(runtime)
    runtime.site = without_phone(runtime.site)
    text(runtime, ANA, "my temp is 101.5")
    for _ in range(20):
        inbox.triage_backlog(runtime, clock.advance(hours=2))
    (reply,) = rows(runtime, Reply)
    assert reply.triage_attempts == inbox.MOST_ATTEMPTS and reply.triaged_at is not None
    assert the_escalation(runtime).status == "open"


def stored(runtime: Runtime, phone: str, body: str, sid: str) -> str:
    with session_on(runtime.engine) as session:
        row, _ = inbox.receive(
            session, now=runtime.clock(), carrier_sid=sid, from_phone=phone, to_phone=None, body=body
        )
        return row.id


def test_many_texts_at_once_from_several_phones_are_each_read_once_and_join(runtime: Runtime) -> None:
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    ids = [
        stored(runtime, phone, body, f"SM{number}{phone}")
        for number, body in enumerate(["chest pain", "temp is 101.5", "fine", "zxcv qwer"])
        for phone in (ANA, BEN, STRANGER)
    ]
    with ThreadPoolExecutor(6) as pool:  # twice each: two workers want the same reply
        list(pool.map(lambda reply_id: inbox.triage_reply(runtime, reply_id, runtime.clock()), ids * 2))
    replies = rows(runtime, Reply)
    assert all(reply.triaged_at for reply in replies) and not any(reply.triage_attempts for reply in replies)
    assert len(rows(runtime, StoredAssessment)) == len(ids)
    assert sorted(row.urgency for row in escalations_of(runtime)) == ["emergency"] * 3
    assert all(any("911" in body for body in bodies(runtime, phone)) for phone in (ANA, BEN, STRANGER))


def test_the_same_text_delivered_by_many_webhooks_at_once_is_stored_once(runtime: Runtime) -> None:
    enroll(runtime)
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(lambda _: stored(runtime, ANA, "chest pain", "SM1"), range(12)))
    assert len(ids) == 1 and len(rows(runtime, Reply)) == 1


def test_a_phone_that_writes_to_us_can_be_texted_after_all_but_an_opt_out_stays(
    runtime: Runtime, clock
) -> None:
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    with session_on(runtime.engine) as session:
        session.add(PhoneState(phone=ANA, unreachable_at=clock(), code="30006"))
        session.add(PhoneState(phone=BEN, unreachable_at=clock(), opted_out_at=clock(), code="21610"))
        session.commit()
    clock.advance(minutes=5)
    text(runtime, ANA, "all good thanks")
    text(runtime, BEN, "all good thanks")
    with session_on(runtime.engine) as session:
        ana, ben = (session.get_one(PhoneState, phone) for phone in (ANA, BEN))
        assert (ana.unreachable_at, ana.code) == (None, None)
        assert (ben.unreachable_at, ben.code) == (None, "21610") and ben.opted_out_at is not None


def test_what_no_database_can_hold_keeps_no_reply_out(runtime: Runtime) -> None:
    """Not in its words, nor in what the carrier says beside them."""
    odd = "x\x00y\ud83d"
    enroll(runtime)
    reply = text(
        runtime, ANA, f"my foot is numb {odd}", media=[{"url": odd, "type": "image/jpeg"}], opt_out_type=odd
    )
    assert reply.triage_attempts == 0 and reply.body == "my foot is numb xy?"
    assert reply.media == [{"url": "xy?", "type": "image/jpeg"}] and reply.opt_out_type == "xy?"
    assert escalations_of(runtime)[0].urgency in ("urgent", "emergency")
