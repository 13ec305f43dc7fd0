"""Triage reads what patients write: who, when, denied or not; answers against the question; never raising."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.triage import Context, assess, read_rules
from messages.triage.assess import Heard, combine
from messages.triage.assessment import RuleReading
from messages.triage.clauses import without_courtesy
from messages.urgency import Urgency

NONE, ROUTINE, URGENT, EMERGENCY = Urgency.NONE, Urgency.ROUTINE, Urgency.URGENT, Urgency.EMERGENCY


def statuses(text: str, asked: str | None = None) -> dict[str, str]:
    reading = read_rules(text, asked)
    return {finding.concept: finding.status for finding in (*reading.findings, *reading.unsure)}


@pytest.mark.parametrize(
    ("text", "asked", "urgency"),
    [
        ("my left leg is numb", None, URGENT),
        ("I cant move my legs", "symptoms", EMERGENCY),
        ("numb between my legs", None, EMERGENCY),
        ("cant pee since this morning", None, EMERGENCY),
        ("wet myself twice and didnt know", None, EMERGENCY),
        ("chest is tight", None, EMERGENCY),
        ("cant catch my breath", "general", EMERGENCY),
        ("coughing up blood", None, EMERGENCY),
        ("passed out in the kitchen", None, EMERGENCY),
        ("one side of her face is drooping", None, EMERGENCY),
        ("my throat is closing", None, EMERGENCY),
        ("the bleeding wont stop", "bandage", EMERGENCY),
        ("i dont want to live anymore", "pain", EMERGENCY),
        ("fever of 101.5", None, URGENT),
        ("38,6", "general", URGENT),
        ("pus coming out of the hole", "bandage", URGENT),
        ("hives all over my belly", None, URGENT),
        ("my right calf is swollen and sore", None, URGENT),
        ("i fell in the shower", None, URGENT),
        ("threw up 5 times since lunch", None, URGENT),
        ("took 2 eliquis by mistake", "blood_thinner", URGENT),
        ("no puedo orinar", None, EMERGENCY),
        ("no siento el pie", "symptoms", URGENT),
        ("me duele el pecho", None, EMERGENCY),
        ("no puedo mover la pierna", None, EMERGENCY),
        ("tengo calentura de 39", None, URGENT),
    ],
)
def test_a_red_flag_said_plainly_reaches_its_urgency(text: str, asked: str | None, urgency: Urgency) -> None:
    assert assess(text, asked).urgency >= urgency


@pytest.mark.parametrize(
    ("text", "asked", "urgency"),
    [
        ("NO", "symptoms", NONE),
        ("no and no and no", "symptoms", NONE),
        ("YES", "symptoms", URGENT),
        ("sí", "symptoms", URGENT),
        ("Y", "bandage", NONE),
        ("N", "bandage", ROUTINE),
        ("no i didnt", "blood_thinner", ROUTINE),
        ("yes", "blood_thinner", NONE),
        ("0", "pain", NONE),
        ("4", "pain", NONE),
        ("6", "pain", ROUTINE),
        ("8", "pain", URGENT),
        ("nueve", "pain", URGENT),
        ("down to a four", "pain", NONE),
        ("temp 98.6", "symptoms", NONE),
        ("ok 👍", None, NONE),
        ("thank you", None, NONE),
        ("gracias", None, NONE),
        ("No fever no numbness no tingling", "symptoms", NONE),
        ("when can i shower", None, ROUTINE),
        ("need a refill", None, ROUTINE),
        ("asdf qwer zxcv", None, ROUTINE),
        ("", None, ROUTINE),
        ("?", None, ROUTINE),
    ],
)
def test_answers_and_small_talk_get_exactly_what_the_guide_says(
    text: str, asked: str | None, urgency: Urgency
) -> None:
    assert assess(text, asked).urgency is urgency


@pytest.mark.parametrize(
    ("text", "concept", "status"),
    [
        ("no numbness in my legs", "numbness", "denied"),
        ("no fever, chills or rash", "chills", "denied"),
        ("fever? nope", "fever", "denied"),
        ("No tengo fiebre ni hormigueo", "tingling", "denied"),
        ("my neighbor has numbness in her foot", "numbness", "other_person"),
        ("if my leg goes numb who do i call?", "numbness", "hypothetical"),
        ("the tingling in my leg went away", "tingling", "resolved"),
        ("same tingling in my feet as always", "tingling", "baseline"),
    ],
)
def test_a_symptom_that_is_not_the_patients_now_is_told_apart(text: str, concept: str, status: str) -> None:
    assert statuses(text)[concept] == status
    assert read_rules(text).urgency < URGENT  # the learned reader may still raise it


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("no numbness but my leg is tingling", URGENT),
        ("not numb just cant move my foot", EMERGENCY),
        ("no fever no chest pain, just peed myself", EMERGENCY),
        ("no longer able to hold my urine", EMERGENCY),
        ("no feeling in my big toe", URGENT),
        ("No numbness no fever. But my chest has been hurting since 4 am", EMERGENCY),
        ("no tengo fiebre ni hormigueo pero me aprieta el pecho", EMERGENCY),
    ],
)
def test_a_denial_ends_where_it_ends(text: str, urgency: Urgency) -> None:
    assert assess(text, "symptoms").urgency >= urgency


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7/10", "score", 7),
        ("7-8", "score", 8),
        ("a 3ish", "score", 3),
        ("11/10", "score", 10),
        ("six", "score", 6),
        ("siete", "score", 7),
        ("sorry i meant 1", "score", 1),
        ("was a 9 before, now a 1", "score", 1),
        ("ayer 4 y hoy 6", "score", 6),
        ("none", "score", 0),
    ],
)
def test_scores_are_read_in_digits_words_ranges_and_corrections(text: str, kind: str, value: float) -> None:
    answer = assess(text, "pain").answer
    assert answer is not None and (answer.kind, answer.value) == (kind, value)


@pytest.mark.parametrize("text", ["2 pills at 9", "room 9", "slept 9 hours", "9am appointment", "20"])
def test_doses_hours_and_rooms_are_not_scores(text: str) -> None:
    answer = assess(text, "pain").answer
    assert answer is None or answer.kind != "score"


@pytest.mark.parametrize(
    ("text", "feverish"),
    [
        ("101.3", True),
        ("100.4", True),
        ("38.6", True),
        ("temp is 1008", True),
        ("temp was one hundred point eight", True),
        ("100.3", False),
        ("37.9", False),
        ("bp 128/74", False),
        ("it was 101 outside today", False),
        ("set the oven to 350", False),
        ("room 102", False),
    ],
)
def test_fever_begins_at_the_lowest_published_threshold(text: str, feverish: bool) -> None:
    assert ("fever" in statuses(text, "general")) is feverish


@given(
    st.text(max_size=400),
    st.sampled_from([None, "pain", "symptoms", "bandage", "blood_thinner", "general", "other"]),
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_assessed_and_its_words_stand_where_they_say(text: str, asked: str | None) -> None:
    assessment = assess(text, asked)
    for finding in assessment.findings:
        assert text[finding.start : finding.end] == finding.words
    if assessment.urgency is NONE:
        assert assessment.understood


@given(
    st.lists(
        st.sampled_from("no leg numb cant feel , . but my 9 to 101.2 pain blood towel wont stop".split())
    )
)
@settings(max_examples=80, deadline=None)
def test_words_of_the_catalogue_in_any_order_are_assessed(words: list[str]) -> None:
    assess(" ".join(words)[:1600], "symptoms")


@pytest.mark.parametrize(
    "piece",
    ["leg ", "cant feel my leg ", "9 ", "from 3 to 9 ", "blood towel ", "liked “", "no numb ", "\n", "é"],
)
def test_time_grows_with_length_not_with_its_square(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        best = 1e9
        for _ in range(3):
            start = time.thread_time()  # its own work, whatever else runs here
            read_rules(text, "pain")
            best = min(best, time.thread_time() - start)
        return best

    seconds(1600)
    assert seconds(1600) < 16 * seconds(200) + 0.01


VARIED = [
    ("my left leg is numb", "symptoms", URGENT),
    ("chest is tight", None, EMERGENCY),
    ("cant pee since this morning", "general", EMERGENCY),
    ("the bleeding wont stop", "bandage", EMERGENCY),
    ("i want to kill myself", None, EMERGENCY),
    ("fever of 101.5", None, URGENT),
    ("no siento el pie", "symptoms", URGENT),
    ("me aprieta el pecho", None, EMERGENCY),
    ("my throat is closing", None, EMERGENCY),
    ("cant move my legs", "symptoms", EMERGENCY),
]
CHANGES = {
    "capitals": str.upper,
    "greeting": lambda text: "Good morning nurse. " + text,
    "signature": lambda text: text + ". Bob",
    "please": lambda text: text + " pls",
    "exclamation": lambda text: text + "!!!",
    "right": lambda text: text.replace("left", "right"),
    "spaces": lambda text: "  " + text.replace(" ", "   "),
    "emoji": lambda text: text + " 😭",
    "curly": lambda text: text.replace("cant", "can’t").replace("wont", "won’t"),
    "split": lambda text: text.replace("cant", "can not"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("text", "asked", "urgency"), VARIED)
def test_how_a_red_flag_is_typed_never_lowers_it(
    change: str, text: str, asked: str | None, urgency: Urgency
) -> None:
    assert assess(CHANGES[change](text), asked).urgency >= urgency


@given(
    st.sampled_from(
        ["my left leg is numb", "fever of 101.5", "was numb last night, ok now", "6", "4", "no", "ok"]
    ),
    st.one_of(st.none(), st.integers(0, 90)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.integers(0, 10)),
)
def test_what_the_service_knows_only_raises(
    text: str, day: int | None, thinner: bool | None, last: int | None
) -> None:
    context = Context(day=day, on_blood_thinner=thinner, last_pain=last)
    assert assess(text, "pain", None, context).urgency >= assess(text, "pain").urgency


def test_early_numbness_on_a_blood_thinner_is_an_emergency() -> None:
    assert assess("my foot is numb", None, None, Context(day=3, on_blood_thinner=True)).urgency is EMERGENCY


def test_pain_two_points_above_the_last_score_is_urgent() -> None:
    assert assess("6", "pain", None, Context(last_pain=3)).urgency is URGENT


def test_a_deficit_that_passed_in_the_first_week_is_urgent() -> None:
    text = "my leg was numb last night, all gone now"
    assert assess(text).urgency is ROUTINE
    assert assess(text, None, None, Context(day=4)).urgency is URGENT


def test_the_reader_raises_and_never_lowers_what_a_rule_found() -> None:
    rules = read_rules("i cant move my legs")
    assert combine(rules, Heard(NONE, True, harmless=True)).urgency is EMERGENCY
    quiet = RuleReading(ROUTINE, False, (), None)
    assert combine(quiet, Heard(EMERGENCY, False)).urgency is EMERGENCY
    assert combine(quiet, Heard(NONE, True)).urgency is NONE
    assert combine(RuleReading(ROUTINE, True, (), None), Heard(NONE, True)).urgency is ROUTINE


def test_a_reaction_to_our_own_words_is_not_a_symptom() -> None:
    liked = "Liked “Any new numbness, tingling, weakness, fever or new pain? Reply YES or NO”"
    assert assess(liked, "symptoms").urgency is ROUTINE
    assert assess("Liked “Keep the bandage on and dry.”", "general").urgency is NONE


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("a limb knocked me out cold in 1978 and i finished the day", ROUTINE),
        ("fell overboard in 79, couldnt feel a thing from the chin down", ROUTINE),
        ("mi hermano murió tosiendo sangre allá por 1951", ROUTINE),
        ("i fell in 1999 and again this morning", URGENT),
        ("fainted in 1978 and today too", EMERGENCY),
    ],
)
def test_a_year_tells_the_past_and_this_morning_does_not(text: str, least: Urgency) -> None:
    assert read_rules(text).urgency is least


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("la presión me salió 20/12", URGENT),
        ("tension 21/11", URGENT),
        ("la tension 12/8", ROUTINE),
        ("me dieron cita el 20/12", ROUTINE),
    ],
)
def test_pressure_told_in_centimetres_is_read_beside_its_word_only(text: str, urgency: Urgency) -> None:
    assert read_rules(text).urgency is urgency


def test_words_that_meet_only_where_a_courtesy_was_say_nothing() -> None:
    text = "Every second takes me closer to being at your side. Happy New Year, my love!! Thanks"
    assert read_rules(without_courtesy(text)).urgency is URGENT, "side, Happy New: joined by the comma"
    assert assess(text).urgency < URGENT
