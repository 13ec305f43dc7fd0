"""What goes back to the person who wrote: 911 where it must be, one text, nothing that reassures."""

import re
from datetime import timedelta

import pytest

from messages.sms import segments
from service import answers
from service.runtime import Runtime
from tests.clinic import ANA, BEN, STRANGER, asked, bodies, enroll, sent_to, text

KEYS = (
    *answers.WEIGHT,
    "not_understood",
    "question_received",
    "thanks_routine",
    "blood_thinner_received",
    "other_person",
    "unknown_sender",
    "opt_out_confirmed",
    "start_received",
    "help",
)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("key", KEYS)
def test_every_answer_names_911_fits_two_segments_and_has_no_hole(
    runtime: Runtime, key: str, language: str
) -> None:
    body = answers.body_of(runtime, key, language)
    assert "911" in body and segments(body) <= 2 and "$" not in body


@pytest.mark.parametrize("key", [key for key in KEYS if "unknown_sender" in key])
def test_a_number_nobody_knows_is_named_no_clinic(runtime: Runtime, key: str) -> None:
    assert "Lakeside" not in answers.body_of(runtime, key, "en")


def test_no_answer_reassures_or_says_what_to_do_about_a_medicine(runtime: Runtime) -> None:
    wrong = re.compile(r"\b(normal|don't worry|nothing serious|take your|stop taking|skip)\b", re.IGNORECASE)
    for key in KEYS:
        assert not wrong.search(answers.body_of(runtime, key, "en")), key


@pytest.mark.parametrize(
    "body, part",
    [
        ("can i take a shower tonight?", "by the next business day"),
        ("my husband has chest pain", "911"),
        ("i want to die", "988"),
    ],
)
def test_the_answer_fits_what_was_written(runtime: Runtime, body: str, part: str) -> None:
    enroll(runtime, days=9)
    text(runtime, ANA, body)
    (sent,) = bodies(runtime, ANA)
    assert part in sent


def test_small_talk_gets_no_answer(runtime: Runtime) -> None:
    enrollment = enroll(runtime, days=9)
    asked(runtime, enrollment, "symptoms")
    for body in ("No", "doing fine thanks", "thank you"):
        text(runtime, ANA, body)
    assert sent_to(runtime, ANA) == []


def test_the_same_safety_answer_comes_again_after_the_short_window(runtime: Runtime, clock) -> None:
    enroll(runtime)
    for _ in range(3):
        text(runtime, ANA, "chest pain")
        clock.advance(minutes=2)
    assert len(sent_to(runtime, ANA)) == 1
    clock.advance(minutes=5)
    text(runtime, ANA, "chest pain")
    assert len(sent_to(runtime, ANA)) == 2


def test_crisis_words_are_answered_even_right_after_another_emergency(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "chest pain")
    text(runtime, ANA, "i want to kill myself")
    assert sum("988" in body for body in bodies(runtime, ANA)) == 1 and len(sent_to(runtime, ANA)) == 2


def test_a_less_serious_text_right_after_an_emergency_does_not_water_it_down(runtime: Runtime) -> None:
    enroll(runtime)
    text(runtime, ANA, "chest pain")
    text(runtime, ANA, "temp is 101.5")
    assert len(sent_to(runtime, ANA)) == 1


def test_two_who_write_at_once_are_both_answered(runtime: Runtime) -> None:
    enroll(runtime)
    enroll(runtime, BEN, "Ben Roe")
    for phone in (ANA, BEN, STRANGER):
        text(runtime, phone, "chest pain")
        assert len(sent_to(runtime, phone)) == 1


def test_a_safety_answer_goes_at_once_and_has_its_escalation(runtime: Runtime, clock) -> None:
    enroll(runtime)
    text(runtime, ANA, "chest pain")
    (answer,) = sent_to(runtime, ANA)
    assert (answer.priority, answer.due_at) == (0, clock()) and answer.escalation_id and answer.reply_id
    assert answer.expires_at - answer.due_at == timedelta(hours=2)


def test_an_opted_out_phone_gets_nothing_but_safety(runtime: Runtime) -> None:
    enroll(runtime, days=9)
    text(runtime, ANA, "STOP")
    text(runtime, ANA, "can i shower?")
    assert sent_to(runtime, ANA) == []
