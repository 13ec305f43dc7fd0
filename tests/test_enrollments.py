"""Enrolling lays down the whole plan once, never in a burst, and moving it never repeats a text."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import col, select

from service import enrollments
from service.db import session_on
from service.enrollment_request import EnrollmentFaults, parse_request
from service.enrollments import AlreadyEnrolled, Change, EnrollmentOver, UnknownEnrollment
from service.models import Enrollment, Escalation, OutboundMessage, Patient, PlanItem, ProtocolVersion
from service.planning import ProtocolChanged, pin
from service.runtime import Runtime
from tests.conftest import SetClock
from tests.course import enroll_patient, request_values


def items_of(runtime: Runtime, enrollment: Enrollment) -> dict[str, PlanItem]:
    with session_on(runtime.engine) as session:
        rows = session.exec(select(PlanItem).where(PlanItem.enrollment_id == enrollment.id))
        return {item.key: item for item in rows}


def texts_of(runtime: Runtime, enrollment: Enrollment, status: str = "planned") -> list[OutboundMessage]:
    with session_on(runtime.engine) as session:
        return list(
            session.exec(
                select(OutboundMessage)
                .where(OutboundMessage.enrollment_id == enrollment.id, OutboundMessage.status == status)
                .order_by(col(OutboundMessage.due_at))
            )
        )


def test_enrolling_plans_every_check_in_with_one_text_each(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    items = items_of(runtime, enrollment)
    assert set(items) == {check_in.key for check_in in runtime.protocols["vertebroplasty"].check_ins}
    planned = [item for item in items.values() if item.status == "planned"]
    texts = texts_of(runtime, enrollment)
    assert len(texts) == len(planned) == len({text.plan_item_id for text in texts})
    assert texts[0].due_at == clock.now and "911" in texts[0].body
    assert all(text.to_phone == "+13125550177" for text in texts)
    assert enrollment.ends_at > clock.now + timedelta(days=89)


def test_the_protocol_text_is_pinned_and_a_change_without_a_new_version_is_refused(
    runtime: Runtime, clock: SetClock
) -> None:
    enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        kept = session.exec(select(ProtocolVersion)).one()
        assert kept.source_text == runtime.protocols["vertebroplasty"].source_text
        kept.digest = "another text"
        session.add(kept)
        session.commit()
        with pytest.raises(ProtocolChanged, match="raise its version to"):
            pin(session, runtime.protocols["vertebroplasty"], clock.now)


def test_a_late_enrollment_skips_what_is_past_and_records_it(runtime: Runtime, clock: SetClock) -> None:
    procedure_at = (clock.now - timedelta(days=6)).isoformat()
    enrollment = enroll_patient(runtime, clock.now, procedure_at=procedure_at)
    items = items_of(runtime, enrollment)
    skipped = [item for item in items.values() if item.status == "skipped"]
    assert len(skipped) > 8 and all(item.why for item in skipped)
    due_now = [
        text for text in texts_of(runtime, enrollment) if text.due_at <= clock.now + timedelta(hours=1)
    ]
    assert [text.key.rsplit(":")[-1] for text in due_now] == ["welcome"]


def test_the_same_person_cannot_be_enrolled_twice_but_families_share_a_phone(
    runtime: Runtime, clock: SetClock
) -> None:
    first = enroll_patient(runtime, clock.now)
    for again in (
        {"name": "ROSA  DELGADO"},
        {"procedure_at": (clock.now - timedelta(days=3)).isoformat()},
    ):
        with pytest.raises(AlreadyEnrolled) as caught:
            enroll_patient(runtime, clock.now, **again)
        assert caught.value.enrollment_id == first.id
    husband = enroll_patient(runtime, clock.now, name="Luis Delgado")
    assert husband.patient_id != first.patient_id
    other_course = enroll_patient(runtime, clock.now, protocol="kyphoplasty")
    assert other_course.patient_id == first.patient_id


def test_an_external_id_names_the_person_whatever_the_spelling(runtime: Runtime, clock: SetClock) -> None:
    first = enroll_patient(runtime, clock.now, external_id="MRN-7")
    with pytest.raises(AlreadyEnrolled) as caught:
        enroll_patient(runtime, clock.now, external_id="MRN-7", name="Rosa D.", phone="+13125550199")
    assert caught.value.enrollment_id == first.id


def test_two_requests_at_once_enroll_one_person_once(runtime: Runtime, clock: SetClock) -> None:
    def attempt(_number: int) -> str:
        try:
            return enroll_patient(runtime, clock.now, external_id="MRN-8").id
        except AlreadyEnrolled as error:
            return error.enrollment_id

    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(attempt, range(6)))
    assert len(ids) == 1
    with session_on(runtime.engine) as session:
        assert len(session.exec(select(Patient)).all()) == 1
        assert len(session.exec(select(Enrollment)).all()) == 1


def test_a_kyphoplasty_without_discharge_is_planned_a_day_later_and_asks_the_team(
    runtime: Runtime, clock: SetClock
) -> None:
    enrollment = enroll_patient(runtime, clock.now, protocol="kyphoplasty")
    with session_on(runtime.engine) as session:
        task = session.exec(select(Escalation)).one()
    assert task.reason == "confirm_discharge" and task.enrollment_id == enrollment.id
    first_day = items_of(runtime, enrollment)["d0_symptoms"]
    assert first_day.due_at >= enrollment.procedure_at + timedelta(hours=24)


def test_moving_the_procedure_moves_what_is_to_come_and_repeats_nothing(
    runtime: Runtime, clock: SetClock
) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    before = items_of(runtime, enrollment)
    later = enrollment.procedure_at + timedelta(hours=1)
    clock.advance(minutes=5)
    with session_on(runtime.engine) as session:
        enrollments.change(
            session, runtime, enrollment.id, Change(procedure_at=later), now=clock.now, actor="test"
        )
    after = items_of(runtime, enrollment)
    assert after["d0_symptoms"].due_at == before["d0_symptoms"].due_at + timedelta(hours=1)
    assert after["welcome"].due_at == before["welcome"].due_at
    planned = texts_of(runtime, enrollment)
    assert len(planned) == len({text.plan_item_id for text in planned})
    assert {text.plan_item_id for text in planned} == {i.id for i in after.values() if i.status == "planned"}
    by_item = {item.id: item for item in after.values()}
    assert all(text.due_at == by_item[text.plan_item_id or ""].due_at for text in planned)


def test_moving_the_procedure_to_a_time_that_cannot_be_changes_nothing(
    runtime: Runtime, clock: SetClock
) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session, pytest.raises(EnrollmentFaults) as caught:
        enrollments.change(
            session,
            runtime,
            enrollment.id,
            Change(procedure_at=clock.now + timedelta(days=1)),
            now=clock.now,
            actor="test",
        )
    assert "procedure_at" in caught.value.faults
    with session_on(runtime.engine) as session:
        kept = session.get_one(Enrollment, enrollment.id)
        assert kept.procedure_at == enrollment.procedure_at


def test_withdrawing_cancels_every_text_and_again_is_no_fault(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    for _ in range(2):
        with session_on(runtime.engine) as session:
            enrollments.withdraw(session, enrollment.id, now=clock.now, actor="test", reason="moved away")
    assert texts_of(runtime, enrollment) == []
    assert {item.status for item in items_of(runtime, enrollment).values()} <= {"cancelled", "skipped"}
    with session_on(runtime.engine) as session, pytest.raises(EnrollmentOver):
        enrollments.pause(session, enrollment.id, now=clock.now, actor="test", reason="x")
    with session_on(runtime.engine) as session, pytest.raises(UnknownEnrollment):
        enrollments.withdraw(session, "0" * 32, now=clock.now, actor="test")


def test_a_withdrawn_patient_can_be_enrolled_again(runtime: Runtime, clock: SetClock) -> None:
    first = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        enrollments.withdraw(session, first.id, now=clock.now, actor="test")
    second = enroll_patient(runtime, clock.now)
    assert second.id != first.id and second.patient_id == first.patient_id


def test_a_course_is_completed_after_its_end_and_not_before(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now)
    with session_on(runtime.engine) as session:
        assert enrollments.complete_ended(session, enrollment.ends_at - timedelta(seconds=1)) == 0
        assert enrollments.complete_ended(session, enrollment.ends_at) == 1
        assert enrollments.complete_ended(session, enrollment.ends_at) == 0
        assert session.get_one(Enrollment, enrollment.id).status == "completed"


def test_spanish_patients_get_spanish_texts(runtime: Runtime, clock: SetClock) -> None:
    enrollment = enroll_patient(runtime, clock.now, language="es")
    texts = texts_of(runtime, enrollment)
    assert all(text.language == "es" for text in texts)
    assert "Llame al 911" in texts[0].body


def test_a_request_with_an_unknown_protocol_names_the_known_ones(runtime: Runtime, clock: SetClock) -> None:
    with pytest.raises(EnrollmentFaults, match="kyphoplasty, vertebroplasty"):
        parse_request(request_values(clock.now, protocol="hip"), now=clock.now, protocols=runtime.protocols)
