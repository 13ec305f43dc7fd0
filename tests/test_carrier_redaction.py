"""The carrier forgets the words of texts when the setting says so: once each, with retries, never on hold."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs import redact_at_carrier
from service import legal_holds, redactions
from service.db import session_on
from service.models import CarrierRedaction, OutboundMessage, Reply
from service.runtime import Runtime, make_runtime
from tests import clinic
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import BROKEN, BUSY, OK, StandIn, settings_of

WORDS = "my left foot is numb"


@pytest.fixture
def live(database_url: str, clock: SetClock) -> Iterator[tuple[Runtime, StandIn]]:
    standin = StandIn().start()
    settings = settings_for(database_url, pace=0, carrier_redaction="7", **settings_of(standin))
    runtime = make_runtime(settings, clock=clock)
    yield runtime, standin
    runtime.close()
    standin.stop()


def written(runtime: Runtime, standin: StandIn, phone: str = clinic.ANA, media: int = 0) -> Reply:
    text = standin.write(phone, WORDS, media=media)
    pictures = [{"url": "https://api.example.test/1", "type": "image/jpeg"}] * media
    return clinic.text(runtime, phone, WORDS, carrier_sid=text.sid, media=pictures or None)


def bodies(standin: StandIn) -> list[str]:
    return [text.body for text in standin.log]


def states(runtime: Runtime) -> list[str]:
    return [row.status for row in clinic.rows(runtime, CarrierRedaction)]


def test_after_its_days_and_not_before(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    clinic.enroll(runtime)
    written(runtime, standin, media=2)
    clock.advance(days=6)
    assert redact_at_carrier.run(runtime, clock()) == {} and bodies(standin) == [WORDS]
    clock.advance(days=1, minutes=1)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1, "noted": 1}
    assert bodies(standin) == [""] and standin.log[0].media == 0
    clock.advance(days=1)
    before = sum(standin.posts.values())
    assert redact_at_carrier.run(runtime, clock()) == {}
    assert sum(standin.posts.values()) == before
    assert clinic.rows(runtime, Reply)[0].body == WORDS  # ours stays


def test_our_own_texts_too_but_no_pages(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    course = clinic.enroll(runtime)
    with session_on(runtime.engine) as session:
        for number, kind in enumerate(("member", "page")):
            sid = standin.accept({"To": clinic.ANA, "Body": kind}).sid
            session.add(
                OutboundMessage(
                    key=f"k{number}", kind=kind, to_phone=clinic.ANA, body=kind, created_at=clock(),
                    due_at=clock(), expires_at=clock(), status="delivered", accepted_at=clock(),
                    settled_at=clock(), carrier_sid=sid, patient_id=course.patient_id,
                )
            )  # fmt: skip
        session.commit()
    clock.advance(days=8)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1, "noted": 1}
    assert sorted(bodies(standin)) == ["", "page"]


def test_a_carrier_that_fails_is_asked_again(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    written(runtime, standin)
    clock.advance(days=8)
    standin.script.extend([BROKEN, BUSY, OK])
    assert redact_at_carrier.run(runtime, clock()) == {"later": 1, "noted": 1}
    assert redact_at_carrier.run(runtime, clock()) == {}  # not at once
    clock.advance(minutes=2)
    assert redact_at_carrier.run(runtime, clock()) == {"later": 1}
    assert bodies(standin) == [WORDS]
    clock.advance(minutes=5)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1}
    assert bodies(standin) == [""] and states(runtime) == ["done"]


def test_a_text_the_carrier_no_longer_has_is_done(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    written(runtime, standin)
    standin.log.clear()
    clock.advance(days=8)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1, "noted": 1}


def test_a_worker_that_died_leaves_it_to_the_next(
    live: tuple[Runtime, StandIn], clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, standin = live
    written(runtime, standin)
    clock.advance(days=8)

    def die(*_: object, **__: object) -> bool:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(runtime.carrier, "redact", die)
        with pytest.raises(SystemExit):
            redact_at_carrier.run(runtime, clock())
    clock.advance(minutes=3)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1}


def test_a_redacted_text_does_not_wait_for_its_days(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    reply = written(runtime, standin, media=1)
    with session_on(runtime.engine) as session:
        redactions.redact_reply(
            session, runtime, now=clock(), reply_id=reply.id, why="wrong_person", actor="kim"
        )
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1}
    assert bodies(standin) == [""] and standin.log[0].media == 0


def test_a_record_on_hold_stays_at_the_carrier_too(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    course = clinic.enroll(runtime)
    written(runtime, standin)
    clock.advance(days=8)
    given = {"patient_id": course.patient_id, "actor": "kim"}
    clinic.in_session(runtime, legal_holds.set_hold, **given, reason="claim")
    assert redact_at_carrier.run(runtime, clock()) == {}
    assert bodies(standin) == [WORDS]
    clinic.in_session(runtime, legal_holds.lift_hold, **given, reason="settled")
    clock.advance(hours=1)
    assert redact_at_carrier.run(runtime, clock()) == {"done": 1, "noted": 1}


def test_a_hold_that_comes_later_stops_what_was_noted(live: tuple[Runtime, StandIn], clock: SetClock) -> None:
    runtime, standin = live
    course = clinic.enroll(runtime)
    written(runtime, standin)
    clock.advance(days=8)
    standin.script.append(BUSY)
    redact_at_carrier.run(runtime, clock())
    clinic.in_session(
        runtime, legal_holds.set_hold, patient_id=course.patient_id, reason="claim", actor="kim"
    )
    for _ in range(3):
        clock.advance(days=2)
        assert redact_at_carrier.run(runtime, clock()) == {}
    assert bodies(standin) == [WORDS] and states(runtime) == ["waiting"]


def test_the_simulated_carrier_forgets_too(database_url: str, clock: SetClock) -> None:
    runtime = make_runtime(settings_for(database_url, carrier_redaction="1"), clock=clock)
    logged = runtime.carrier.receive(clinic.ANA, WORDS)  # type: ignore[attr-defined]
    clinic.text(runtime, clinic.ANA, WORDS, carrier_sid=logged.carrier_sid)
    clock.advance(days=2)
    assert redact_at_carrier.run(runtime, clock())["done"] >= 1
    since = clock() - timedelta(days=9)
    assert [line.body for line in runtime.carrier.log(since=since, direction="in")] == [""]
    assert runtime.carrier.redact("SM-unknown", has_media=False) is False
    runtime.close()
