"""Filling texts: nothing unknown, missing or empty; every standard text read for what it may say."""

import re
from datetime import date

import pytest

from messages.site import DEFAULT_SITE
from messages.sms import GSM_7, encoding, segments
from messages.urgency import Urgency
from messages.wording import (
    WordingError,
    day_to_read,
    phone_to_read,
    placeholders,
    render,
    site_values,
    standard_keys,
    standard_text,
)

LANGUAGES = ("en", "es")
VALUES = {
    "clinic": "Saint Bartholomew Spine Center",
    "phone": "(555) 555-0100 ext 12",
    "code": "K7Q4",
    "urgency": "EMERGENCY",
    "link": "https://aftercare.saint-bartholomew.example/e/3f9a2c71",
    "name": "Dr. Maximiliana Fernandez",
    "count": 12,
    "bandage_hours": 48,
}
PIECES = ("safety_line", "site_", "urgency_")
PAGES = (
    "page",
    "page_again",
    "page_everyone",
    "page_acknowledged",
    "page_code_wrong",
    "page_too_late",
    "page_moved",
    "digest_task",
)
NEEDED = (
    "safety_emergency safety_urgent safety_suicidal safety_unknown_sender safety_unknown_language "
    "not_understood media_received thanks_routine question_received opt_out_confirmed help "
    "start_received ask_present other_person who_is_this safety_emergency_caregiver "
    "safety_urgent_caregiver unknown_sender blood_thinner_received "
).split()
REASSURING = re.compile(
    r"\b(normal|don'?t worry|do not worry|nothing to worry|no worries|you are fine|all good|harmless|"
    r"no se preocupe|no es nada|esta bien|está bien)\b",
    re.IGNORECASE,
)


def patient_keys() -> list[str]:
    return [key for key in standard_keys() if not key.startswith(PIECES) and key not in PAGES]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Call $phne", "unknown placeholder $phne; known are: clinic, phone"),
        ("Costs $ 5", "a lone $"),
        ("Call $clinic", "nothing to put in place of $clinic"),
    ],
)
def test_a_text_with_a_hole_is_refused(text: str, reason: str) -> None:
    with pytest.raises(WordingError, match=re.escape(reason)):
        render(text, {"phone": "1", "clinic": "  "})


def test_what_is_filled_in_is_never_filled_again() -> None:
    assert render("Hello $clinic", {"clinic": "$phone Clinic", "phone": "1"}) == "Hello $phone Clinic"
    assert render("$$5", {}) == "$5"


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(WordingError, match="no standard text 'saftey'"):
        standard_text("saftey", "en")


def test_a_missing_value_is_refused_rather_than_left_open() -> None:
    with pytest.raises(WordingError, match=r"\$phone"):
        standard_text("safety_urgent", "en", clinic="Clinic")


def test_an_unknown_language_gets_english() -> None:
    assert standard_text("safety_unknown_sender", "fr") == standard_text("safety_unknown_sender", "en")


@pytest.mark.parametrize("key", standard_keys())
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_standard_text_fits_two_segments_in_the_short_alphabet(key: str, language: str) -> None:
    text = standard_text(key, language, **VALUES)
    assert encoding(text) == GSM_7
    assert 1 <= segments(text) <= 2
    assert "$" not in text


@pytest.mark.parametrize("key", standard_keys())
def test_both_languages_of_a_text_say_the_same_things(key: str) -> None:
    assert placeholders(key, "en") == placeholders(key, "es")
    if key != "safety_unknown_language":
        assert standard_text(key, "en", **VALUES) != standard_text(key, "es", **VALUES)
    for number in ("911", "988", "STOP"):
        assert (number in standard_text(key, "en", **VALUES)) == (
            number in standard_text(key, "es", **VALUES)
        )


@pytest.mark.parametrize("key", NEEDED)
def test_every_answer_the_service_gives_is_there(key: str) -> None:
    assert key in standard_keys()


@pytest.mark.parametrize("key", patient_keys())
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_to_a_patient_names_911_and_reassures_nobody(key: str, language: str) -> None:
    text = standard_text(key, language, **VALUES)
    assert "911" in text
    assert not REASSURING.search(text)


def test_the_emergency_answer_says_911_first_and_the_clinic_last() -> None:
    text = standard_text("safety_emergency", "en", clinic="Sample Clinic", phone="1")
    assert text == "Call 911 now. Do not wait for us. Sample Clinic is being told."


def test_a_number_nobody_knows_learns_no_clinic() -> None:
    for key in (
        "safety_unknown_sender",
        "unknown_sender",
        "unknown_sender_urgent",
        "crisis_unknown_sender",
        "who_is_this",
    ):
        for language in LANGUAGES:
            assert "clinic" not in placeholders(key, language)


def test_thoughts_of_suicide_get_988_before_anything_else() -> None:
    for language in LANGUAGES:
        text = standard_text("safety_suicidal", language, **VALUES)
        assert text.index("988") < text.index("911")


@pytest.mark.parametrize("key", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_carries_no_detail_of_a_patient(key: str, language: str) -> None:
    allowed = {"code", "urgency", "link", "name", "count"}  # name: the colleague or the team who has it
    assert placeholders(key, language) <= allowed
    assert ("name" in placeholders(key, language)) == (key in ("page_too_late", "page_moved"))


def test_every_urgency_that_pages_has_its_word() -> None:
    for urgency in (Urgency.EMERGENCY, Urgency.URGENT, Urgency.ROUTINE):
        assert standard_text(f"urgency_{urgency}", "es")


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("+13125550123", "312-555-0123"),
        ("(312) 555-0123", "(312) 555-0123"),
        ("+442071234567", "+442071234567"),
    ],
)
def test_a_phone_number_reads_as_people_dial_it(stored: str, read: str) -> None:
    assert phone_to_read(stored) == read
    assert read in standard_text("help", "en", clinic="C", phone=stored)


def test_a_date_cannot_be_misread() -> None:
    assert day_to_read(date(2027, 4, 3), "en") == "Apr 3"
    assert day_to_read(date(2027, 4, 3), "es") == "3 de abr"


def test_site_choices_become_sentences_and_numbers_numbers() -> None:
    values = site_values(DEFAULT_SITE, "en")
    assert values["lifting_weeks"] == "6"
    assert values["shower"] == "Showers are OK."
    assert "visit" not in values
    assert site_values(DEFAULT_SITE, "es", date(2027, 4, 3))["visit"] == "3 de abr"
