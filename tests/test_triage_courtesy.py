"""A thank-you, a greeting or "call me" never quietens what was said with it."""

import json
from pathlib import Path

import pytest

from messages.triage import assess
from messages.triage.clauses import without_courtesy
from messages.urgency import Urgency

FLAGS = Path(__file__).parent / "bank" / "redflags.json"


@pytest.mark.parametrize("tail", [", thanks", ", call me please", ". ok bye"])
def test_every_red_flag_reaches_with_a_courtesy_what_it_reaches_alone(tail: str) -> None:
    tried = 0
    for flag in json.loads(FLAGS.read_text("utf-8")):
        if flag["tier"] == "ROUTINE":
            continue
        for language in ("en", "es"):
            for phrase in flag[language]:
                if assess(phrase, None, language).urgency >= Urgency.URGENT:
                    tried += 1
                    assert assess(phrase + tail, None, language).urgency >= Urgency.URGENT, phrase + tail
    assert tried > 600


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("cant walk, thanks", "cant walk"),
        ("hi there! my leg is numb. call me please", "my leg is numb"),
        ("thanks", "thanks"),
        ("call me", "call me"),
        ("thank you " * 200 + "x", "thank you " * 200 + "x"),
    ],
)
def test_courtesies_are_taken_out_unless_nothing_else_was_said(text: str, bare: str) -> None:
    assert without_courtesy(text) == bare


def test_the_words_found_are_where_the_patient_wrote_them() -> None:
    for text in ("collapsed, thanks", "hello, im paralized, bye", "gracias, me duele el pecho"):
        assessment = assess(text)
        assert assessment.findings
        for finding in assessment.findings:
            assert text[finding.start : finding.end] == finding.words


@pytest.mark.parametrize(
    "text", ["no numbness or tingling", "no fever chills or rash", "No fever, no chest pain"]
)
def test_an_unprompted_list_of_denials_needs_nobody(text: str) -> None:
    assert assess(text).urgency is Urgency.NONE
    assert assess(f"{text} but my leg drags").urgency >= Urgency.URGENT
