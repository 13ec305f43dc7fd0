"""Stored but unread replies are read, oldest first, once."""

from jobs import triage_backlog
from service import inbox
from service.db import session_on
from service.models import StoredAssessment
from service.runtime import Runtime
from tests.clinic import ANA, STRANGER, enroll, escalations_of, rows, sent_to


def stored(runtime: Runtime, sid: str, body: str, phone: str = ANA) -> None:
    with session_on(runtime.engine) as session:
        inbox.receive(
            session, now=runtime.clock(), carrier_sid=sid, from_phone=phone, to_phone=None, body=body,
            caught_up=True,
        )  # fmt: skip


def test_nothing_waiting(runtime: Runtime, clock) -> None:
    assert triage_backlog.run(runtime, clock()) == {"tried": 0, "triaged": 0}


def test_what_waits_is_read_with_every_consequence_and_only_once(runtime: Runtime, clock) -> None:
    enroll(runtime)
    stored(runtime, "SM1", "chest pain")
    stored(runtime, "SM2", "hello?", STRANGER)
    assert triage_backlog.run(runtime, clock()) == {"tried": 2, "triaged": 2}
    assert {row.reason for row in escalations_of(runtime)} == {"red_flag", "unknown_number"}
    assert sent_to(runtime, ANA)[0].body.startswith("Call 911")
    assert triage_backlog.run(runtime, clock()) == {"tried": 0, "triaged": 0}
    assert len(rows(runtime, StoredAssessment)) == 2


def test_a_limit_leaves_the_newest_for_the_next_run(runtime: Runtime, clock) -> None:
    for number in range(5):
        stored(runtime, f"SM{number}", "chest pain", f"+1312555020{number}")
        clock.advance(seconds=1)
    assert inbox.triage_backlog(runtime, clock(), limit=3) == {"tried": 3, "triaged": 3}
    assert {row.phone for row in escalations_of(runtime)} == {f"+1312555020{number}" for number in range(3)}
