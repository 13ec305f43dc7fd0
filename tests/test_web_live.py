"""Live pages: a change is told within a second, to those who are signed in, and never what it was."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from service.db import reading, session_on
from service.models import MemberSession
from service.runtime import Runtime, make_runtime
from service.sight import EVERYTHING
from service.web import live
from tests.clinic import ANA, enroll, text, the_escalation
from tests.conftest import SetClock, settings_for
from tests.web_clinic import browser_of, client_of


def token_of(kim) -> str:
    return kim.client.cookies["aftercare"]


def told(runtime: Runtime, topic: str, token: str | None, acts: list[Callable[[], object]]) -> list[dict]:
    """Read the stream; after each new state do the next act; stop when all are done."""

    async def listen() -> list[dict]:
        found: list[dict] = []
        left = list(acts)
        async for event in live.changes(runtime, topic, token):
            if "event: ended" in event:
                found.append({"ended": True})
            if "event: state" not in event:
                continue
            found.append(json.loads(event.split("data: ", 1)[1]))
            if left:
                await asyncio.to_thread(left.pop(0))
            else:
                runtime.stopping.set()
        return found

    return asyncio.run(asyncio.wait_for(listen(), 20))


def test_a_new_red_flag_changes_the_version_and_the_counts_and_says_nothing_of_it(runtime: Runtime):
    enroll(runtime)
    kim = browser_of(runtime)
    states = told(runtime, "queue", token_of(kim), [lambda: text(runtime, ANA, "my foot is numb")])
    assert states[0]["version"] != states[-1]["version"]
    assert (states[0]["counts"]["alarming"], states[-1]["counts"]["alarming"]) == (0, 1)
    assert "numb" not in json.dumps(states) and "Ana" not in json.dumps(states)


def test_a_database_that_is_away_for_a_while_ends_no_stream(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    enroll(runtime)
    kim = browser_of(runtime)
    there, failures = live.reading, iter(range(3))

    def away(engine):
        if next(failures, None) is not None:
            raise OperationalError("SELECT", {}, ConnectionError("gone"))
        return there(engine)

    def go_away() -> None:
        monkeypatch.setattr(live, "reading", away)
        text(runtime, ANA, "my foot is numb")

    states = told(runtime, "queue", token_of(kim), [go_away])
    assert [state["counts"]["alarming"] for state in (states[0], states[-1])] == [0, 1]
    assert next(failures, None) is None and "waits for the database" in caplog.text


def test_the_stream_ends_at_once_when_the_process_stops(runtime: Runtime):
    kim = browser_of(runtime)
    runtime.stopping.set()
    assert told(runtime, "queue", token_of(kim), []) == []


def test_a_locked_page_hears_numbers_only_and_a_revoked_session_ends(runtime: Runtime, clock: SetClock):
    kim = browser_of(runtime)
    clock.advance(minutes=20)
    states = told(runtime, "queue", token_of(kim), [])
    assert states[0]["locked"] is True and states[0]["version"] == "locked"
    runtime.stopping.clear()
    with session_on(runtime.engine) as session:
        for row in session.exec(select(MemberSession)):
            session.delete(row)
        session.commit()
    assert told(runtime, "queue", token_of(kim), []) == [{"ended": True}]


def test_watching_is_not_activity(runtime: Runtime):
    kim = browser_of(runtime)
    before = runtime.clock()
    told(runtime, "queue", token_of(kim), [])
    with session_on(runtime.engine) as session:
        assert session.exec(select(MemberSession)).one().seen_at == before


def test_versions_follow_what_each_page_shows(runtime: Runtime, clock: SetClock):
    course = enroll(runtime)
    text(runtime, ANA, "my foot is numb")
    item = the_escalation(runtime)
    topics = ("queue", f"escalation:{item.id}", f"patient:{course.patient_id}")

    def versions() -> list[str]:
        with reading(runtime.engine) as session:
            return [live.version_of(session, EVERYTHING, topic) for topic in topics]

    first = versions()
    assert first == versions()
    browser_of(runtime).post(f"/escalations/{item.id}/acknowledge")
    second = versions()
    assert all(one != two for one, two in zip(first, second, strict=True))
    clock.advance(seconds=20)
    text(runtime, ANA, "thanks")
    third = versions()
    assert second[1] != third[1] and second[2] != third[2]


def test_strangers_and_made_up_topics_get_nothing(runtime: Runtime):
    kim = browser_of(runtime)
    assert client_of(runtime).get("/live?topic=queue").status_code == 401
    for topic in ("patient:" + "x" * 32, "phone:911", "queue; drop", "escalation:", "member:" + "0" * 32):
        assert kim.get(f"/live?topic={topic}").status_code == 404, topic


def test_a_hundred_watchers_cost_one_look(sqlite_url: str, clock: SetClock):
    runtime = make_runtime(settings_for(sqlite_url), clock=clock)
    assert live.look(runtime, "queue", EVERYTHING) is live.look(runtime, "queue", EVERYTHING)
    runtime.close()


@pytest.mark.parametrize("hours", [0, 6])
def test_the_clock_told_is_the_services(runtime: Runtime, clock: SetClock, hours: int):
    kim = browser_of(runtime)
    clock.now += timedelta(minutes=hours)
    assert told(runtime, "queue", token_of(kim), [])[0]["now"] == clock().timestamp()


def test_who_looks_and_who_writes_is_told_to_the_others(runtime: Runtime, clock: SetClock):
    enroll(runtime)
    text(runtime, ANA, "my foot is numb")
    item = the_escalation(runtime)
    kim, sam = browser_of(runtime), browser_of(runtime, "Sam Ortega")
    topic = f"escalation:{item.id}"
    told(runtime, topic, token_of(kim), [])
    runtime.stopping.clear()
    assert told(runtime, topic, token_of(sam), [])[0]["present"] == [["Kim Ryan", False, item.id]]
    kim.post("/segments", body="We are", about=item.id)
    runtime.stopping.clear()
    live._shared.clear()
    assert told(runtime, topic, token_of(sam), [])[0]["present"] == [["Kim Ryan", True, item.id]]
    runtime.stopping.clear()
    assert told(runtime, "queue", token_of(sam), [])[0]["present"] == [["Kim Ryan", True, item.id]]
    clock.advance(seconds=16)
    runtime.stopping.clear()
    live._shared.clear()
    assert told(runtime, topic, token_of(sam), [])[0]["present"] == []
