"""Everything about one patient in one file: complete, only theirs, harmless to open, and on the record."""

import csv
import io
import json
import re
from html import unescape
from typing import Any
from zipfile import ZipFile

import pytest
from sqlmodel import Session

from service import escalations, legal_holds, redactions
from service.db import session_on
from service.harmless import cell
from service.models import AuditEvent, metadata
from service.patient_export import export_patient, file_name
from service.record import INDEXES, conditions_of
from service.runtime import Runtime
from tests import clinic
from tests.clinic import ANA, BEN
from tests.conftest import SetClock
from tests.test_hostile_texts import TEXTS
from tests.test_sealed import sealed as sealed

RED_FLAG = "my left foot is numb"


def exported(runtime: Runtime, patient_id: str) -> bytes:
    def act(session: Session, **given: Any) -> bytes:
        return export_patient(session, runtime, **given)

    return clinic.in_session(runtime, act, patient_id=patient_id, actor="kim", address="192.0.2.1")


def files(content: bytes) -> dict[str, str]:
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def rows_in(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_everything_about_the_patient_is_in_it_and_nothing_of_others(
    runtime: Runtime, clock: SetClock
) -> None:
    course = clinic.enroll(runtime, name="Ana Doe")
    clinic.enroll(runtime, BEN, "Ben Roe")
    clinic.text(runtime, BEN, "my chest hurts quixotic")
    clinic.asked(runtime, course, "symptoms")
    reply = clinic.text(runtime, ANA, RED_FLAG)
    row = clinic.the_escalation(runtime, patient_id=course.patient_id)
    given = {"escalation_id": row.id, "actor": "kim"}
    clinic.in_session(runtime, escalations.note, **given, text="called the daughter")
    clinic.in_session(
        runtime, escalations.contact, **given, site=runtime.site, method="phone", note="spoke with her"
    )
    clinic.in_session(
        runtime, legal_holds.set_hold, patient_id=course.patient_id, reason="claim 12", actor="kim"
    )
    made = files(exported(runtime, course.patient_id))
    assert set(made) == {
        "record.json",
        "record.html",
        *(
            f"tables/{name}.csv"
            for name in ("texts", "plan", "enrollments", "findings", "escalations", "events", "audit")
        ),
    }
    whole = json.loads(made["record.json"])
    for name, where in conditions_of(course.patient_id).items():
        if name in INDEXES:
            continue
        with session_on(runtime.engine) as session:
            stored = session.execute(metadata.tables[name].select().where(where)).all()
        assert len(whole["tables"].get(name, [])) == len(stored), name
    assert whole["tables"]["replies"][0]["body"] == RED_FLAG
    assert whole["tables"]["enrollments"][0]["consent_method"] == "written"
    page = unescape(made["record.html"])
    for words in (
        "Ana Doe",
        RED_FLAG,
        "called the daughter",
        "spoke with her",
        "claim 12",
        "written",
        "numbness",
    ):
        assert words in page, words
    said = {line["action"] for line in rows_in(made["tables/audit.csv"])}
    assert {"export patient record", "set legal hold", "escalation contacted"} <= said
    texts = rows_in(made["tables/texts.csv"])
    assert [line["body"] for line in texts if line["direction"] == "in"] == [RED_FLAG]
    assert any(line["direction"] == "out" and "911" in line["body"] for line in texts)
    for text in made.values():
        assert "quixotic" not in text and "Ben Roe" not in text and BEN not in text
    assert reply.id in made["record.json"] and "_hash" not in made["record.json"]


def test_it_is_on_the_record_and_its_name_says_nothing(runtime: Runtime) -> None:
    course = clinic.enroll(runtime, name="Ana Doe")
    exported(runtime, course.patient_id)
    (row,) = clinic.rows(runtime, AuditEvent, AuditEvent.action == "export patient record")
    assert (row.actor, row.subject_id, row.address) == ("kim", course.patient_id, "192.0.2.1")
    assert file_name(course.patient_id) == f"aftercare-record-{course.patient_id}.zip"


def test_an_unknown_patient_leaves_no_trace(runtime: Runtime) -> None:
    with pytest.raises(LookupError):
        exported(runtime, "0" * 32)
    assert clinic.rows(runtime, AuditEvent, AuditEvent.action == "export patient record") == []


def test_a_shared_phone_gives_each_patient_their_own_reading(runtime: Runtime) -> None:
    one = clinic.enroll(runtime, name="Ana Doe")
    other = clinic.enroll(runtime, name="Eva Doe")
    clinic.text(runtime, ANA, RED_FLAG)
    for course in (one, other):
        whole = json.loads(files(exported(runtime, course.patient_id))["record.json"])
        assert [row["body"] for row in whole["tables"]["replies"]] == [RED_FLAG]
        assert {row["patient_id"] for row in whole["tables"]["assessments"]} == {course.patient_id}
        assert {row["patient_id"] for row in whole["tables"]["escalations"]} == {course.patient_id}


def test_a_redacted_text_stays_redacted(runtime: Runtime) -> None:
    course = clinic.enroll(runtime)
    reply = clinic.text(runtime, ANA, f"{RED_FLAG} xylograph")
    with session_on(runtime.engine) as session:
        redactions.redact_reply(
            session, runtime, now=runtime.clock(), reply_id=reply.id, why="wrong_person", actor="kim"
        )
    made = files(exported(runtime, course.patient_id))
    assert not any("xylograph" in text for text in made.values())
    assert "[redacted]" in made["record.html"] and "wrong_person" in made["record.html"]


def test_hostile_texts_are_exact_in_json_and_harmless_in_html_and_csv(
    runtime: Runtime, clock: SetClock
) -> None:
    course = clinic.enroll(runtime, name="=cmd|' /C calc'!A0")
    hostile = [
        *(words.replace("\0", "") for words in TEXTS),
        "+1 234",
        "@SUM(A1)",
        "  =1+1",
        "\t=1",
        "x" * 65_536,
    ]
    for number, words in enumerate(hostile):
        clinic.text(runtime, ANA, words, carrier_sid=f"SMh{number}")
        clock.advance(seconds=40)
    made = files(exported(runtime, course.patient_id))
    stored = {row["body"] for row in json.loads(made["record.json"])["tables"]["replies"]}
    assert stored == set(hostile)
    assert made["record.json"].isascii()
    for name, text in made.items():
        if name.endswith(".csv"):
            for line in csv.reader(io.StringIO(text, newline="")):
                for value in line:
                    assert not value.lstrip().startswith(("=", "+", "-", "@")), (name, value[:40])
                    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", value)
    page = made["record.html"]
    assert "<script" not in page and "<svg" not in page and "onerror=alert(1)>" not in page
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", page)
    assert "49 49" not in page and "{{ 7 * 7 }}" in unescape(page)
    assert "x" * 65_536 in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+13125550142", "'+13125550142"),
        ("-2", "'-2"),
        ("@x", "'@x"),
        ("\t=1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        (-2, "-2"),
        (0.5, "0.5"),
        (True, "yes"),
        (None, ""),
        ("plain", "plain"),
        ("a=b", "a=b"),
    ],
)
def test_cells(value: Any, shown: str) -> None:
    assert cell(value) == shown


def test_the_same_record_at_the_same_moment_gives_the_same_bytes(runtime: Runtime) -> None:
    course = clinic.enroll(runtime)
    clinic.text(runtime, ANA, RED_FLAG)
    first = files(exported(runtime, course.patient_id))
    second = files(exported(runtime, course.patient_id))
    del first["tables/audit.csv"], second["tables/audit.csv"]
    assert first["tables/texts.csv"] == second["tables/texts.csv"]
    assert json.loads(first["record.json"])["tables"] == json.loads(second["record.json"])["tables"]


def test_a_sealed_record_is_handed_out_readable(sealed: Runtime) -> None:
    course = clinic.enroll(sealed, name="Ana Doe")
    reply = clinic.text(sealed, ANA, RED_FLAG)
    clinic.in_session(
        sealed, legal_holds.set_hold, patient_id=course.patient_id, reason="claim 12", actor="kim"
    )
    made = files(exported(sealed, course.patient_id))
    for words in ("Ana Doe", RED_FLAG, "claim 12", ANA):
        assert words in unescape(made["record.html"]) and words in made["record.json"]
    clinic.in_session(sealed, legal_holds.lift_hold, patient_id=course.patient_id, reason="over", actor="kim")
    with session_on(sealed.engine) as session:
        redactions.redact_reply(
            session, sealed, now=sealed.clock(), reply_id=reply.id, why="wrong_person", actor="kim"
        )
    again = files(exported(sealed, course.patient_id))
    assert not any("foot is numb" in text for text in again.values())
