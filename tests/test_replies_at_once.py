"""Hundreds of replies at once through two web processes' doors, some at both: none lost, stored or answered
twice. The long form, 10,000 of them with the processes killed meanwhile, is ``make chaos``."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from jobs import triage_backlog, watch_escalations
from service.app import create_app
from service.models import Escalation, OutboundMessage, Reply, StoredAssessment
from service.runtime import Runtime, make_runtime
from tests.clinic import enroll, rows
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import StandIn, inbound_form, settings_of, sign

PUBLIC = "https://aftercare.example.test"
INBOUND = f"{PUBLIC}/twilio/inbound"
REPLIES, PHONES, TWICE, AT_ONCE = 240, 90, 60, 12
RED = ("my foot is numb since this morning", "i cant pee", "tengo mucho dolor en el pecho")
CALM = ("all good thanks", "ok", "pain is 3")


@pytest.fixture
def doors(database_url: str, clock: SetClock) -> Iterator[tuple[StandIn, list[Runtime]]]:
    standin = StandIn(receipts=()).start()
    values = settings_of(standin) | {"public_url": PUBLIC}
    runtimes = [make_runtime(settings_for(database_url, pace=0, **values), clock=clock) for _ in range(2)]
    yield standin, runtimes
    for runtime in runtimes:
        runtime.close()
    standin.stop()


def test_a_crowd_at_two_doors_with_repeats_is_stored_read_and_answered_once(
    doors: tuple[StandIn, list[Runtime]], clock: SetClock
) -> None:
    standin, runtimes = doors
    chance = random.Random(11)
    phones = [f"+1312555{1000 + number}" for number in range(PHONES)]
    for phone in phones[:20]:
        enroll(runtimes[0], phone, f"Patient {phone[-4:]}")
    forms = [
        inbound_form(standin.write(chance.choice(phones), chance.choice(RED + CALM))) for _ in range(REPLIES)
    ]
    knocks = [*forms, *chance.sample(forms, TWICE)]
    chance.shuffle(knocks)
    clients = [TestClient(create_app(runtime), base_url=PUBLIC) for runtime in runtimes]

    def knock(place: int) -> int:
        form = knocks[place]
        return clients[place % 2].post("/twilio/inbound", data=form, headers=sign(INBOUND, form)).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = Counter(pool.map(knock, range(len(knocks))))
    assert set(answers) <= {200, 503}
    for form in forms:  # as the carrier does after a 503, and here after everything
        assert clients[0].post("/twilio/inbound", data=form, headers=sign(INBOUND, form)).status_code == 200
    for runtime in runtimes:
        runtime.close_intake()
    triage_backlog.run(runtimes[0], clock())
    stored = rows(runtimes[0], Reply)
    assert Counter(row.carrier_sid for row in stored) == Counter(form["MessageSid"] for form in forms)
    assert all(row.triaged_at and row.triage_attempts == 0 for row in stored)
    read = rows(runtimes[0], StoredAssessment)
    assert {row.reply_id for row in read} == {row.id for row in stored} and len(read) == len(stored)
    _each_red_flag_has_one_escalation(runtimes[0], stored)
    repairs = watch_escalations.run(runtimes[0], clock.advance(seconds=30))
    assert {name: count for name, count in repairs.items() if count} == {}


def _each_red_flag_has_one_escalation(runtime: Runtime, stored: list[Reply]) -> None:
    red = {row.from_phone for row in stored if row.body in RED}
    clinical = [row for row in rows(runtime, Escalation) if row.kind == "clinical"]
    assert Counter(row.phone for row in clinical if row.phone in red) == Counter(dict.fromkeys(red, 1))
    answers = Counter(
        (row.to_phone, row.body) for row in rows(runtime, OutboundMessage, OutboundMessage.kind == "safety")
    )
    assert red <= {phone for phone, _ in answers} and set(answers.values()) == {1}
