"""What ``aftercare protocol list|check|preview|rehearse`` print, and what they say to wrong input."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from messages.protocol import BUILT_IN
from messages.schedule import QuietHours
from messages.site import DEFAULT_SITE
from service.commands_protocol import check_protocols, list_protocols, preview, rehearse_lines

QUIET = QuietHours.parse("20:00-09:00")
ZONE = "America/Chicago"


def table(name: str = "kyphoplasty", at: str = "2027-03-12 14:00", **more: object) -> str:
    return preview(name, at, ZONE, (), DEFAULT_SITE, QUIET, **more)  # type: ignore[arg-type]


def rows(name: str = "kyphoplasty", at: str = "2027-03-12 14:00", **more: object) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(table(name, at, as_json=True, **more))
    return found


def test_the_whole_plan_is_printed_in_local_time() -> None:
    text = table()
    assert "Procedure: 2027-03-12 14:00" in text
    assert "Home: 2027-03-13 14:00 (assumed: 24 hours after the procedure)" in text
    assert "Sun 2027-03-14\n  09:00  d1_symptoms, asks symptoms (2 segments)" in text
    assert "Mon 2027-03-15\n  09:00  bandage_off (2 segments)" in text
    assert "only for patients on a blood thinner, with a thoracic level" in text
    assert "d1_blood_thinner: the patient takes no blood thinner" in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_the_json_has_the_fields_of_the_contract_in_order_of_time() -> None:
    entries = rows()
    for entry in entries:
        assert set(entry) >= {"key", "due_at", "local", "text", "asks"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["due_at"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", entry["local"])
        assert entry["text"]
    assert [entry["due_at"] for entry in entries] == sorted(entry["due_at"] for entry in entries)
    assert entries[0]["key"] == "welcome"
    assert entries[0]["local"] == "2027-03-12 14:00"
    assert {entry["asks"] for entry in entries} >= {"symptoms", "pain", "bandage", "general", None}


def test_the_blood_thinner_question_is_only_in_the_plan_of_those_who_use_one() -> None:
    assert not [entry for entry in rows() if entry["asks"] == "blood_thinner"]
    mornings = [entry["local"][11:] for entry in rows(blood_thinner=True) if entry["asks"] == "blood_thinner"]
    assert mornings == ["09:30", "10:30", "10:30"]


@pytest.mark.parametrize("name", ["vertebroplasty", "kyphoplasty"])
@pytest.mark.parametrize(
    "at", ["2027-03-12 09:15", "2027-03-12 14:00", "2027-11-05 09:00", "2027-06-07 19:30"]
)
def test_the_bandage_never_comes_off_before_48_hours(name: str, at: str) -> None:
    due = {entry["key"]: datetime.fromisoformat(entry["due_at"]) for entry in rows(name, at)}
    assert due["bandage_off"] - due["welcome"] >= timedelta(hours=48)  # the welcome goes out at the procedure


def test_spanish_comes_without_the_accents_that_cost_a_segment() -> None:
    texts = " ".join(entry["text"] for entry in rows(language="es"))
    assert "Sample Spine Clinic" in texts
    assert "paño" in texts
    assert not re.search("[áíóú]", texts)


def test_a_known_way_home_moves_the_message_clock() -> None:
    assert "Home: 2027-03-12 17:00\n" in table(discharged="2027-03-12 17:00")
    assert "d0_symptoms, asks symptoms" in table(discharged="2027-03-12 17:00").split("Sat 2027-03-13")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "hip"}, "There is no protocol 'hip'; there are: kyphoplasty, vertebroplasty."),
        ({"at": "12 March"}, "'12 March' is not a local time; write it like"),
        ({"at": "2027-02-30 10:00"}, "is not a local time"),
        ({"discharged": "2027-03-11 10:00"}, "discharged_at is before procedure_at"),
        ({"language": "fr"}, "There is no language 'fr'; there are: en, es."),
    ],
)
def test_wrong_input_gets_a_whole_sentence(change: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        table(**change)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ValueError, match="'Chicago' is not a time zone; write one like \"America/Chicago\""):
        preview("kyphoplasty", "2027-03-12 14:00", "Chicago", (), DEFAULT_SITE, QUIET)


def test_list_names_each_protocol_with_its_version() -> None:
    lines = list_protocols((), DEFAULT_SITE)
    assert [line.split()[0:3] for line in lines] == [
        ["kyphoplasty", "version", "1"],
        ["vertebroplasty", "version", "1"],
    ]


def test_check_reads_what_is_shipped() -> None:
    lines, faulty = check_protocols([], (), DEFAULT_SITE)
    assert faulty == 0
    assert len(lines) == 2
    assert all(line.endswith("is in order") for line in lines)


def test_check_names_every_faulty_file_and_goes_on(tmp_path: Path) -> None:
    good = (BUILT_IN / "kyphoplasty.toml").read_text(encoding="utf-8")
    (tmp_path / "a.toml").write_text(good.replace("gap =", "gapp ="), encoding="utf-8")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "c.toml").write_text(good, encoding="utf-8")
    lines, faulty = check_protocols(sorted(tmp_path.glob("*.toml")), (), DEFAULT_SITE)
    assert faulty == 2
    assert "a.toml:" in lines[0]
    assert "unknown key 'gapp' in a protocol; did you mean 'gap'?" in lines[0]
    assert "b.toml:1: cannot be read as UTF-8 text" in lines[1]
    assert lines[2].endswith("kyphoplasty version 1 is in order")
    missing, count = check_protocols([tmp_path / "none.toml"], (), DEFAULT_SITE)
    assert count == 1
    assert "none.toml:1: cannot be read" in missing[0]


def test_check_finds_two_texts_of_one_version(tmp_path: Path) -> None:
    good = (BUILT_IN / "kyphoplasty.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(good + "\n# changed", encoding="utf-8")
    lines, faulty = check_protocols([], [tmp_path], DEFAULT_SITE)
    assert faulty == 1
    assert "raise its version" in lines[-1]


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("name", ["vertebroplasty", "kyphoplasty"])
def test_a_rehearsal_shows_the_whole_course_with_answers(name: str, language: str) -> None:
    lines = list(rehearse_lines(name, "", ZONE, (), DEFAULT_SITE, QUIET, language, blood_thinner=True))
    text = "\n".join(lines)
    for day in (
        "Friday 2027-03-12",
        "Thursday 2027-06-10" if name == "vertebroplasty" else "Friday 2027-06-11",
    ):
        assert day in text
    assert "No answer: the one reminder follows." in text
    assert re.search("Triage: (urgent|emergency)", text)  # the example patient's foot goes numb on day 14
    assert "911" in text
    assert all(len(line) <= 100 for line in lines)


def test_a_rehearsal_asks_the_second_question_only_after_the_first_answer() -> None:
    lines = list(
        rehearse_lines("vertebroplasty", "", ZONE, (), DEFAULT_SITE, QUIET, "en", blood_thinner=True)
    )
    day = lines[lines.index("Saturday 2027-03-13") :]
    asked = next(place for place, line in enumerate(day) if "Any NEW numbness" in line)
    answered = next(place for place, line in enumerate(day) if line.strip().endswith("  NO"))
    scored = next(place for place, line in enumerate(day) if "How is your back pain" in line)
    assert asked < answered < scored
    text = " ".join(" ".join(lines).split())
    assert (
        text.count("Did you check with your doctor?") == 1
    )  # answered on the first morning, so not asked again


def test_a_rehearsal_without_a_blood_thinner_never_asks_about_one() -> None:
    site = replace(DEFAULT_SITE, clinic_name="Riverside")
    text = "\n".join(rehearse_lines("vertebroplasty", "", ZONE, (), site, QUIET))
    assert "blood thinner" not in text
    assert "Riverside" in text
