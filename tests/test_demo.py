"""The demonstration: a clinic whose past was really played, ready for a newcomer within seconds."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, func, select

from jobs import flag_silence, page_on_call, settle_unknown
from service.app import create_app
from service.db import reading
from service.demo import open_demo
from service.demo_clock import DemoClock
from service.models import (
    AuditEvent,
    Enrollment,
    Escalation,
    Member,
    OutboundMessage,
    Patient,
    PlanItem,
    Reply,
    SimulatedText,
)
from service.runtime import Runtime
from service.web.doors import peoples_clock
from service.web.phones import SIMULATED
from tests.web_clinic import words_of

JOBS = {
    "flag_silence": flag_silence.run,
    "page_on_call": page_on_call.run,
    "settle_unknown": settle_unknown.run,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, str]]:
    runtime, words = open_demo(port=8765, speed=60, jobs=JOBS, folder=tmp_path_factory.mktemp("demo"))
    yield runtime, words
    runtime.close()


def found(runtime: Runtime, query):
    with reading(runtime.engine) as session:
        return session.exec(query).all()


def test_the_words_printed_are_enough_to_come_in(demo: tuple[Runtime, str]):
    runtime, words = demo
    assert "http://127.0.0.1:8765" in words and "60 times as fast" in words
    client = TestClient(create_app(runtime), base_url="http://127.0.0.1:8765")
    door = client.get("/")
    assert runtime.welcome.email in door.text and runtime.welcome.password in door.text
    page = client.post(
        "/sign-in", data={"email": runtime.welcome.email, "password": runtime.welcome.password, "next": "/"}
    )
    seen = words_of(page.text)
    assert "Two minutes to see the whole service work" in seen
    assert "Walter Brandt" in seen and "cant catch my breath" in seen


def test_its_people_are_made_up_and_reach_nobody(demo: tuple[Runtime, str]):
    runtime, _ = demo
    phones = found(runtime, select(Patient.phone)) + found(runtime, select(Member.phone))
    assert len(phones) >= 12 and all(SIMULATED.fullmatch(phone) for phone in phones if phone)
    assert all(email.endswith(".example") for email in found(runtime, select(Member.email)))
    assert runtime.carrier.name == "simulator"


def test_what_it_shows_went_the_ordinary_way(demo: tuple[Runtime, str]):
    """Every text the phones show was a row of ours, every reply was triaged, every act is on record."""
    runtime, _ = demo
    shown = found(runtime, select(SimulatedText.message_id).where(SimulatedText.direction == "out"))
    ours = set(found(runtime, select(OutboundMessage.id)))
    assert len(shown) > 150 and set(shown) <= ours
    assert found(runtime, select(Reply).where(col(Reply.triaged_at).is_(None))) == []
    assert len(found(runtime, select(AuditEvent).where(AuditEvent.action == "enroll patient"))) == 11
    statuses = dict(found(runtime, select(PlanItem.status, func.count()).group_by(PlanItem.status)))
    assert statuses["answered"] > 50 and statuses["planned"] > 100


def test_the_queue_holds_one_of_each_kind_a_team_meets(demo: tuple[Runtime, str]):
    runtime, _ = demo
    rows = found(runtime, select(Escalation).where(Escalation.status != "resolved"))
    assert {row.status for row in rows} == {"open", "acknowledged", "contacted"}
    assert {"red_flag", "opt_out", "silence", "question"} <= {row.reason for row in rows}
    assert {"emergency", "urgent", "routine"} == {row.urgency for row in rows}
    assert len(rows) < 16, "a newcomer must see the point at a glance"


def test_patients_differ_in_language_zone_and_day(demo: tuple[Runtime, str]):
    runtime, _ = demo
    patients = found(runtime, select(Patient))
    assert {patient.language for patient in patients} == {"en", "es"}
    assert len({patient.timezone for patient in patients}) >= 5
    days = {(runtime.clock() - course.procedure_at).days for course in found(runtime, select(Enrollment))}
    assert min(days) == 0 and max(days) >= 28


def test_its_clock_stands_while_the_past_is_played_and_then_runs_as_fast_as_asked():
    clock = DemoClock(speed=3600)
    assert clock() == clock()
    clock.put(clock() - timedelta(days=9))
    before = clock()
    clock.start()
    assert clock() - before > timedelta(days=8)
    first = clock()
    for _ in range(50_000):
        pass
    assert clock() > first


def test_the_sample_clinic_is_thrown_away(demo: tuple[Runtime, str], tmp_path: Path):
    runtime, _ = demo
    assert "aftercare.sqlite3" not in runtime.settings.database_url


def test_a_fast_clock_does_not_lock_people_out(demo: tuple[Runtime, str]):
    runtime, _ = demo
    assert abs(peoples_clock(runtime) - DemoClock().real()) < timedelta(seconds=5)
    runtime.clock.speed, speed = 100_000, runtime.clock.speed
    client = TestClient(create_app(runtime), base_url="http://127.0.0.1:8765", follow_redirects=False)
    client.post("/sign-in", data={"email": runtime.welcome.email, "password": runtime.welcome.password})
    before = runtime.clock()
    while runtime.clock() - before < timedelta(hours=13):
        pass
    assert client.get("/me").status_code == 200
    runtime.clock.speed = speed
