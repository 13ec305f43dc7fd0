"""One contract, two carriers: the simulator, and Twilio's library against the stand-in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from service.carriers import Carrier, CarrierError, Sending
from service.carriers.simulator import SimulatorCarrier
from service.carriers.twilio import TwilioCarrier
from service.carriers.twilio_setup import OVERRIDES
from service.db import make_engine
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import (
    ACCEPT_BROKEN,
    ACCEPT_DROP,
    BROKEN,
    BUSY,
    DROP,
    GARBAGE,
    StandIn,
    settings_of,
)

PHONE = "+13125550101"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def real_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn().start()
    yield standin
    standin.stop()


@pytest.fixture
def twilio(standin: StandIn) -> Iterator[TwilioCarrier]:
    carrier = TwilioCarrier.from_settings(
        settings_for("sqlite:///unused.sqlite3", **settings_of(standin)), real_now
    )
    yield carrier
    carrier.close()


@dataclass
class Kept:
    """A carrier under contract, and how somebody writes to us through it."""

    carrier: Carrier
    write: Callable[[str, str], str]
    invalid: str
    opted_out: str
    landline: str


@pytest.fixture(params=["simulator", "twilio"])
def kept(request: pytest.FixtureRequest, clock: SetClock) -> Iterator[Kept]:
    if request.param == "twilio":
        standin: StandIn = request.getfixturevalue("standin")
        standin.refusals = {"+13125550661": 21211, "+13125550664": 21610, "+13125550669": 21614}
        yield Kept(
            request.getfixturevalue("twilio"),
            lambda phone, body: standin.write(phone, body).sid,
            *standin.refusals,
        )
        return
    engine = make_engine(request.getfixturevalue("sqlite_url"))
    simulator = SimulatorCarrier(engine, clock)
    yield Kept(
        simulator,
        lambda phone, body: simulator.receive(phone, body).carrier_sid,
        "+15005550001",
        "+15005550004",
        "+15005550009",
    )
    engine.dispose()


def sending(body: str = "How is your back today?", phone: str = PHONE) -> Sending:
    return Sending("0" * 32, phone, body, useful_seconds=3600)


def test_an_accepted_text_has_an_id_and_is_in_the_log(kept: Kept) -> None:
    sid = kept.carrier.send(sending()).carrier_sid
    assert sid.startswith("SM") and len(sid) == 34
    (line,) = kept.carrier.log(to_phone=PHONE, since=LONG_AGO, direction="out")
    assert (line.carrier_sid, line.body, line.to_phone) == (sid, "How is your back today?", PHONE)
    assert line.created_at.tzinfo is not None


def test_two_texts_have_two_ids(kept: Kept) -> None:
    assert kept.carrier.send(sending()) != kept.carrier.send(sending())
    assert len(kept.carrier.log(to_phone=PHONE, since=LONG_AGO, direction="out")) == 2


@pytest.mark.parametrize(
    ("who", "code"), [("invalid", "21211"), ("opted_out", "21610"), ("landline", "21614")]
)
def test_a_refusal_is_permanent_and_says_its_code(kept: Kept, who: str, code: str) -> None:
    with pytest.raises(CarrierError) as refused:
        kept.carrier.send(sending(phone=getattr(kept, who)))
    assert refused.value.permanent and refused.value.code == code
    assert kept.carrier.log(to_phone=getattr(kept, who), since=LONG_AGO, direction="out") == []


def test_the_log_holds_what_was_written_to_us(kept: Kept) -> None:
    sid = kept.write(PHONE, "my foot is numb")
    kept.carrier.send(sending())
    (line,) = kept.carrier.log(since=LONG_AGO, direction="in")
    assert (line.carrier_sid, line.direction, line.from_phone) == (sid, "in", PHONE)
    assert line.body == "my foot is numb"


def test_the_log_ends_where_it_is_told(kept: Kept) -> None:
    kept.carrier.send(sending())
    later = datetime.now(UTC) + timedelta(days=4000)
    assert kept.carrier.log(to_phone=PHONE, since=later, direction="out") == []


def test_the_log_of_one_phone_is_its_own(kept: Kept) -> None:
    kept.carrier.send(sending(phone="+13125550102"))
    assert kept.carrier.log(to_phone=PHONE, since=LONG_AGO, direction="out") == []


# -- Twilio alone: what only a network can do ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome", "arrived"),
    [
        (BUSY, "not_processed", 0),
        (BROKEN, "unknown", 0),
        (DROP, "unknown", 0),
        (ACCEPT_BROKEN, "unknown", 1),
        (ACCEPT_DROP, "unknown", 1),
        (GARBAGE, "unknown", 1),
    ],
)
def test_each_failure_has_its_outcome_and_is_posted_once(
    twilio: TwilioCarrier, standin: StandIn, answer: str, outcome: str, arrived: int
) -> None:
    standin.script.append(answer)
    with pytest.raises(CarrierError) as failed:
        twilio.send(sending())
    assert failed.value.outcome == outcome
    assert sum(standin.posts.values()) == 1
    assert len(standin.got(PHONE)) == arrived


def test_slow_down_says_for_how_long(twilio: TwilioCarrier, standin: StandIn) -> None:
    standin.script.append(BUSY)
    standin.retry_after = "7"
    with pytest.raises(CarrierError) as failed:
        twilio.send(sending())
    assert failed.value.retry_after == 7 and failed.value.code == "20429"


def test_nobody_listening_is_surely_not_processed(standin: StandIn) -> None:
    carrier = TwilioCarrier.from_settings(
        settings_for("sqlite:///unused.sqlite3", **settings_of(standin)), real_now
    )
    standin.stop()
    try:
        with pytest.raises(CarrierError) as failed:
            carrier.send(sending())
        assert failed.value.outcome == "not_processed"
    finally:
        standin.start()


def test_a_wrong_token_keeps_the_text_for_later(standin: StandIn) -> None:
    values = settings_of(standin) | {"twilio_auth_token": "wrong"}
    carrier = TwilioCarrier.from_settings(settings_for("sqlite:///unused.sqlite3", **values), real_now)
    with pytest.raises(CarrierError) as failed:
        carrier.send(sending())
    assert (failed.value.outcome, failed.value.code) == ("not_processed", "20003")
    carrier.close()


def test_an_unknown_code_is_not_repeated(twilio: TwilioCarrier, standin: StandIn) -> None:
    standin.refusals[PHONE] = 99999
    with pytest.raises(CarrierError) as failed:
        twilio.send(sending())
    assert failed.value.permanent and "99999" in str(failed.value)


def test_the_carrier_is_never_waited_for_longer_than_a_claim_lasts(twilio: TwilioCarrier) -> None:
    with twilio._client() as client:
        connect, answer = client.http_client.timeout
    assert connect + answer < 10


def test_a_long_log_is_read_to_its_end(twilio: TwilioCarrier, standin: StandIn) -> None:
    for number in range(230):
        standin.write(PHONE, f"reply {number}")
    lines = twilio.log(since=LONG_AGO, direction="in")
    assert [line.body for line in lines] == [f"reply {number}" for number in reversed(range(230))]


def test_the_carriers_times_are_told_in_our_clock(standin: StandIn, clock: SetClock) -> None:
    settings = settings_for("sqlite:///unused.sqlite3", **settings_of(standin))
    carrier = TwilioCarrier.from_settings(settings, clock)
    standin.write(PHONE, "hello")
    (line,) = carrier.log(since=clock.now - timedelta(minutes=1), direction="in")
    assert abs(line.created_at - clock.now) < timedelta(seconds=5)
    carrier.close()


def test_the_text_carries_our_id_and_its_useful_time(twilio: TwilioCarrier, standin: StandIn) -> None:
    twilio.send(sending())
    assert standin.log[0].callback == f"http://127.0.0.1:8000/twilio/status?m={'0' * 32}"


def test_no_phone_reaches_the_log_output(
    twilio: TwilioCarrier, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="aftercare")
    twilio.send(sending())
    twilio.log(to_phone=PHONE, since=LONG_AGO, direction="out")
    assert PHONE not in caplog.text and "numb" not in caplog.text


def test_wrong_settings_at_the_carrier_are_named(twilio: TwilioCarrier, standin: StandIn) -> None:
    ours = "https://aftercare.example.test"
    (unset,) = twilio.webhook_faults(ours)
    assert "no address for incoming texts" in unset
    standin.number_config = {"sms_url": "https://me:hunter2@elsewhere.example.test/x?key=hunter2#rc=0"}
    faults = twilio.webhook_faults(ours)
    assert len(faults) == 3 and "https://elsewhere.example.test/x," in faults[0]
    assert "hunter2" not in str(faults), "somebody else's address may hold a password"
    standin.number_config = {
        "sms_url": f"{ours}/twilio/inbound{OVERRIDES}",
        "sms_fallback_url": "https://fallback.example.test/twilio",
    }
    assert twilio.webhook_faults(ours) == []
    twilio.check_access()
