"""The two protocols as patients get them: every row of the clinical timetable, and every text read for what
it must and must not say."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from messages.check_in import LANGUAGES, CheckIn, by_key
from messages.protocol import Protocol, load, reminder_of, text_of
from messages.protocol_rules import LONG_CLINIC, LONG_PHONE, day_of
from messages.site import DEFAULT_SITE, Site
from messages.site_file import CHOICES
from messages.sms import GSM_7, encoding, segments
from messages.wording import standard_keys, standard_text

PROTOCOLS = load((), DEFAULT_SITE)
LONG = replace(DEFAULT_SITE, clinic_name=LONG_CLINIC, clinic_phone=LONG_PHONE)
VISIT = date(2027, 12, 28)
BOTH = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
IN_BOTH_LANGUAGES = pytest.mark.parametrize("language", LANGUAGES)

REASSURING = re.compile(
    r"\b(normal|don'?t worry|do not worry|nothing to worry|no worries|you are fine|harmless|to be expected|"
    r"no se preocupe|no es nada|esta bien|es de esperar)\b",
    re.IGNORECASE,
)
INSTRUCTING = re.compile(
    r"\b(take|stop|start|skip|hold|resume|double|continue) (your|the|a|any) blood thinner|"
    r"\b(tome|deje|suspenda|empiece|reanude|siga con|salte) (su|el|un) anticoagulante",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(
    r"vertebroplast|kyphoplast|cifoplast|cement|fractur|eliquis|warfarin|xarelto|plavix", re.IGNORECASE
)
RED_FLAGS = {
    "en": ("numb", "tingl", "weak", "fever", "new", "pain"),
    "es": ("adormec", "hormigueo", "debilidad", "fiebre", "nuevo", "dolor"),
}


def texts(protocol: Protocol, language: str, site: Site = LONG) -> Iterator[tuple[CheckIn, str]]:
    """Every text a patient can get, reminders too, as it is sent."""
    for check_in in protocol.check_ins:
        yield check_in, text_of(check_in, language, site, VISIT)
        if check_in.reminder_texts is not None:
            yield check_in, reminder_of(check_in, language, site)


def on_day(protocol: Protocol, day: int) -> list[CheckIn]:
    known = by_key(protocol.check_ins)
    return [check_in for check_in in protocol.check_ins if day_of(check_in, known) == day]


def said(protocol: Protocol, language: str, *keys: str) -> str:
    return " ".join(text_of(protocol.check_in(key), language, DEFAULT_SITE) for key in keys).lower()


# --- Every row of the timetable -------------------------------------------------------------------

ROWS = {
    0: ["symptoms"],
    1: ["symptoms", "pain", "blood_thinner", "bandage"],
    2: ["symptoms", "pain", "blood_thinner"],
    3: ["symptoms", "pain", "blood_thinner"],
    7: ["symptoms", "pain", "follow_up"],
    14: ["symptoms", "pain"],
    28: ["symptoms", "pain", "change"],
    42: ["symptoms", "pain", "general"],
    90: ["symptoms"],
}


@pytest.mark.parametrize(("name", "watched"), [("vertebroplasty", 5), ("kyphoplasty", 4)])
def test_every_row_of_the_timetable_is_there_and_no_other_day(name: str, watched: int) -> None:
    protocol = PROTOCOLS[name]
    rows = {**ROWS, watched: ["symptoms"]}
    for day, asked in rows.items():
        assert [each.asks for each in on_day(protocol, day) if each.asks] == asked, day
    known = by_key(protocol.check_ins)
    days = {day_of(check_in, known) for check_in in protocol.check_ins if check_in.asks}
    assert days - {None} == set(rows)
    assert protocol.check_in(f"d{watched}_symptoms").condition in ("watched", "watched_or_thoracic")


def test_clocks_start_where_the_notes_say() -> None:
    assert PROTOCOLS["vertebroplasty"].anchor == "procedure"
    assert PROTOCOLS["kyphoplasty"].anchor == "discharge"
    assert PROTOCOLS["vertebroplasty"].check_in("d0_symptoms").timing.offset == timedelta(hours=4)
    assert PROTOCOLS["kyphoplasty"].check_in("d0_symptoms").timing.offset == timedelta(hours=3)


WORDS = {
    "d0_home": {
        "en": ["driv", "24 hours", "adult", "walk about 1 hour"],
        "es": ["maneje", "24", "adulto", "1 hora"],
    },
    "d0_ice": {
        "en": ["ice", "cloth", "15 minutes each hour"],
        "es": ["hielo", "paño", "15 minutos cada hora"],
    },
    "d0_ice_evening": {"en": ["ice", "cloth", "15 minutes"], "es": ["hielo", "paño", "15 minutos"]},
    "d1_ice": {"en": ["ice", "cloth", "15 minutes"], "es": ["hielo", "paño", "15 minutos"]},
    "d0_bandage": {
        "en": ["bandage", "48 hours", "no bath", "showers are ok"],
        "es": ["vendaje", "48 horas", "tina", "ducharse"],
    },
    "d1_bandage": {"en": ["keep your bandage on", "48 hours"], "es": ["deje su vendaje puesto", "48 horas"]},
    "bandage_off": {"en": ["bandage may come off", "bath"], "es": ["puede quitarse el vendaje", "tina"]},
    "d1_medicines": {
        "en": ["regular medicines", "check with your doctor", "no driving"],
        "es": ["medicinas de siempre", "consulte a su doctor", "no maneje"],
    },
    "d1_blood_thinner": {"en": ["did you check with your doctor"], "es": ["consulto con su doctor"]},
    "d2_relief": {"en": ["eases", "2 days", "comes back"], "es": ["baja", "2 dias", "regresa"]},
    "d3_soreness": {"en": ["2 to 3 days", "ice"], "es": ["2 a 3 dias", "hielo"]},
    "d7_activity": {"en": ["slowly", "heavy", "6 weeks"], "es": ["poco a poco", "pesado", "6 semanas"]},
    "d14_activity": {"en": ["1 to 2 weeks", "pain down a leg"], "es": ["1 a 2 semanas", "por la pierna"]},
    "d28_new_pain": {"en": ["good days", "new back pain"], "es": ["dias buenos", "dolor de espalda nuevo"]},
    "d28_change": {"en": ["better", "same", "worse"], "es": ["mejor", "igual", "peor"]},
    "d42_lifting": {
        "en": ["ask your doctor", "heavy", "6 weeks"],
        "es": ["pregunte a su doctor", "6 semanas"],
    },
    "d42_bones": {"en": ["bones", "late"], "es": ["huesos", "tarde"]},
    "d42_needs": {"en": ["anything you need"], "es": ["necesita algo"]},
    "d2_symptoms": {
        "en": ["chest pain", "short breath", "redness", "drainage"],
        "es": ["dolor de pecho", "falta de aire", "piel roja", "pus"],
    },
    "d7_symptoms": {
        "en": ["drainage", "chest pain", "leg swelling"],
        "es": ["liquido o pus", "dolor de pecho", "pierna hinchada"],
    },
    "d14_symptoms": {"en": ["pain down a leg"], "es": ["dolor que baja por la pierna"]},
    "d90_symptoms": {"en": ["new back pain", "leg"], "es": ["dolor nuevo de espalda", "piernas"]},
}


@BOTH
@IN_BOTH_LANGUAGES
@pytest.mark.parametrize("key", WORDS)
def test_each_text_says_what_the_notes_want_known(protocol: Protocol, language: str, key: str) -> None:
    text = said(protocol, language, key)
    for words in WORDS[key][language]:
        assert words in text


@IN_BOTH_LANGUAGES
def test_after_anaesthesia_alcohol_and_big_decisions_are_named(language: str) -> None:
    text = said(PROTOCOLS["kyphoplasty"], language, "d0_home")
    assert "alcohol" in text
    assert ("decisions" if language == "en" else "decisiones") in text
    assert ("two small cuts" if language == "en" else "dos cortes") in said(
        PROTOCOLS["kyphoplasty"], language, "bandage_off"
    )


# --- What every text must keep --------------------------------------------------------------------


@BOTH
@IN_BOTH_LANGUAGES
def test_every_text_fits_two_segments_with_a_long_clinic_and_phone(protocol: Protocol, language: str) -> None:
    for check_in, text in texts(protocol, language):
        assert encoding(text) == GSM_7, check_in.key
        assert segments(text) <= 2, check_in.key
        assert "$" not in text


@BOTH
@IN_BOTH_LANGUAGES
def test_the_longest_name_and_number_a_clinic_may_have_still_fit(protocol: Protocol, language: str) -> None:
    site = replace(DEFAULT_SITE, clinic_name="N" * 40, clinic_phone="5" * 24)
    for check_in, text in texts(protocol, language, site):
        assert segments(text) <= 2, check_in.key


@BOTH
@IN_BOTH_LANGUAGES
def test_every_choice_a_site_can_make_still_fits(protocol: Protocol, language: str) -> None:
    for name, choices in CHOICES.items():
        for choice in choices:
            site = replace(LONG, values={**LONG.values, name: choice})
            for check_in, text in texts(protocol, language, site):
                assert segments(text) <= 2, (check_in.key, choice)


@BOTH
@IN_BOTH_LANGUAGES
def test_the_welcome_says_who_writes_how_often_and_what_to_do_in_an_emergency(
    protocol: Protocol, language: str
) -> None:
    text = text_of(protocol.check_in("welcome"), language, LONG)
    wanted = ["911", "STOP", "HELP", "OK", LONG_CLINIC, LONG_PHONE, "8"]
    wanted += (
        ["Msg & data rates may apply", "Not private", "at once"]
        if language == "en"
        else ["tarifas", "privados"]
    )
    for words in wanted:
        assert words in text


@BOTH
@IN_BOTH_LANGUAGES
def test_each_days_texts_name_911_and_so_does_every_red_flag_question(
    protocol: Protocol, language: str
) -> None:
    for check_in, text in texts(protocol, language):
        if check_in.asks in ("symptoms", "welcome"):
            assert standard_text("safety_line", language) in text, check_in.key


@BOTH
@IN_BOTH_LANGUAGES
def test_every_red_flag_question_asks_for_all_red_flags_so_that_no_means_well(
    protocol: Protocol, language: str
) -> None:
    for check_in, text in texts(protocol, language):
        if check_in.asks == "symptoms":
            for words in RED_FLAGS[language]:
                assert words in text.lower(), (check_in.key, words)
            assert ("Reply NO if none" if language == "en" else "Responda NO si n") in text


@BOTH
@IN_BOTH_LANGUAGES
def test_no_text_reassures_instructs_on_blood_thinners_or_names_the_procedure(
    protocol: Protocol, language: str
) -> None:
    for check_in, text in texts(protocol, language):
        assert not REASSURING.search(text), check_in.key
        assert not INSTRUCTING.search(text), check_in.key
        assert not FORBIDDEN.search(text), check_in.key


@BOTH
@IN_BOTH_LANGUAGES
def test_whatever_is_said_about_blood_thinners_sends_the_patient_to_the_doctor(
    protocol: Protocol, language: str
) -> None:
    thinner, doctor = (
        ("blood thinner", "your doctor") if language == "en" else ("anticoagulante", "su doctor")
    )
    about = [text for _, text in texts(protocol, language) if thinner in text.lower()]
    assert len(about) == 3
    assert all(doctor in text.lower() for text in about)


@BOTH
def test_one_text_asks_one_thing_with_its_answers_named(protocol: Protocol) -> None:
    for check_in in protocol.check_ins:
        text = text_of(check_in, "en", DEFAULT_SITE, VISIT)
        if "yes_no" in check_in.expects and check_in.asks not in ("symptoms", "general"):
            assert "Reply YES or NO" in text
        if "score" in check_in.expects:
            assert "0 (no pain) to 10 (worst pain)" in text
        if check_in.asks is None:
            assert "Reply" not in text


@BOTH
def test_every_question_can_fall_silent_and_every_red_flag_question_reminds(protocol: Protocol) -> None:
    for check_in in protocol.check_ins:
        assert (check_in.silent_after is not None) == (check_in.asks is not None)
        if check_in.asks == "symptoms":
            assert check_in.reminder_after == timedelta(hours=4)
            assert check_in.silence_task


@BOTH
def test_spanish_is_not_left_in_english_and_speaks_of_usted(protocol: Protocol) -> None:
    for check_in in protocol.check_ins:
        spanish = check_in.texts["es"]
        assert spanish != check_in.texts["en"]
        assert not re.search(r"\b(tú|tienes|puedes|llama al|responde|tu doctor|dinos)\b", spanish.lower()), (
            check_in.key
        )
        assert not re.search(r"\b(the|and|your|call|reply)\b", spanish.lower()), check_in.key


# --- Plain words ----------------------------------------------------------------------------------


def grade(text: str) -> float:
    """Flesch-Kincaid grade level, roughly: vowel groups as syllables."""
    sentences = [part for part in re.split(r"[.?!:]+(?:\s|$)", text) if re.search(r"[A-Za-z]", part)]
    words = re.findall(r"[A-Za-z']+", text)
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word.lower())))) for word in words)
    return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


@BOTH
def test_english_texts_read_at_sixth_grade_or_below(protocol: Protocol) -> None:
    grades = {
        check_in.key: grade(text_of(check_in, "en", DEFAULT_SITE, VISIT)) for check_in in protocol.check_ins
    }
    too_hard = {key: round(level, 1) for key, level in grades.items() if level > 6.9}
    assert too_hard == {}
    assert sum(grades.values()) / len(grades) < 5


def test_answers_to_patients_read_at_seventh_grade_or_below() -> None:
    values = {"clinic": "our clinic", "phone": "555", "code": "K", "link": "", "name": "Ann", "count": 1}
    for key in standard_keys():
        if key.startswith(("site_", "urgency_", "page", "digest")) or key == "safety_unknown_language":
            continue
        assert grade(standard_text(key, "en", **values)) <= 7, key


@BOTH
@IN_BOTH_LANGUAGES
def test_sentences_are_short(protocol: Protocol, language: str) -> None:
    for check_in, text in texts(protocol, language, DEFAULT_SITE):
        for sentence in re.split(r"[.?!:;]+(?:\s|$)", text):
            assert len(sentence.split()) <= 24, (check_in.key, sentence)
