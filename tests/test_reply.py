"""A patient's text as text: folding keeps offsets, our own words are blanked, keywords are whole texts
only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.reply import carrier_word, free_text_opt_out, normalise, reaction_to, strip_own_words


@given(st.text(max_size=300))
def test_folding_keeps_every_offset(text: str) -> None:
    assert len(normalise(text)) == len(text)


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=2))
def test_stripping_our_own_words_keeps_every_offset(text: str, own: list[str]) -> None:
    assert len(strip_own_words(text, tuple(own))) == len(text)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("CAN’T", "can't"),
        ("Escalofríos", "escalofrios"),
        ("ñandú", "nandu"),
        ("ｆｅｖｅｒ", "fever"),
        ("38–39", "38-39"),
    ],
)
def test_accents_capitals_and_typographic_marks_fold(text: str, folded: str) -> None:
    assert normalise(text) == folded


@pytest.mark.parametrize(
    "text",
    [
        "Liked “Any new numbness, tingling, weakness, fever or new pain? Reply YES or NO”",
        'Emphasized "Call 911 now if you cannot move your leg or have chest pain."',
        "Le gustó “¿Tiene fiebre, hormigueo o debilidad nueva?”",
        "> Any new numbness, tingling or weakness, fever or new pain?",
    ],
)
def test_our_own_quoted_symptoms_are_blanked(text: str) -> None:
    left = strip_own_words(text)
    assert "numb" not in left and "chest" not in left and "fiebre" not in left


def test_a_copy_of_a_check_in_is_blanked_and_the_answer_stays() -> None:
    own = "Aftercare Clinic: any new numbness or weakness in your legs today?"
    left = strip_own_words(f"{own} yes my foot is dead", (own,))
    assert "numbness" not in left
    assert left.endswith("yes my foot is dead")


def test_a_short_text_of_ours_is_not_searched_for_in_what_patients_write() -> None:
    assert strip_own_words("my leg is numb", ("numb",)) == "my leg is numb"


def test_a_reaction_is_told_by_its_word() -> None:
    assert reaction_to("Questioned “How is your pain 0-10?”") == "questioned"
    assert reaction_to("I liked the nurse") is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("STOP", "stop"),
        (" stop. ", "stop"),
        ("Unsubscribe", "stop"),
        ("QUIT", "stop"),
        ("baja", "stop"),
        ("No más", "stop"),
        ("START", "start"),
        ("alta", "start"),
        ("HELP!", "help"),
        ("Ayuda", "help"),
        ("YES", None),
        ("stop the bleeding", None),
        ("end of my rope", None),
        ("quit working", None),
        ("cancel the pain", None),
        ("", None),
    ],
)
def test_keywords_are_whole_texts_and_yes_is_not_start(text: str, word: str | None) -> None:
    assert carrier_word(text) == word


@pytest.mark.parametrize(
    "text",
    [
        "stop texting me",
        "please stop these messages",
        "don't text me any more",
        "do not send me any more texts",
        "take me off your list",
        "unsubscribe me",
        "ya no me manden mensajes",
        "dejen de escribirme",
        "no quiero recibir mas mensajes",
        "my foot is numb. also stop texting me",
    ],
)
def test_a_sentence_aimed_at_the_messages_opts_out(text: str) -> None:
    assert free_text_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "stop the bleeding how?",
        "cant stop peeing",
        "the bleeding wont stop",
        "should i stop taking the eliquis",
        "take me off the eliquis?",
        "my leg quit working",
        "cancel my appointment",
        "no puedo parar de vomitar",
        "end of my rope",
        "thanks for the messages",
    ],
)
def test_stopping_anything_else_is_not_an_opt_out(text: str) -> None:
    assert not free_text_opt_out(text)
