"""A protocol file loads whole or is refused, naming file, line and reason."""

import re
from dataclasses import replace
from datetime import time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.protocol import BUILT_IN, ProtocolError, parse, reminder_of, text_of
from messages.site import DEFAULT_SITE
from messages.wording import WordingError

HEAD = """name = "injection"
version = 3
title = "Spinal injection"
anchor = "procedure"
gap = "15m"
"""
WELCOME = """
[[check_in]]
key = "welcome"
asks = "welcome"
expects = ["ok"]
at_enrollment = true
useful_for = "1d"
text.en = "Texts from $clinic. $safety"
text.es = "Mensajes de $clinic. $safety"
"""
SYMPTOMS = """
[[check_in]]
key = "d1_symptoms"
asks = "symptoms"
expects = ["yes_no", "free"]
day = 1
at = "10:00"
useful_for = "8h"
text.en = "Any new numbness? Reply NO if none. $safety"
text.es = "¿Adormecimiento nuevo? Responda NO si nada. $safety"
"""
PAIN = """
[[check_in]]
key = "d1_pain"
asks = "pain"
expects = ["score"]
after = "d1_symptoms"
useful_for = "8h"
text.en = "Pain, 0 to 10?"
text.es = "¿Dolor, de 0 a 10?"
"""
WHOLE = HEAD + WELCOME + SYMPTOMS + PAIN


def advice(key: str, timing: str, en: str = "Rest.", es: str = "Descanse.") -> str:
    return f"""
[[check_in]]
key = "{key}"
{timing}
useful_for = "4h"
text.en = "{en}"
text.es = "{es}"
"""


def refusal(text: str) -> str:
    with pytest.raises(ProtocolError) as refused:
        parse(text, "injection.toml", DEFAULT_SITE)
    return str(refused.value)


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def test_a_whole_file_becomes_a_protocol() -> None:
    protocol = parse(WHOLE, "injection.toml", DEFAULT_SITE)
    assert (protocol.name, protocol.version, protocol.anchor) == ("injection", 3, "procedure")
    assert protocol.gap == timedelta(minutes=15)
    assert [check_in.key for check_in in protocol.check_ins] == ["welcome", "d1_symptoms", "d1_pain"]
    symptoms = protocol.check_in("d1_symptoms")
    assert (symptoms.timing.day, symptoms.timing.at) == (1, time(10))
    assert symptoms.useful_for == timedelta(hours=8)
    assert symptoms.line == line_of(WHOLE, 'key = "d1_symptoms"') - 1
    assert protocol.check_in("d1_pain").after == "d1_symptoms"
    with pytest.raises(KeyError):
        protocol.check_in("d9_pain")


def test_the_kept_text_of_a_version_reads_the_same_again() -> None:
    protocol = parse(WHOLE, "injection.toml", DEFAULT_SITE)
    assert parse(protocol.source_text, "elsewhere", DEFAULT_SITE) == protocol
    assert parse(WHOLE + "\n# a remark", "x", DEFAULT_SITE).digest != protocol.digest


def test_texts_come_out_filled_and_cleaned() -> None:
    protocol = parse(WHOLE, "injection.toml", DEFAULT_SITE)
    assert text_of(protocol.check_in("d1_pain"), "es", DEFAULT_SITE) == "¿Dolor, de 0 a 10?"
    assert text_of(protocol.check_in("welcome"), "fr", DEFAULT_SITE).startswith(
        "Texts from Sample Spine Clinic."
    )
    with pytest.raises(WordingError, match="no reminder"):
        reminder_of(protocol.check_in("welcome"), "en", DEFAULT_SITE)


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        (
            'gap = "15m"',
            'gap = "15m"\ncolour = "red"',
            'colour = "red"',
            "unknown key 'colour' in a protocol",
        ),
        (
            'after = "d1_symptoms"',
            'afer = "d1_symptoms"',
            "afer",
            "unknown key 'afer' in [[check_in]]; did you mean 'after'?",
        ),
        ("version = 3\n", "", None, "version is missing"),
        ("version = 3", "version = 0", "version = 0", "version: versions start at 1"),
        ("version = 3", 'version = "3"', "version", "version: '3' should be a whole number"),
        ('name = "injection"', 'name = "In jection"', "name", "name: 'In jection' should be small letters"),
        ('anchor = "procedure"', 'anchor = "surgery"', "anchor", "should be one of procedure, discharge"),
        ('gap = "15m"', 'gap = "a while"', "gap", "'a while' is not a duration; write it like"),
        ('gap = "15m"', 'gap = "0m"', "gap", "should be more than nothing"),
        ('text.es = "¿Dolor, de 0 a 10?"\n', "", "Pain, 0 to 10?", "the 'es' translation is missing"),
        ('text.es = "¿Dolor, de 0 a 10?"', 'text.es = ""', "Pain, 0 to 10?", "and not empty"),
        (
            'text.es = "¿Dolor, de 0 a 10?"',
            'text.es = "¿Dolor?"\ntext.fr = "Douleur"',
            "Pain, 0",
            "'fr' should be one of en, es",
        ),
        ("Pain, 0 to 10?", "Pain, $scale?", "$scale", "unknown placeholder $scale; known are:"),
        ("Pain, 0 to 10?", "Pain on $visit?", "$visit", "unknown placeholder $visit"),
        ("Pain, 0 to 10?", "Pain for $ 5?", "Pain for", "a lone $"),
        ("Pain, 0 to 10?", "Pain " * 62, "Pain Pain", "3 segments, over 2: shorten"),
        ("¿Dolor, de 0 a 10?", "¿Dolor? 👍" + " dolor" * 25, "👍", "3 segments, over 2: shorten"),
        ('key = "d1_pain"', 'key = "d1_symptoms"', None, "two check-ins have the key 'd1_symptoms'"),
        (
            'after = "d1_symptoms"',
            'after = "d2_symptoms"',
            None,
            "after names 'd2_symptoms', which does not exist",
        ),
        (
            'after = "d1_symptoms"',
            'after = "d1_pain"',
            None,
            "after names 'd1_pain', which comes later in the file",
        ),
        (
            'after = "d1_symptoms"',
            'after = "d1_symptoms"\nday = 1\nat = "11:00"',
            None,
            "cannot also have day",
        ),
        ('after = "d1_symptoms"\n', "", None, "needs exactly one of at_enrollment, offset"),
        ('day = 1\nat = "10:00"', "day = 1", None, "a day needs at, a local time"),
        ('day = 1\nat = "10:00"', 'offset = "4h"\nat = "10:00"', 'at = "10:00"', "nothing else has it"),
        ('day = 1\nat = "10:00"', 'day = 1\noffset = "4h"\nat = "10:00"', None, "it has ['offset', 'day']"),
        ('at = "10:00"', 'at = "25:00"', 'at = "25:00"', "'25:00' is not a time of day"),
        ("day = 1\n", "day = -1\n", "day = -1", "-1 should be a whole number, 0 or more"),
        ("at_enrollment = true", 'at_enrollment = "yes"', "at_enrollment", "should be true or false"),
        ('asks = "pain"', 'asks = "mood"', "mood", "'mood' should be one of welcome, symptoms, pain"),
        ('expects = ["score"]', 'expects = ["stars"]', "stars", "'stars' should be one of ok, yes_no"),
        ('expects = ["score"]\n', "", None, "a question has both asks and expects"),
        ('asks = "pain"\n', "", None, "a question has both asks and expects"),
        ('after = "d1_symptoms"', 'after = "d1_symptoms"\ncondition = "lucky"', "lucky", "no_answer:<key>"),
        (
            'after = "d1_symptoms"',
            'after = "d1_symptoms"\ncondition = "no_answer:d7"',
            None,
            "'d7', which does not exist",
        ),
        (
            'after = "d1_symptoms"',
            'after = "d1_symptoms"\nsilence_task = true',
            "silence_task",
            "together with silent_after",
        ),
        (
            'after = "d1_symptoms"',
            'after = "d1_symptoms"\nreminder_after = "4h"',
            "reminder_after",
            "together with reminder",
        ),
        (
            'after = "d1_symptoms"',
            'after = "d1_symptoms"\ntime_critical = true',
            "time_critical",
            "together with first_evening",
        ),
        (
            "numbness? Reply NO if none. $safety",
            "numbness? Reply NO.",
            "numbness",
            "the safety line is missing; put $safety",
        ),
        ("Texts from $clinic. $safety", "Texts from $clinic.", "Texts from", "the safety line is missing"),
        ('asks = "symptoms"', 'asks = "general"', None, "day 1 opens with 'd1_symptoms', which asks general"),
    ],
)
def test_a_wrong_file_is_refused(old: str, new: str, at: str | None, said: str) -> None:
    text = WHOLE.replace(old, new)
    assert text != WHOLE
    reason = refusal(text)
    assert said in reason
    assert reason.startswith("injection.toml:")
    if at is not None:
        assert reason.startswith(f"injection.toml:{line_of(text, at)}: ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (advice("rest", 'day = 1\nat = "10:10"'), "'d1_symptoms' and 'rest' overlap"),
        (advice("rest", 'day = 1\nat = "10:20"'), "'d1_pain' and 'rest' overlap"),
        (advice("rest", 'after = "d1_symptoms"'), "both follow 'd1_symptoms'"),
        (
            advice("rest", 'offset = "1h"') + advice("again", 'offset = "1h 10m"'),
            "'rest' and 'again' overlap",
        ),
        (
            advice("rest", 'offset = "1h"') + advice("two", 'after = "rest"'),
            "after names 'rest', which asks nothing",
        ),
        (advice("rest", 'day = 2\nat = "10:00"\nhome_first = "18h"'), 'need anchor = "discharge"'),
        (advice("rest", 'procedure_offset = "lifting_weeks"'), "'lifting_weeks' is not a duration"),
        (
            advice("rest", 'offset = "1h"\napart = "3h"'),
            "apart only means something together with apart_from",
        ),
        (advice("rest", 'offset = "1h"\nfirst_evening = 1'), "1 should be true or false"),
    ],
)
def test_what_does_not_go_together_is_refused(more: str, said: str) -> None:
    assert said in refusal(WHOLE + more)


def test_a_later_day_of_questions_needs_the_safety_line_somewhere() -> None:
    later = SYMPTOMS.replace("d1_", "d14_").replace("day = 1", "day = 14")
    silent = later.replace(" $safety", "")
    assert "day 14 has no text with the safety line" in refusal(WHOLE + silent)
    parse(WHOLE + silent + advice("line", 'day = 14\nat = "12:00"', "$safety", "$safety"), "x", DEFAULT_SITE)


def test_times_may_be_as_close_as_the_gap() -> None:
    parse(WHOLE + advice("rest", 'day = 1\nat = "10:30"'), "x", DEFAULT_SITE)


def test_a_long_clinic_name_is_refused_with_the_place_to_mend() -> None:
    tight = WHOLE.replace("Texts from $clinic. $safety", "Texts from $clinic. " + "word " * 34 + "$safety")
    parse(tight, "x", DEFAULT_SITE)
    long = replace(DEFAULT_SITE, clinic_name="University Center for Spine and Pain")
    with pytest.raises(ProtocolError, match="shorten the text, or the clinic's name"):
        parse(tight, "x", long)


def test_site_hours_stand_where_a_file_names_them() -> None:
    text = WHOLE + advice("off", 'procedure_offset = "bandage_hours"')
    longer = replace(DEFAULT_SITE, values={**DEFAULT_SITE.values, "bandage_hours": 72})
    assert parse(text, "x", DEFAULT_SITE).check_in("off").timing.procedure_offset == timedelta(hours=48)
    assert parse(text, "x", longer).check_in("off").timing.procedure_offset == timedelta(hours=72)


@pytest.mark.parametrize("text", ["name = ", "[[check_in]\n", "", "check_in = 3", "[check_in]\nkey = 'x'"])
def test_what_is_no_protocol_at_all_is_refused(text: str) -> None:
    assert refusal(text).startswith("injection.toml:")
    assert refusal(HEAD).endswith("there is no [[check_in]]; a protocol needs at least one")


VALUES = ["true", "-1", "[]", "{}", "1.5", "2027-01-01", '""', "[[1]]", '"0m"']
BROKEN = [
    '"',
    "[[check_in]]",
    "= 3",
    "day = []",
    "text = 'x'",
    "text.en = 5",
    "expects = [3]",
    "after = 7",
    "\x00",
    "key = {}",
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_broken_line_is_refused_or_read_but_never_a_crash(data: st.DataObject) -> None:
    lines = (BUILT_IN / "kyphoplasty.toml").read_text(encoding="utf-8").splitlines()[:90]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "swap", "break", "value"]))
        if change == "drop":
            del lines[place]
        elif change == "double":
            lines.insert(place, lines[place])
        elif change == "swap":
            lines[place], lines[0] = lines[0], lines[place]
        elif change == "break":
            lines.insert(place, data.draw(st.sampled_from(BROKEN)))
        else:
            key = lines[place].partition("=")[0]
            lines[place] = f"{key}= {data.draw(st.sampled_from(VALUES))}"
    try:
        parse("\n".join(lines), "x.toml", DEFAULT_SITE)
    except ProtocolError as refused:
        assert re.match(r"x\.toml:\d+: .", str(refused))
