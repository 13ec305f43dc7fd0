"""Images people also use for films, weather and engines need no call; the same words meant in earnest do."""

import json
from pathlib import Path

import pytest

from messages.triage import assess
from messages.triage.assess import Heard, as_image, combine
from messages.triage.catalogue import catalogue
from messages.triage.rules import read_rules
from messages.urgency import Urgency

FLAGS = Path(__file__).parent / "bank" / "redflags.json"
HAPPY = {
    "en": [
        "Lovely day here, church and then bingo, cooked for twenty. {}. Otherwise grand thank you",
        "{} but apart from that the grandkids came and we laughed all day, weather is great",
        "Mowed the lawn, fed the dog, {}, now watching the ball game",
    ],
    "es": [
        "Día lindo por acá, misa y luego el bingo, cociné para veinte. {}. De lo demás todo bien gracias",
        "{} pero fuera de eso vinieron los nietos y nos reímos todo el día, el clima precioso",
        "Barrí el patio, le di de comer al perro, {}, ahorita viendo el partido",
    ],
}


@pytest.mark.parametrize(
    "text",
    [
        "i cant move my legs",
        "my foot is numb",
        "My foot is numb. Church was lovely, bingo after, and the grandkids made me a cake with candles",
        "Bingo, cake, the grandkids came over and we sang till late. Foot numb.",
        "fed the dog, mowed the lawn, cant feel my leg, watching the ball game now",
        "Qué lindo día, misa y bingo y los nietos. No siento el pie. De lo demás todo bien gracias",
    ],
)
def test_a_plain_red_flag_stays_one_in_the_happiest_text(text: str) -> None:
    assert assess(text).urgency >= Urgency.URGENT


def test_the_catalogues_phrases_are_heard_in_a_happy_text_and_hardly_any_is_left_to_nobody() -> None:
    found = [
        assess(text.format(phrase), None, language).urgency
        for flag in json.loads(FLAGS.read_text("utf-8"))
        for language in ("en", "es")
        for phrase in flag[language]
        if assess(phrase, None, language).urgency >= Urgency.URGENT
        for text in HAPPY[language]
    ]
    assert len(found) > 2000
    assert sum(one >= Urgency.URGENT for one in found) / len(found) >= 0.83
    assert sum(one is Urgency.NONE for one in found) / len(found) <= 0.01


def test_only_the_named_rules_are_images_and_numbers_never_are() -> None:
    named = catalogue().figurative
    assert named and not any(name.startswith(("suicidal", "other_urgent")) for name in named)
    for text in ("my temp is 102", "pain is a 9 today", "oxygen 84"):
        rules = read_rules(text, "pain" if "pain" in text else None)
        assert rules.urgency >= Urgency.URGENT and as_image(rules) is rules


def test_one_finding_that_is_no_image_keeps_them_all() -> None:
    rules = read_rules("that film left me numb, and my temp is 102")
    assert as_image(rules) is rules


def test_an_image_goes_to_a_person_tomorrow_never_to_nobody() -> None:
    rules = read_rules("The old ewe went down in the arroyo, legs folded. We carried her up.")
    lowered = as_image(rules)
    assert rules.urgency >= Urgency.URGENT and lowered.urgency is Urgency.ROUTINE
    sure = Heard(Urgency.NONE, True, harmless=True)
    assert combine(lowered, sure).urgency is Urgency.ROUTINE
    assert {finding.status for finding in lowered.findings} == {"hypothetical"}


@pytest.mark.parametrize(
    "text", ["no fever no chest pain and i fell", "no fever or chills and i fell down the steps"]
)
def test_a_list_of_denials_ends_where_a_sentence_of_ones_own_begins(text: str) -> None:
    assert assess(text, "symptoms").urgency >= Urgency.URGENT


@pytest.mark.parametrize(
    "text",
    [
        "mwen pa santi pye mwen",
        "pye mwen mouri",
        "nie czuję nogi",
        "noga mi nie działa",
        "ich kann mein bein nicht bewegen",
        "ich habe schmerzen in der brust",
        "minha perna não mexe mais",
        "non riesco a muovere la gamba",
        "je n'arrive plus à bouger la jambe",
        "tôi không cử động được chân",
        "chân tôi tê",
        "hindi ko maigalaw ang paa ko",
        "не чувствую ногу",
        "我的腿动不了",
        "다리에 감각이 없어요",
        "لا أشعر بساقي",
        "mera pair sunn hai",
    ],
)
def test_a_language_nobody_taught_us_goes_to_a_person(text: str) -> None:
    for asked in (None, "general", "symptoms", "pain"):
        assert assess(text, asked, "en").urgency >= Urgency.ROUTINE
        assert assess(text, asked, "es").urgency >= Urgency.ROUTINE
