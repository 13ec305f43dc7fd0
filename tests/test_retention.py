"""What is kept how long, and that deleting never takes what anything still needs. On both databases."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import select

from jobs import delete_expired
from messages.retention import KINDS, LEAST, Retention
from messages.site import SiteError, parse_site
from messages.urgency import Urgency
from service import enrollments, escalations, inbox, legal_holds, marks, record, retention
from service.carrier_log import CAUGHT_UP
from service.db import reading, session_on
from service.models import (
    AuditEvent,
    Enrollment,
    Escalation,
    EscalationEvent,
    LabelledCase,
    Mark,
    OutboundMessage,
    Patient,
    PhoneState,
    Redaction,
    Reply,
    SignInAttempt,
    SimulatedText,
    StoredAssessment,
    metadata,
)
from service.runtime import Runtime
from tests import clinic
from tests.conftest import SetClock

RED_FLAG = "my left foot is numb"
YEARS = timedelta(days=3650)


def keep(runtime: Runtime, **values: timedelta | None) -> None:
    none = dict.fromkeys(KINDS)
    runtime.site = replace(runtime.site, retention=Retention(**(none | values)))


def settle_texts(runtime: Runtime) -> None:
    """Every text as one that is over."""
    with session_on(runtime.engine) as session:
        for message in session.exec(select(OutboundMessage)):
            message.status, message.settled_at = "delivered", runtime.clock()
            session.add(message)
        session.commit()


def resolve_all(runtime: Runtime) -> None:
    for row in clinic.escalations_of(runtime):
        if row.status != "resolved":
            clinic.in_session(
                runtime, escalations.resolve, site=runtime.site, escalation_id=row.id, actor="kim",
                disposition="sent_to_ed", note="went to the emergency department",
            )  # fmt: skip


def finished_course(runtime: Runtime, clock: SetClock, phone: str = clinic.ANA, name: str = "Ana Doe") -> Any:
    """A patient with a red flag, a note, a case read wrongly and a redaction, all over."""
    course = clinic.enroll(runtime, phone, name)
    reply = clinic.text(runtime, phone, RED_FLAG)
    row = clinic.escalations_of(runtime, patient_id=course.patient_id)[0]
    clinic.in_session(
        runtime, escalations.false_alarm, site=runtime.site, escalation_id=row.id, actor="kim", note="a chair"
    )
    with session_on(runtime.engine) as session:
        session.add(Redaction(reply_id=reply.id, why="other", by="kim", at=clock()))
        session.commit()
    clinic.in_session(runtime, enrollments.withdraw, enrollment_id=course.id, actor="kim", reason="moved")
    resolve_all(runtime)
    settle_texts(runtime)
    return course


def counted(runtime: Runtime) -> dict[str, int]:
    with reading(runtime.engine) as session:
        return {
            table.name: session.execute(select_columns(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def audit_of(runtime: Runtime, action: str) -> list[AuditEvent]:
    return clinic.rows(runtime, AuditEvent, AuditEvent.action == action)


def test_a_clinic_that_says_nothing_keeps_every_patient_for_ever(runtime: Runtime, clock: SetClock) -> None:
    finished_course(runtime, clock)
    clock.now += 10 * YEARS
    before = counted(runtime)
    while delete_expired.run(runtime, clock()):
        pass
    after = counted(runtime)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"audit_events", "marks", "sign_in_attempts", "member_sessions", "simulated_texts"}


def test_everything_of_a_finished_patient_goes_and_the_audit_trail_stays(
    runtime: Runtime, clock: SetClock
) -> None:
    course = finished_course(runtime, clock)
    other = clinic.enroll(runtime, clinic.BEN, "Ben Roe")
    kept = [row.id for row in clinic.rows(runtime, AuditEvent)]
    keep(runtime, patients=YEARS)
    clock.now += YEARS + timedelta(days=40)
    with reading(runtime.engine) as session:
        whole = record.count(session, course.patient_id)
    assert set(whole) >= {
        "patients", "enrollments", "plan_items", "outbound_messages", "replies", "assessments", "escalations",
        "escalation_events", "labelled_cases", "redactions",
    }  # fmt: skip
    assert [due.count for due in retention.preview(runtime, clock()) if due.kind == "patients"] == [1]
    assert delete_expired.run(runtime, clock()) == {"patients": 1}
    assert delete_expired.run(runtime, clock()) == {}
    assert clinic.rows(runtime, PhoneState) == []
    with reading(runtime.engine) as session:
        assert record.count(session, course.patient_id) == {}
        assert session.get(Patient, other.patient_id) is not None
    said = audit_of(runtime, "delete by retention")
    assert [(row.subject_kind, row.subject_id, row.detail) for row in said] == [
        ("patient", course.patient_id, whole)
    ]
    assert set(kept) <= {row.id for row in clinic.rows(runtime, AuditEvent)}


@pytest.mark.parametrize("short", [timedelta(days=1), timedelta(hours=1)])
def test_not_yet_due_is_not_deleted(runtime: Runtime, clock: SetClock, short: timedelta) -> None:
    finished_course(runtime, clock)
    keep(runtime, patients=YEARS)
    clock.now += YEARS - short
    assert delete_expired.run(runtime, clock()) == {}
    clock.now += short + timedelta(seconds=1)
    assert delete_expired.run(runtime, clock()) == {"patients": 1}


def _active_course(runtime: Runtime, course: Enrollment) -> None:
    with session_on(runtime.engine) as session:
        row = session.get_one(Enrollment, course.id)
        row.status = "paused"
        session.add(row)
        session.commit()


def _open_task(runtime: Runtime, course: Enrollment) -> None:
    with session_on(runtime.engine) as session:
        escalations.open_escalation(
            session, now=runtime.clock() - YEARS, site=runtime.site, reason="question",
            urgency=Urgency.ROUTINE, patient_id=course.patient_id,
        )  # fmt: skip
        session.commit()


def _text_of(status: str) -> Any:
    def change(runtime: Runtime, course: Enrollment) -> None:
        with session_on(runtime.engine) as session:
            row = session.exec(
                select(OutboundMessage).where(OutboundMessage.patient_id == course.patient_id)
            ).first()
            assert row is not None
            row.status, row.settled_at = status, None
            session.add(row)
            session.commit()

    return change


def _unread_reply(runtime: Runtime, course: Enrollment) -> None:
    with session_on(runtime.engine) as session:
        row = session.exec(select(Reply).where(Reply.patient_id == course.patient_id)).first()
        assert row is not None
        row.triaged_at = None
        session.add(row)
        session.commit()


def _hold(runtime: Runtime, course: Enrollment) -> None:
    clinic.in_session(
        runtime, legal_holds.set_hold, patient_id=course.patient_id, reason="claim 12", actor="kim"
    )


def _newest_reply_of_the_log(runtime: Runtime, course: Enrollment) -> None:
    """Nothing came in since: the next start reads the carrier's log back to this patient's last text."""
    newest = clinic.rows(runtime, Reply)[0].received_at
    with session_on(runtime.engine) as session:
        marks.set_mark(session, CAUGHT_UP, runtime.clock(), detail={"newest": newest.isoformat()})
        session.commit()


@pytest.mark.parametrize(
    "need",
    [
        _active_course,
        _open_task,
        _text_of("planned"),
        _text_of("claimed"),
        _text_of("unknown"),
        _unread_reply,
        _hold,
        _newest_reply_of_the_log,
    ],
)
def test_what_anything_open_needs_stays(runtime: Runtime, clock: SetClock, need: Any) -> None:
    course = finished_course(runtime, clock)
    clock.now += 2 * YEARS
    need(runtime, course)
    keep(runtime, patients=YEARS)
    before = counted(runtime)
    assert delete_expired.run(runtime, clock()) == {}
    assert counted(runtime) == before


def test_a_lifted_hold_lets_the_record_go(runtime: Runtime, clock: SetClock) -> None:
    course = finished_course(runtime, clock)
    clock.now += 2 * YEARS
    _hold(runtime, course)
    keep(runtime, patients=YEARS)
    assert [(due.count, due.held) for due in retention.preview(runtime, clock())][0] == (0, 1)
    with pytest.raises(legal_holds.HoldRefused):
        _hold(runtime, course)
    clinic.in_session(
        runtime, legal_holds.lift_hold, patient_id=course.patient_id, reason="settled", actor="lee"
    )
    with pytest.raises(legal_holds.HoldRefused):
        clinic.in_session(
            runtime, legal_holds.lift_hold, patient_id=course.patient_id, reason="again", actor="lee"
        )
    assert delete_expired.run(runtime, clock()) == {"patients": 1}
    for action, actor in (("set legal hold", "kim"), ("lift legal hold", "lee")):
        (row,) = audit_of(runtime, action)
        assert (row.actor, row.subject_id) == (actor, course.patient_id)
        assert "claim 12" not in str(row.detail) and "settled" not in str(row.detail)


def test_a_shared_phone_loses_one_patient_and_not_the_others_texts(runtime: Runtime, clock: SetClock) -> None:
    gone = clinic.enroll(runtime, name="Ana Doe")
    stays = clinic.enroll(runtime, name="Eva Doe")
    reply = clinic.text(runtime, clinic.ANA, RED_FLAG)
    assert {row.patient_id for row in clinic.assessments(runtime, reply)} == {
        gone.patient_id,
        stays.patient_id,
    }
    resolve_all(runtime)
    settle_texts(runtime)
    for course in (gone, stays):
        clinic.in_session(runtime, enrollments.withdraw, enrollment_id=course.id, actor="kim")
    settle_texts(runtime)
    with session_on(runtime.engine) as session:
        first = session.get_one(Reply, reply.id)
        first.patient_id = gone.patient_id  # whichever it was, it is the one that goes
        session.add(first)
        session.commit()
    clinic.in_session(
        runtime, legal_holds.set_hold, patient_id=stays.patient_id, reason="a claim", actor="kim"
    )
    keep(runtime, patients=YEARS)
    clock.now += 2 * YEARS
    assert delete_expired.run(runtime, clock()) == {"patients": 1}
    with reading(runtime.engine) as session:
        kept = session.get_one(Reply, reply.id)
        assert kept.patient_id == stays.patient_id and kept.body == RED_FLAG
        left = session.exec(select(StoredAssessment)).all()
        assert [row.patient_id for row in left] == [stays.patient_id]
        assert session.get(Patient, gone.patient_id) is None


def test_strangers_go_when_their_escalation_is_resolved_and_old(runtime: Runtime, clock: SetClock) -> None:
    clinic.text(runtime, clinic.STRANGER, RED_FLAG)
    clinic.text(runtime, "+13125550198", "who is this?")
    settle_texts(runtime)
    keep(runtime, strangers=timedelta(days=30))
    clock.advance(days=60)
    assert delete_expired.run(runtime, clock()) == {}  # nobody has resolved it
    resolve_all(runtime)
    assert delete_expired.run(runtime, clock()) == {}  # resolved just now
    clock.advance(days=31)
    while delete_expired.run(runtime, clock()):
        pass
    assert clinic.rows(runtime, Reply) == [] and clinic.rows(runtime, Escalation) == []
    assert clinic.rows(runtime, EscalationEvent) == [] and clinic.rows(runtime, StoredAssessment) == []


def test_a_strangers_text_that_became_a_patients_stays(runtime: Runtime, clock: SetClock) -> None:
    reply = clinic.text(runtime, clinic.STRANGER, RED_FLAG)
    course = clinic.enroll(runtime)
    resolve_all(runtime)
    settle_texts(runtime)
    with session_on(runtime.engine) as session:
        row = session.exec(select(StoredAssessment).where(StoredAssessment.reply_id == reply.id)).one()
        row.patient_id = course.patient_id
        session.add(row)
        session.commit()
    keep(runtime, strangers=timedelta(days=30))
    clock.advance(days=90)
    while delete_expired.run(runtime, clock()):
        pass
    assert [row.id for row in clinic.rows(runtime, Reply)] == [reply.id]


def test_pages_go_after_their_escalation_and_an_opt_out_never(runtime: Runtime, clock: SetClock) -> None:
    clinic.member(runtime)
    clinic.enroll(runtime)
    clinic.text(runtime, clinic.ANA, RED_FLAG)
    assert clinic.sent_to(runtime, clinic.NURSE, "page")
    with session_on(runtime.engine) as session:
        session.add(PhoneState(phone=clinic.STRANGER, opted_out_at=clock()))
        session.commit()
    settle_texts(runtime)
    keep(runtime, pages=timedelta(days=30))
    clock.advance(days=60)
    assert delete_expired.run(runtime, clock()) == {}  # still open
    resolve_all(runtime)
    assert delete_expired.run(runtime, clock())["pages"] >= 1
    assert clinic.sent_to(runtime, clinic.NURSE, "page") == []
    assert [row.phone for row in clinic.rows(runtime, PhoneState) if row.opted_out_at] == [clinic.STRANGER]


def test_what_only_runs_the_service_is_forgotten_by_default(runtime: Runtime, clock: SetClock) -> None:
    now = clock()
    with session_on(runtime.engine) as session:
        for number in range(1203):
            session.add(SignInAttempt(subject=f"s{number}", at=now, good=False))
        session.add(Mark(name="tick:a_job_of_old", at=now))
        session.add(Mark(name="audit:head", at=now, detail={"number": 0, "seal": "0" * 64}))
        session.add(
            SimulatedText(
                carrier_sid="SM1",
                direction="in",
                phone=clinic.ANA,
                body="x",
                status="received",
                created_at=now,
            )
        )
        session.commit()
    assert delete_expired.run(runtime, clock()) == {}
    clock.advance(days=91)
    first = delete_expired.run(runtime, clock())
    assert first == {"sign_ins": 500, "heartbeats": 1, "carrier_log": 1}
    assert delete_expired.run(runtime, clock()) == {"sign_ins": 500}
    assert delete_expired.run(runtime, clock()) == {"sign_ins": 203}
    assert delete_expired.run(runtime, clock()) == {}
    assert [mark.name for mark in clinic.rows(runtime, Mark)] == ["audit:head"]
    kinds = [(row.subject_kind, row.detail) for row in audit_of(runtime, "delete by retention")]
    assert ("sign_ins", {"rows": 500}) in kinds and ("heartbeats", {"rows": 1}) in kinds


def test_a_text_that_comes_in_the_middle_keeps_the_patient(
    runtime: Runtime, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = finished_course(runtime, clock)
    keep(runtime, patients=YEARS)
    clock.now += 2 * YEARS
    real = retention._purge_patient

    def late(runtime: Runtime, patient_id: str, *rest: Any) -> bool:
        with session_on(runtime.engine) as session:
            inbox.receive(
                session,
                now=clock(),
                carrier_sid="SMlate",
                from_phone=clinic.ANA,
                to_phone=None,
                body=RED_FLAG,
            )
            reply = session.exec(select(Reply).where(Reply.carrier_sid == "SMlate")).one()
        inbox.triage_reply(runtime, reply.id, clock())
        return real(runtime, patient_id, *rest)

    monkeypatch.setattr(retention, "_purge_patient", late)
    assert delete_expired.run(runtime, clock()) == {}
    with reading(runtime.engine) as session:
        assert session.get(Patient, course.patient_id) is not None


def test_every_table_about_patients_is_followed(runtime: Runtime) -> None:
    """A table that refers to a patient, at however many removes, is part of the record."""
    about = {name for name, _ in record.conditions_of("x").items()}
    for table in metadata.sorted_tables:
        parents = {key.column.table.name for key in table.foreign_keys}
        assert (table.name in about) == bool(parents & about) or table.name == "patients", table.name


def test_preview_changes_nothing(runtime: Runtime, clock: SetClock) -> None:
    finished_course(runtime, clock)
    keep(runtime, patients=YEARS, strangers=YEARS, pages=YEARS, sign_ins=YEARS)
    clock.now += 2 * YEARS
    before = counted(runtime)
    assert {due.kind: due.count for due in retention.preview(runtime, clock())}["patients"] == 1
    assert counted(runtime) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_site_file_says_how_long_and_is_refused_when_too_short(kind: str) -> None:
    least = LEAST[kind].days
    site = parse_site(f'[retention]\n{kind} = "{least}d"\n', "site.toml")
    assert getattr(site.retention, kind) == timedelta(days=least)
    assert getattr(parse_site(f'[retention]\n{kind} = "keep"\n', "f").retention, kind) is None
    for wrong in (f'"{least * 24 - 1}h"', '"never"', "30", '""'):
        with pytest.raises(SiteError, match=r"f:2: \[retention\]"):
            parse_site(f"[retention]\n{kind} = {wrong}\n", "f")
    with pytest.raises(SiteError, match="unknown key 'audit'"):
        parse_site('[retention]\naudit = "2200d"\n', "f")


def test_labelled_cases_go_with_their_patient(runtime: Runtime, clock: SetClock) -> None:
    finished_course(runtime, clock)
    assert len(clinic.rows(runtime, LabelledCase)) == 1
    keep(runtime, patients=YEARS)
    clock.now += 2 * YEARS
    delete_expired.run(runtime, clock())
    assert clinic.rows(runtime, LabelledCase) == []
