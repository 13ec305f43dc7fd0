"""Encryption at rest: what lies in the database, what is found all the same, and keys that go missing."""

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import JSON, String, text
from sqlmodel import col, select

from jobs.scheduler import JOBS, tick
from messages.schedule import Skip
from service import dispatch, enrollments, fates, inbox, legal_holds, oncall, outbox, plan, reconcile
from service.carriers.simulator import SimulatorCarrier
from service.db import make_engine, reading, session_on
from service.index_keys import adopt, forget
from service.keyring import MARK, Keyring, KeyringError, Unreadable, new_key_line
from service.models import (
    DEFAULT_TEAM,
    BreakGlass,
    Enrollment,
    Escalation,
    Member,
    OutboundMessage,
    Patient,
    PhoneState,
    Reply,
    SealingKey,
    SimulatedText,
    metadata,
)
from service.rotation import sealed_columns
from service.runtime import Runtime, make_runtime
from service.sealed_columns import Digest, SealedJson, SealedLookup, SealedText
from service.settings import SettingsError
from tests.api_client import signed_client
from tests.clinic import ANA, asked, enroll, member, rows, sent_to, the_escalation
from tests.clinic import text as write
from tests.conftest import SetClock, seal, settings_for
from tests.standin_carrier import ACCEPT_DROP, StandIn, settings_of
from tests.web_clinic import browser_of, words_of

NAME, PHONE, CARER, RECORD = "Zebulonia Markwart", "+13125550187", "+13125550188", "MRN-quokka-77"
STRANGER, NURSE = "+13125550189", "+13125550186"
WORDS = "chest pain, quixotic xylograph"
NOTE = "ventriloquist said so"
MARKS = (
    "zebulonia", "markwart", "quokka", "5550187", "5550188", "5550189", "5550186",
    "quixotic", "xylograph", "ventriloquist",
)  # fmt: skip
DOCUMENT = Path(__file__).parent.parent / "SECURITY.md"


@pytest.fixture
def sealed(database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A whole process whose database is sealed from its first row on."""
    seal(database_url, monkeypatch)
    runtime = make_runtime(settings_for(database_url), clock=clock)
    yield runtime
    runtime.close()


def ring_of(*names: str) -> Keyring:
    return Keyring.parse(",".join(new_key_line(name) for name in names))


def test_a_value_opens_in_its_own_column_with_its_own_key_only() -> None:
    ring, other = ring_of("a"), ring_of("a")
    stored = ring.seal("my foot is numb", "replies.body")
    assert stored.startswith("sealed.1:a:") and "numb" not in stored
    assert ring.seal("my foot is numb", "replies.body") != stored, "each time another nonce"
    assert ring.unseal(stored, "replies.body") == "my foot is numb"
    for opened, said in (
        (ring.unseal(stored, "escalations.note"), "changed"),
        (other.unseal(stored, "replies.body"), "not the one"),
        (ring_of("b").unseal(stored, "replies.body"), "key a is missing"),
        (Keyring().unseal(stored, "replies.body"), "key a is missing"),
        (ring.unseal(stored[:-6] + "AAAA==", "replies.body"), "changed"),
        (ring.unseal("sealed.1:a:no base64", "replies.body"), "changed"),
        (ring.unseal("sealed.1:a:", "replies.body"), "changed"),
        (ring.unseal(stored.replace(":a:", ":b:"), "replies.body"), "key b is missing"),
    ):
        assert isinstance(opened, Unreadable) and said in opened and not opened
        copied = deepcopy([opened])[0]
        assert isinstance(copied, Unreadable) and (copied, copied.stored) == (opened, opened.stored)


@pytest.mark.parametrize("words", ["", "ñ ❤", "sealed.1:a:AAAA", "sealed.1:-:x", MARK, "x" * 70_000, "a\nb"])
def test_any_text_comes_back_as_it_was_with_and_without_keys(words: str) -> None:
    for ring in (Keyring(), ring_of("a")):
        assert ring.unseal(ring.seal(words, "replies.body"), "replies.body") == words
    plain = Keyring().seal(words, "replies.body")
    assert ring_of("a").unseal(plain, "replies.body") == words, "written before, read after"


def test_a_new_key_is_what_the_setting_wants() -> None:
    assert Keyring.parse(f"{new_key_line('spring')},{new_key_line('winter')}").current == "spring"
    for name in ("", "Spring", "plain", "a" * 17, "a:b", "-", "a,b"):
        with pytest.raises(KeyringError):
            new_key_line(name)


def test_every_column_is_decided_and_bound_to_its_place() -> None:
    """Each column that could hold a name, a number or words stands in the table of SECURITY.md."""
    document = DOCUMENT.read_text(encoding="utf-8")
    part = document[document.index("## What is encrypted") :]
    lines = re.findall(r"^\| (`[^|]+`) \| (sealed|hash|open) \|", part, re.MULTILINE)
    decided = {name: how for names, how in lines for name in re.findall(r"`([a-z_.]+)`", names)}
    found = {}
    for table in metadata.sorted_tables:
        for column in table.columns:
            kind = column.type
            if isinstance(kind, SealedText | SealedJson):
                assert kind.place == f"{table.name}.{column.name}"
                assert not isinstance(kind, SealedLookup) or f"{column.name}_hash" in table.columns
            if isinstance(kind, SealedText | SealedJson):
                found[f"{table.name}.{column.name}"] = "sealed"
            elif isinstance(kind, Digest) or column.name == "word_hash":
                found[f"{table.name}.{column.name}"] = "hash"
            elif (
                isinstance(getattr(kind, "impl_instance", kind), String | JSON)
                and not column.primary_key
                and not column.foreign_keys
            ):
                found[f"{table.name}.{column.name}"] = "open"
    assert found.items() - decided.items() == set(), "say in SECURITY.md what lies open, and why"
    assert set(decided) - set(found) == set()
    assert Counter(found.values())["sealed"] >= 25


def test_nothing_marked_lies_readable_in_the_database(
    sealed: Runtime, clock: SetClock, capsys: pytest.CaptureFixture[str]
) -> None:
    _drive(sealed, clock)
    values = 0
    columns = [(table, column) for table in metadata.sorted_tables for column in table.columns]
    found = []
    with sealed.engine.connect() as connection:
        for table, column in columns:
            stored = connection.execute(
                text(f"SELECT CAST({column.name} AS TEXT) FROM {table.name}")
            ).scalars()
            for value in filter(None, stored):
                values += 1
                found += [f"{table.name}.{column.name}: {value}" for mark in MARKS if mark in value.lower()]
        filled = {
            column.place
            for column in sealed_columns()
            if connection.execute(
                text(f"SELECT count(*) FROM {column.table} WHERE {column.stored} LIKE '%sealed.1:%'")
            ).scalar()
        }
    assert found == []
    never = {column.place for column in sealed_columns()} - filled
    assert never <= {"replies.media"}, "the drive must fill every sealed column"
    if sealed.engine.dialect.name == "sqlite":
        path = Path(sealed.engine.url.database or "")
        sealed.close()
        for file in path.parent.glob(path.name + "*"):
            content = file.read_bytes().lower()
            assert [mark for mark in MARKS if mark.encode() in content] == [], file.name
    with capsys.disabled():
        print(f" [{values} values in {len(columns)} columns searched] ", end="")  # noqa: T201


def _drive(runtime: Runtime, clock: SetClock) -> None:
    """A patient, a carer and a stranger write; a nurse is paged, calls, notes, resolves, marks as wrong."""
    member(runtime, phone=NURSE)
    program = signed_client(runtime)
    body = {
        "patient": {
            "name": NAME, "phone": PHONE, "timezone": "America/Chicago", "language": "en",
            "external_id": RECORD, "caregiver_phone": CARER, "caregiver_consent": True,
        },
        "protocol": "vertebroplasty",
        "procedure_at": "2027-02-28T16:00:00Z",
        "consent": {"method": "written", "at": "2027-02-28T15:00:00Z"},
    }  # fmt: skip
    made = program.post("/api/v1/enrollments", json=body, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    patient = made.json()["patient_id"]
    assert program.post("/api/v1/enrollments", json=body).status_code == 409
    for _ in range(3):
        _tick(runtime, clock)
    (course,) = rows(runtime, Enrollment)
    asked(runtime, course, "pain")
    for phone, words in ((PHONE, "8"), (PHONE, WORDS), (CARER, f"she is worse, {WORDS}"), (STRANGER, WORDS)):
        carrier = runtime.carrier
        assert isinstance(carrier, SimulatorCarrier)
        carrier.receive(phone, words)
        write(runtime, phone, words)
    _tick(runtime, clock)
    assert sent_to(runtime, NURSE, "page") and sent_to(runtime, PHONE, "safety")
    kim, key = browser_of(runtime), {"Idempotency-Key": "two"}
    sent = program.post(f"/api/v1/patients/{patient}/messages", json={"body": f"{NAME}: {NOTE}"}, headers=key)
    assert sent.status_code == 202
    row = the_escalation(runtime, patient_id=patient, reason="red_flag")
    for act, fields in (
        ("acknowledge", {}),
        ("note", {"note": NOTE}),
        ("contact", {"method": "phone", "note": NOTE}),
        ("resolve", {"disposition": "advice_given", "note": NOTE}),
    ):
        answer = kim.post(f"/escalations/{row.id}/{act}", **fields)
        assert answer.status_code == 303, (act, answer.text[:500])
    stranger = next(row for row in rows(runtime, Escalation) if row.patient_id is None)
    kim.post(f"/escalations/{stranger.id}/false-alarm", should_be="none", note=NOTE)
    write(runtime, PHONE, f"STOP {WORDS}")
    write(runtime, PHONE, "STOP")
    with session_on(runtime.engine) as session:
        act = {"now": clock(), "actor": "test", "reason": NOTE}
        enrollments.pause(session, course.id, **act)
        enrollments.withdraw(session, course.id, **act)
        who = {"member_id": kim.member.id, "patient_id": patient, "reason": NOTE}
        session.add(BreakGlass(**who, opened_at=clock(), until=clock()))
        legal_holds.set_hold(session, patient_id=patient, **act)
        legal_holds.lift_hold(session, patient_id=patient, **act)
    for address in ("/", f"/patients/{patient}", f"/escalations/{row.id}", "/patients?status=all&q=markwart"):
        assert "Zebulonia" in words_of(kim.text(address)), address


def _tick(runtime: Runtime, clock: SetClock) -> None:
    for job in JOBS:
        tick(runtime, job, {})
    clock.advance(minutes=10)
    for job in JOBS:
        tick(runtime, job, {})


def test_people_are_found_by_what_is_sealed(sealed: Runtime) -> None:
    clock = sealed.clock
    _drive(sealed, clock)  # type: ignore[arg-type]
    with session_on(sealed.engine) as session:
        for wanted in (
            Patient.phone == PHONE,
            col(Patient.phone).in_([ANA, PHONE]),
            Patient.external_id == RECORD,
            Patient.caregiver_phone == CARER,
        ):
            assert session.exec(select(Patient).where(wanted)).one().name == NAME
        state = session.get(PhoneState, PHONE)
        assert state is not None and state.opted_out_at and state.phone == PHONE
        heard = session.exec(select(Reply).where(Reply.from_phone == STRANGER)).all()
        assert heard and {row.body for row in heard} == {WORDS}
        moved = session.exec(select(Patient)).one()
        moved.phone, moved.name = "+13125550177", "Zoë O'Neil"
        session.commit()
        assert session.exec(select(Patient).where(Patient.phone == PHONE)).first() is None
        assert session.exec(select(Patient).where(Patient.phone == "+13125550177")).one() is moved
    kim = browser_of(sealed, "Sam Night")
    for sought in ("zoe", "ONEIL zoe", "0177", "555-0177", "(312) 555-0177", RECORD):
        assert "Zoë" in words_of(kim.text(f"/patients?status=all&q={sought}")), sought
        assert "Zoë" in words_of(kim.text(f"/?q={sought}")) or sought == RECORD
    for sought in ("zo", "markwart", "0187", "MRN", "zoe markwart"):
        assert "Zoë" not in words_of(kim.text(f"/patients?status=all&q={sought}")), sought


def test_the_database_is_never_asked_to_compare_what_it_cannot_read() -> None:
    for wrong in (
        lambda: Patient.name == "Ana",
        lambda: col(Patient.name).ilike("%a%"),
        lambda: col(OutboundMessage.body).in_(["a"]),
        lambda: col(Patient.name).desc(),
        lambda: col(Patient.phone) > "+1",
        lambda: col(Patient.phone).contains("555"),
        lambda: col(Patient.phone).in_(select(Reply.from_phone)),
        lambda: col(Escalation.findings)["a"],
    ):
        with pytest.raises(TypeError, match="sealed|subquery"):
            wrong()
    assert "phone_hash = replies.from_phone_hash" in str(Patient.phone == Reply.from_phone)


def test_a_value_moved_to_another_column_does_not_open(sealed: Runtime) -> None:
    member(sealed)
    row = write(sealed, STRANGER, WORDS)
    with sealed.engine.begin() as connection:
        connection.execute(text("UPDATE escalations SET note = (SELECT body FROM replies LIMIT 1)"))
    with reading(sealed.engine) as session:
        note = session.exec(select(Escalation.note)).first()
        assert isinstance(note, Unreadable) and "changed" in note
        assert session.get_one(Reply, row.id).body == WORDS


def test_another_ring_is_refused_with_what_to_do(sealed: Runtime, database_url: str, clock: SetClock) -> None:
    write(sealed, STRANGER, WORDS)
    right = sealed.settings.keyring
    for ring, said in (
        (ring_of("t1"), "another key named t1"),
        (ring_of("t2"), r"\d+ values in the database were sealed with key t1"),
        (Keyring(), r"\d+ values in the database were sealed with key t1.*aftercare keys forget t1"),
    ):
        engine = make_engine(database_url, ring=ring)
        with pytest.raises(SettingsError, match=said):
            adopt(engine, clock())
        engine.dispose()
    engine = make_engine(database_url, ring=Keyring({**ring_of("t2").keys, **right.keys}, "t2"))
    adopt(engine, clock())
    engine.dispose()
    assert {row.key_id for row in rows(sealed, SealingKey)} == {"t1", "t2"}


def test_with_a_lost_key_the_pages_stand_and_triage_goes_on(
    sealed: Runtime, database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drive(sealed, clock)
    write(sealed, CARER, WORDS)
    line = new_key_line("t2")
    monkeypatch.setenv("AFTERCARE_ENCRYPTION_KEYS", line)
    after = make_runtime(settings_for(database_url), clock=clock)
    with pytest.raises(SettingsError, match="not lost|No key named"):
        forget(after.engine, "t3", clock())
    assert forget(after.engine, "t1", clock()) is True
    adopt(after.engine, clock())
    patient = rows(after, Patient)[0]
    assert isinstance(patient.name, Unreadable) and "key t1 is missing" in patient.name
    kim, program = browser_of(after, "Ivy Day"), signed_client(after, "another program")
    for row in rows(after, Escalation):
        assert "key t1 is missing" in words_of(kim.text(f"/escalations/{row.id}"))
    for address in ("", "?view=resolved", "patients?status=all", "phones", "on-call", "scoreboard"):
        assert kim.get(f"/{address}").status_code == 200, address
    assert kim.get(f"/patients/{patient.id}").status_code == 200
    assert "key t1 is missing" in words_of(kim.text("/"))
    assert program.get("/api/v1/escalations").status_code == 200
    assert program.get(f"/api/v1/patients/{patient.id}/messages").status_code == 200
    member(after, "Theo Third", "+13125550173")
    with session_on(after.engine) as session:  # stored with the lost key, and not read before the stop
        session.execute(text("UPDATE replies SET triaged_at = NULL WHERE from_caregiver = false"))
        session.commit()
        waiting = session.exec(select(Reply.id).where(col(Reply.triaged_at).is_(None))).all()
    assert inbox.triage_backlog(after, clock())["triaged"] == 0 and waiting
    open_ones = [row for row in rows(after, Escalation) if row.status != "resolved" and row.urgency_rank >= 2]
    for unread in rows(after, Reply, col(Reply.id).in_(waiting)):
        assert unread.urgency == "urgent" and unread.triage_attempts == 1
        assert any(row.patient_id == unread.patient_id for row in open_ones), "a person is told at once"
    reply = write(after, PHONE, "my left foot is numb")
    found = the_escalation(after, reply_id=reply.id)
    assert found.urgency in ("urgent", "emergency") and found.phone == PHONE
    assert sent_to(after, PHONE, "safety"), "the sender is told what to do"
    _tick(after, clock)
    with session_on(after.engine) as session:  # as if one of the plan were still due
        session.execute(text("UPDATE outbound_messages SET status = 'planned' WHERE kind = 'check_in' "))
        session.execute(text("UPDATE enrollments SET status = 'active'"))
        session.commit()
    clock.advance(days=1)
    _tick(after, clock)
    assert sent_to(after, "+13125550173", "page"), "whoever can be reached is paged"
    unsent = rows(after, OutboundMessage, OutboundMessage.error_code == "key_missing")
    assert unsent and {row.status for row in unsent} == {"failed"}
    read = [row.body for row in rows(after, SimulatedText) if not isinstance(row.body, Unreadable)]
    assert read and not [body for body in read if "cannot be read" in body], "nobody is sent a placeholder"
    after.close()


def test_a_worker_that_lacks_the_new_key_does_not_take_a_text_for_lost(
    database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys were rotated and one worker started without the new one: it sees no words that stand in a log."""
    old, standin = seal(database_url, monkeypatch), StandIn(receipts=()).start()
    values = {"pace": 0, **settings_of(standin)}
    behind = make_runtime(settings_for(database_url, **values), clock=clock)
    seal(database_url, monkeypatch, f"{new_key_line('t2')},{old}")
    ahead = make_runtime(settings_for(database_url, **values), clock=clock)
    with session_on(ahead.engine) as session:
        told = {"to_phone": PHONE, "body": WORDS, "expires_at": clock() + timedelta(hours=2)}
        outbox.queue(session, now=clock(), key="k", kind="member", **told)
        session.commit()
    standin.script.append(ACCEPT_DROP)
    dispatch.send_urgent(ahead, clock())
    assert isinstance(rows(behind, OutboundMessage)[0].body, Unreadable)
    assert reconcile.settle(behind, clock.advance(seconds=16)) == {"unreadable": 1}
    dispatch.send_urgent(ahead, clock())
    assert reconcile.settle(ahead, clock.advance(seconds=16)) == {"found": 1}
    assert standin.got(PHONE) == [WORDS]
    for runtime in (behind, ahead):
        runtime.close()
    standin.stop()


def test_a_phone_that_refused_texts_stays_refused_when_its_number_cannot_be_read(
    sealed: Runtime, database_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash tells, not the words: a key was lost, the index key was not, and the nurse's number was typed
    in again."""
    nurse = member(sealed, phone=NURSE)
    course = enroll(sealed, ANA)
    for phone in (NURSE, ANA):
        _refused(sealed, phone, "21610", clock)
    with reading(sealed.engine) as session:
        assert oncall.pageable(session, session.exec(select(Member)).all()) == []
    both = f"{new_key_line('t2')},{sealed.settings.encryption_keys.get_secret_value()}"
    engine = make_engine(database_url, ring=Keyring.parse(both))
    adopt(engine, clock())
    engine.dispose()
    monkeypatch.setenv("AFTERCARE_ENCRYPTION_KEYS", both.partition(",")[0])
    after = make_runtime(settings_for(database_url), clock=clock)
    assert forget(after.engine, "t1", clock()) is False, "the index key is still there"
    with session_on(after.engine) as session:
        session.get_one(Member, nurse.id).phone = NURSE
        session.exec(select(Patient)).one().phone = ANA
        due = session.exec(select(OutboundMessage).where(OutboundMessage.kind == "check_in")).first()
        due.to_phone = ANA
        session.commit()
        assert isinstance(session.get_one(PhoneState, NURSE).phone, Unreadable)
        assert oncall.pageable(session, session.exec(select(Member)).all()) == []
        assert oncall.to_page(session, 1, clock(), DEFAULT_TEAM) == []
        decision = plan.release(session, after, [due], clock())[due.id]
        assert isinstance(decision, Skip) and course.id == due.enrollment_id
        session.rollback()
    _refused(after, None, "30006", clock)  # a text whose number cannot be read has its receipt all the same
    with reading(after.engine) as session:
        states = session.exec(select(PhoneState)).all()
        assert len(states) == 2 and [row.unreachable_at for row in states if row.unreachable_at]
    after.close()


def _refused(runtime: Runtime, phone: str | None, code: str, clock: SetClock) -> None:
    """The carrier says of a text to this phone (None: one whose number cannot be read) that it cannot be."""
    with session_on(runtime.engine) as session:
        if phone is None:
            texts = session.exec(select(OutboundMessage)).all()
            row = next(row for row in texts if isinstance(row.to_phone, Unreadable))
        else:
            row = outbox.queue(
                session, now=clock(), key=f"to {phone}", kind="notice", to_phone=phone, body="hello",
                expires_at=clock() + timedelta(hours=1),
            )  # fmt: skip
        fates.fail(session, runtime, row, code, clock())
        session.commit()
