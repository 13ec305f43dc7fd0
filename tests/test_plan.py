"""The plan while it runs: one question at a time, never two texts too close, silence never unnoticed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session, col, select

from jobs import complete_enrollments, flag_silence, send_reminders
from messages.schedule import PAUSED, Expire, Go, Skip, Wait
from service import enrollments, plan
from service.db import session_on
from service.models import Enrollment, Escalation, OutboundMessage, PhoneState, PlanItem
from service.runtime import Runtime
from tests.conftest import SetClock
from tests.course import enroll_patient


def due(session: Session, now: datetime) -> list[OutboundMessage]:
    return list(
        session.exec(
            select(OutboundMessage)
            .where(OutboundMessage.status == "planned", col(OutboundMessage.due_at) <= now)
            .order_by(col(OutboundMessage.due_at))
        )
    )


def item(session: Session, enrollment: Enrollment, key: str) -> PlanItem:
    return session.exec(
        select(PlanItem).where(PlanItem.enrollment_id == enrollment.id, PlanItem.key == key)
    ).one()


def send_what_may_go(runtime: Runtime, now: datetime) -> list[str]:
    """What the sender does, without a carrier: release, mark accepted, open the questions. Gives keys."""
    gone = []
    with session_on(runtime.engine) as session:
        messages = due(session, now)
        decisions = plan.release(session, runtime, messages, now)
        for message in messages:
            decision = decisions.get(message.id)
            if isinstance(decision, Wait):
                message.due_at = decision.until
            elif isinstance(decision, Go):
                message.status, message.accepted_at = "accepted", now
                gone.append(message.key.split(":", 1)[1])
                if message.kind == "check_in":
                    plan.texts_sent(session, runtime, [message.plan_item_id or ""], now)
            else:
                message.status = "cancelled"
            session.add(message)
        session.commit()
    return gone


def play(runtime: Runtime, clock: SetClock, until: datetime, step: timedelta) -> list[tuple[datetime, str]]:
    sent = []
    while clock.now < until:
        sent += [(clock.now, key) for key in send_what_may_go(runtime, clock.now)]
        clock.now += step
    return sent


def answer(
    runtime: Runtime, enrollment: Enrollment, key: str, now: datetime, value: float | None = None
) -> None:
    with session_on(runtime.engine) as session:
        given = {"kind": "no"} if value is None else {"kind": "score", "value": value}
        plan.answered(session, runtime, item(session, enrollment, key), given, now)
        session.commit()


def test_two_days_unattended_keep_the_gap_the_order_and_the_window(runtime: Runtime, clock: SetClock) -> None:
    enroll_patient(runtime, clock.now)
    start = clock.now
    sent = play(runtime, clock, start + timedelta(hours=48), timedelta(minutes=5))
    keys = [key for _, key in sent]
    assert keys[0] == "welcome" and len(keys) == len(set(keys))
    assert "d0_symptoms" in keys and keys.index("d1_symptoms") < keys.index("d1_pain")
    gap = runtime.protocols["vertebroplasty"].gap
    assert all(second - first >= gap for (first, _), (second, _) in zip(sent, sent[1:], strict=False))
    for at, key in sent:
        hour = at.astimezone(datetime.fromisoformat("2027-03-01T00:00:00-06:00").tzinfo).hour
        assert 9 <= hour < 20 or key == "d0_symptoms", (at, key)


def test_the_second_question_waits_for_the_first_and_comes_at_once_when_it_is_answered(
    runtime: Runtime, clock: SetClock
) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    morning = datetime(2027, 3, 2, 15, 0, tzinfo=UTC)
    play(runtime, clock, morning + timedelta(hours=2), timedelta(minutes=5))
    with session_on(runtime.engine) as session:
        first = item(session, enrollment, "d1_symptoms")
        assert first.status == "sent" and first.sent_at is not None
        second = item(session, enrollment, "d1_pain")
        assert second.sent_at is None or second.sent_at >= first.sent_at + timedelta(hours=2)


def test_an_answer_brings_the_next_question_forward(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    day = datetime(2027, 3, 2, tzinfo=UTC).date()
    sent: list[tuple[datetime, str]] = []
    while not any(key == "d1_symptoms" for _, key in sent):
        sent += play(runtime, clock, clock.now + timedelta(minutes=5), timedelta(minutes=5))
    answered_at = clock.now
    answer(runtime, enrollment, "d1_symptoms", answered_at)
    sent = play(runtime, clock, answered_at + timedelta(minutes=40), timedelta(minutes=5))
    assert "d1_pain" in [key for _, key in sent]
    assert answered_at.date() == day
    with session_on(runtime.engine) as session:
        first = item(session, enrollment, "d1_symptoms")
        assert first.status == "answered" and first.silent_at is None and first.remind_at is None


def test_a_score_is_remembered_and_a_second_answer_replaces_what_is_shown(
    runtime: Runtime, clock: SetClock
) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        pain = item(session, enrollment, "d1_pain")
        pain.status, pain.sent_at = "sent", clock.now
        session.add(pain)
        session.commit()
    answer(runtime, enrollment, "d1_pain", clock.now, value=7)
    answer(runtime, enrollment, "d1_pain", clock.now, value=3)
    with session_on(runtime.engine) as session:
        assert item(session, enrollment, "d1_pain").answer == {"kind": "score", "value": 3}
        assert session.get_one(Enrollment, enrollment.id).last_score == 3


def test_an_unanswered_red_flag_question_is_asked_again_once(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now, procedure_at=(clock.now - timedelta(hours=4)).isoformat())
    sent: list[tuple[datetime, str]] = []
    while not any(key == "d0_symptoms" for _, key in sent):
        sent += play(runtime, clock, clock.now + timedelta(minutes=5), timedelta(minutes=5))
    with session_on(runtime.engine) as session:
        remind_at = item(session, enrollment, "d0_symptoms").remind_at
    assert remind_at is not None
    assert send_reminders.run(runtime, remind_at - timedelta(seconds=1)) == {"reminders": 0}
    assert send_reminders.run(runtime, remind_at) == {"reminders": 1}
    assert send_reminders.run(runtime, remind_at) == {"reminders": 0}
    clock.now = remind_at
    keys = [key for _, key in play(runtime, clock, remind_at + timedelta(hours=1), timedelta(minutes=5))]
    assert keys.count("d0_symptoms:reminder") == 1


def test_a_reminder_is_not_sent_to_somebody_who_has_answered(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        asked = item(session, enrollment, "d1_symptoms")
        asked.status, asked.sent_at, asked.remind_at = "sent", clock.now, clock.now
        session.add(asked)
        session.commit()
    assert send_reminders.run(runtime, clock.now) == {"reminders": 1}
    answer(runtime, enrollment, "d1_symptoms", clock.now)
    with session_on(runtime.engine) as session:
        reminder = session.exec(select(OutboundMessage).where(OutboundMessage.kind == "reminder")).one()
        assert isinstance(plan.release(session, runtime, [reminder], clock.now)[reminder.id], Skip)


def test_silence_of_the_first_days_is_an_urgent_task_by_its_time(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        asked = item(session, enrollment, "d0_symptoms")
        asked.status, asked.sent_at, asked.silent_at = "sent", clock.now, clock.now + timedelta(hours=9)
        session.add(asked)
        session.commit()
    assert flag_silence.run(runtime, clock.now + timedelta(hours=8)) == {}
    assert sum(flag_silence.run(runtime, clock.now + timedelta(hours=9)).values()) == 1
    assert flag_silence.run(runtime, clock.now + timedelta(hours=9)) == {}
    with session_on(runtime.engine) as session:
        task = session.exec(select(Escalation)).one()
        assert (task.reason, task.urgency) == ("silence", "urgent")
        assert item(session, enrollment, "d0_symptoms").status == "silent"


@pytest.mark.parametrize(
    ("state", "cause"),
    [("opted_out_at", "opted_out"), ("unreachable_at", "landline")],
)
def test_silence_says_why(runtime: Runtime, clock: SetClock, state: str, cause: str) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        session.add(PhoneState(phone="+13125550177", **{state: clock.now}))
        asked = item(session, enrollment, "d1_symptoms")
        asked.status, asked.sent_at, asked.silent_at = "sent", clock.now, clock.now
        session.add(asked)
        session.commit()
    assert flag_silence.run(runtime, clock.now) == {cause: 1}


def test_nothing_is_released_to_a_phone_that_cannot_be_texted(runtime: Runtime, clock: SetClock) -> None:
    enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        session.add(PhoneState(phone="+13125550177", opted_out_at=clock.now))
        session.commit()
    assert play(runtime, clock, clock.now + timedelta(days=2), timedelta(hours=1)) == []


def test_a_paused_course_waits_but_its_welcome_does_not(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        enrollments.pause(session, enrollment.id, now=clock.now, actor="test", reason="in hospital")
    keys = [key for _, key in play(runtime, clock, clock.now + timedelta(days=1), timedelta(minutes=30))]
    assert keys == ["welcome"]
    with session_on(runtime.engine) as session:
        enrollments.resume(session, enrollment.id, now=clock.now, actor="test")
    sent = play(runtime, clock, clock.now + timedelta(hours=6), timedelta(minutes=5))
    gap = runtime.protocols["vertebroplasty"].gap
    assert all(second - first >= gap for (first, _), (second, _) in zip(sent, sent[1:], strict=False))


def test_a_question_too_late_to_send_becomes_a_task_not_a_text(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        late = item(session, enrollment, "d0_symptoms").expires_at
        message = session.exec(
            select(OutboundMessage).where(OutboundMessage.key == f"{enrollment.id}:d0_symptoms")
        ).one()
        decision = plan.release(session, runtime, [message], late)[message.id]
        session.commit()
        assert isinstance(decision, Expire)
        assert item(session, enrollment, "d0_symptoms").status == "expired"
        assert session.exec(select(Escalation)).one().reason == "late_text"


def test_shared_phones_share_the_gap(runtime: Runtime, clock: SetClock) -> None:
    enroll_patient(runtime, clock.now)
    enroll_patient(runtime, clock.now, name="Luis Delgado")
    sent = play(runtime, clock, clock.now + timedelta(hours=8), timedelta(minutes=5))
    gap = runtime.protocols["vertebroplasty"].gap
    assert sum(key == "welcome" for _, key in sent) == 2
    assert all(second - first >= gap for (first, _), (second, _) in zip(sent, sent[1:], strict=False))


def test_completing_is_nothing_until_it_is_due(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    assert complete_enrollments.run(runtime, clock.now) == {"completed": 0}
    assert complete_enrollments.run(runtime, enrollment.ends_at) == {"completed": 1}
    assert complete_enrollments.run(runtime, enrollment.ends_at) == {"completed": 0}


def test_after_a_pause_waiting_texts_leave_in_the_order_of_the_plan(
    runtime: Runtime, clock: SetClock
) -> None:
    """Each was last looked at at a moment of its own: whose moment comes first must not decide."""
    enrollment = enroll_patient(runtime, clock.now, on_blood_thinner=True)
    hours_ago = {"d1_symptoms": 3, "d1_blood_thinner": 1}
    with session_on(runtime.engine) as session:
        texts = select(OutboundMessage, PlanItem).where(OutboundMessage.plan_item_id == PlanItem.id)
        for message, one in session.exec(texts).all():
            if one.key in hours_ago:
                one.due_at = message.due_at = clock.now - timedelta(hours=hours_ago[one.key])
                one.expires_at = message.expires_at = clock.now + timedelta(hours=6)
            else:
                one.status = message.status = "cancelled"
            if one.key == "d1_symptoms":  # looked at a moment before the pause ended
                message.due_at, message.why = clock.now + timedelta(minutes=4), PAUSED
            session.add_all([message, one])
        session.commit()
    assert send_what_may_go(runtime, clock.now) == []
    assert send_what_may_go(runtime, clock.advance(minutes=5)) == ["d1_symptoms"]
    with session_on(runtime.engine) as session:
        assert item(session, enrollment, "d1_blood_thinner").status == "planned"
