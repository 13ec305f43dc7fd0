"""A text that should not be here loses its words everywhere; what was done about it stays."""

import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select as select_columns
from sqlmodel import Session

from jobs import redact_at_carrier
from service import escalations, legal_holds, member_texts, redacted_words, redactions
from service.db import reading, session_on
from service.models import (
    AuditEvent,
    CarrierRedaction,
    Enrollment,
    IdempotencyKey,
    OutboundMessage,
    Redaction,
    Reply,
    metadata,
)
from service.redacted_words import MARKER
from service.runtime import Runtime
from tests import clinic
from tests.conftest import SetClock

WORDS = "my left foot is numb and quixotic since tonight"
OTHER = "my chest hurts when I breathe"


def everywhere(runtime: Runtime) -> str:
    """Every value of every table, as one text."""
    with reading(runtime.engine) as session:
        return json.dumps(
            [
                [list(row) for row in session.execute(select_columns(table))]
                for table in metadata.sorted_tables
                if table.name != "simulated_texts"  # the carrier's own
            ],
            default=str,
        ).lower()


def redact(runtime: Runtime, reply: Reply, why: str = "wrong_person", **values: Any) -> Redaction:
    def act(session: Session, **given: Any) -> Redaction:
        return redactions.redact_reply(session, runtime, **given)

    return clinic.in_session(runtime, act, reply_id=reply.id, why=why, actor="kim", **values)


def noted(runtime: Runtime, text: str) -> None:
    """The team writes on every unresolved escalation."""
    for row in clinic.escalations_of(runtime):
        clinic.in_session(runtime, escalations.note, escalation_id=row.id, actor="kim", text=text)


def test_a_redacted_reply_is_nowhere_and_what_was_done_stays(runtime: Runtime, clock: SetClock) -> None:
    course = clinic.enroll(runtime)
    clinic.asked(runtime, course, "symptoms")
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    row = clinic.the_escalation(runtime, patient_id=course.patient_id)
    noted(runtime, f"She wrote: {WORDS.upper()}. Called her, numb since 20:00.")
    with session_on(runtime.engine) as session:
        session.add(
            IdempotencyKey(
                token_id="t", key="k", request_hash="h", status_code=200, created_at=clock(),
                body=json.dumps({"id": row.id, "reply": {"id": reply.id, "body": WORDS}}),
            )
        )  # fmt: skip
        session.commit()
    assert everywhere(runtime).count("quixotic") >= 3
    redact(runtime, reply)
    left = everywhere(runtime)
    assert "quixotic" not in left and "foot is numb" not in left
    kept = clinic.rows(runtime, Reply)[0]
    assert (kept.body, kept.urgency, kept.received_at) == (MARKER, reply.urgency, reply.received_at)
    (assessment,) = clinic.assessments(runtime, kept)
    assert assessment.urgency == reply.urgency and assessment.findings
    for finding in (*assessment.findings, *clinic.the_escalation(runtime).findings):
        assert finding["words"] == MARKER and finding["concept"] and finding["rule"]
        assert finding["start"] == finding["end"] == 0
    assert "called her, numb since 20:00" in left  # what the team wrote of its own stays
    said = clinic.rows(runtime, AuditEvent, AuditEvent.action == "redact text")
    assert [(one.actor, one.subject_id, one.detail) for one in said] == [
        ("kim", course.patient_id, {"reply": reply.id, "why": "wrong_person"})
    ]
    (key,) = clinic.rows(runtime, IdempotencyKey)
    assert json.loads(key.body)["reply"]["body"] == MARKER


def test_redacting_again_changes_nothing(runtime: Runtime) -> None:
    clinic.enroll(runtime)
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    first = redact(runtime, reply)
    assert redact(runtime, reply, "other").id == first.id
    assert len(clinic.rows(runtime, AuditEvent, AuditEvent.action == "redact text")) == 1


def test_another_text_of_the_same_patient_keeps_its_words(runtime: Runtime, clock: SetClock) -> None:
    clinic.enroll(runtime)
    stays = clinic.text(runtime, clinic.ANA, OTHER)
    clock.advance(minutes=3)
    goes = clinic.text(runtime, clinic.ANA, WORDS)
    redact(runtime, goes)
    (assessment,) = clinic.assessments(runtime, stays)
    assert all(MARKER not in finding["words"] for finding in assessment.findings)
    words = [finding["words"] for finding in clinic.the_escalation(runtime).findings]
    assert MARKER in words and any(word in OTHER for word in words)


def test_texts_that_were_read_together_lose_the_words_of_the_redacted_one(
    runtime: Runtime, clock: SetClock
) -> None:
    clinic.enroll(runtime)
    first = clinic.text(runtime, clinic.ANA, "my left foot xylograph")
    clock.advance(seconds=5)
    second = clinic.text(runtime, clinic.ANA, "is numb and I can not feel it")
    redact(runtime, first)
    redact(runtime, second)
    assert "xylograph" not in everywhere(runtime) and "can not feel" not in everywhere(runtime)


def test_a_score_of_somebody_else_leaves_the_plot(runtime: Runtime) -> None:
    course = clinic.enroll(runtime)
    item = clinic.asked(runtime, course, "pain")
    reply = clinic.text(runtime, clinic.ANA, "9")
    assert clinic.assessments(runtime, reply)[0].answer == {"kind": "score", "value": 9.0}
    redact(runtime, reply)
    assert clinic.assessments(runtime, reply)[0].answer is None
    (after,) = [one for one in clinic.rows(runtime, type(item)) if one.id == item.id]
    assert after.answer is None and after.status == "answered"


def test_a_rise_is_not_measured_from_a_redacted_score(runtime: Runtime, clock: SetClock) -> None:
    course = clinic.enroll(runtime)
    for score in ("2", "9"):
        clinic.asked(runtime, course, "pain")
        reply = clinic.text(runtime, clinic.ANA, score)
        assert clinic.rows(runtime, Enrollment)[0].last_score == float(score)
        clock.advance(hours=3)
    redact(runtime, reply)
    assert clinic.rows(runtime, Enrollment)[0].last_score == 2.0


def test_a_score_that_is_triaged_while_another_is_redacted_stays_the_last_one(
    runtime: Runtime, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = clinic.enroll(runtime)
    clinic.asked(runtime, course, "pain", timedelta(hours=3))
    goes = clinic.text(runtime, clinic.ANA, "2")
    clock.advance(hours=2)
    clinic.asked(runtime, course, "pain")
    later: list[Future[Reply]] = []

    def then_another(session: Session, *given: Any) -> None:
        score_before(session, *given)
        later.append(pool.submit(clinic.text, runtime, clinic.ANA, "6"))
        wait(later, timeout=2)  # it waits for us, or overtakes us

    score_before = redacted_words._score_before
    monkeypatch.setattr(redacted_words, "_score_before", then_another)
    with ThreadPoolExecutor(1) as pool:
        redact(runtime, goes)
        later[0].result(timeout=20)
    assert clinic.rows(runtime, Enrollment)[0].last_score == 6.0


def test_both_patients_of_a_shared_phone_lose_it(runtime: Runtime) -> None:
    clinic.enroll(runtime, name="Ana Doe")
    clinic.enroll(runtime, name="Eva Doe")
    redact(runtime, clinic.text(runtime, clinic.ANA, WORDS))
    assert "quixotic" not in everywhere(runtime)


def test_a_strangers_text_can_be_redacted(runtime: Runtime) -> None:
    reply = clinic.text(runtime, clinic.STRANGER, WORDS)
    redact(runtime, reply)
    assert "quixotic" not in everywhere(runtime)
    (said,) = clinic.rows(runtime, AuditEvent, AuditEvent.action == "redact text")
    assert (said.subject_kind, said.subject_id) == ("reply", reply.id)


def test_a_text_nobody_has_read_must_reach_a_person_first(runtime: Runtime, clock: SetClock) -> None:
    with session_on(runtime.engine) as session:
        reply = Reply(
            carrier_sid="SMx", from_phone=clinic.ANA, body=WORDS, received_at=clock(), stored_at=clock()
        )
        session.add(reply)
        session.commit()
    with pytest.raises(redactions.RedactionRefused):
        redact(runtime, reply)
    assert clinic.rows(runtime, Reply)[0].body == WORDS


def test_a_legal_hold_forbids_it(runtime: Runtime) -> None:
    course = clinic.enroll(runtime)
    reply = clinic.text(runtime, clinic.ANA, WORDS)
    sent = own_text(runtime, course.patient_id)
    clinic.in_session(
        runtime, legal_holds.set_hold, patient_id=course.patient_id, reason="claim", actor="kim"
    )
    with pytest.raises(redactions.RedactionRefused):
        redact(runtime, reply)
    with pytest.raises(redactions.RedactionRefused):
        redact_own(runtime, sent)
    assert "quixotic" in everywhere(runtime) and "waterlily" in everywhere(runtime)


@pytest.mark.parametrize("why", ["", "because", "WRONG_PERSON"])
def test_the_reason_is_one_of_the_list(runtime: Runtime, why: str) -> None:
    clinic.enroll(runtime)
    with pytest.raises(ValueError):
        redact(runtime, clinic.text(runtime, clinic.ANA, WORDS), why)


def own_text(runtime: Runtime, patient_id: str, status: str = "delivered") -> OutboundMessage:
    sent = clinic.in_session(
        runtime, member_texts.send_text, patient_id=patient_id, body="Dear waterlily, come at nine",
        author="kim", key="1",
    )  # fmt: skip
    with session_on(runtime.engine) as session:
        row = session.get_one(OutboundMessage, sent.id)
        row.status, row.carrier_sid, row.accepted_at = status, "SM77", runtime.clock()
        session.add(row)
        session.commit()
        return row


def redact_own(runtime: Runtime, sent: OutboundMessage) -> Redaction:
    def act(session: Session, **given: Any) -> Redaction:
        return redactions.redact_message(session, runtime, **given)

    return clinic.in_session(runtime, act, message_id=sent.id, why="wrong_number", actor="kim")


def test_our_own_text_to_the_wrong_person_is_redacted(runtime: Runtime) -> None:
    course = clinic.enroll(runtime)
    clinic.text(runtime, clinic.ANA, WORDS)
    sent = own_text(runtime, course.patient_id)
    noted(runtime, "I sent dear  WATERLILY, come at nine by mistake")
    redact_own(runtime, sent)
    left = everywhere(runtime)
    assert "waterlily" not in left and "by mistake" in left and "quixotic" in left
    (row,) = clinic.rows(runtime, OutboundMessage, OutboundMessage.id == sent.id)
    assert (row.body, row.status, row.author) == (MARKER, "delivered", "kim")


@pytest.mark.parametrize("status", ["planned", "claimed", "unknown"])
def test_a_text_on_its_way_keeps_its_words(runtime: Runtime, status: str) -> None:
    course = clinic.enroll(runtime)
    sent = own_text(runtime, course.patient_id, status)
    with pytest.raises(redactions.RedactionRefused):
        redact_own(runtime, sent)
    assert clinic.rows(runtime, OutboundMessage, OutboundMessage.id == sent.id)[0].body.startswith("Dear")


def test_the_carrier_is_not_asked_unless_the_setting_says_so(runtime: Runtime) -> None:
    clinic.enroll(runtime)
    redact(runtime, clinic.text(runtime, clinic.ANA, WORDS))
    assert clinic.rows(runtime, CarrierRedaction) == []
    assert redact_at_carrier.run(runtime, runtime.clock() + timedelta(days=400)) == {}
