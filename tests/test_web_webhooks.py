"""The two doors the carrier knocks at: only what is signed comes in, and it is kept before it is answered."""

from collections.abc import Iterator
from threading import Event
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import select
from starlette.testclient import TestClient

from service import dispatch, inbox, marks, receipts
from service.db import session_on
from service.models import Escalation, OutboundMessage, Reply
from service.runtime import Runtime, make_runtime
from service.web import webhooks
from tests.clinic import rows
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import ACCOUNT, TOKEN, StandIn, deliver, inbound_form, settings_of, sign
from tests.test_reconcile import queue

PUBLIC = "https://aftercare.example.test"
INBOUND = f"{PUBLIC}/twilio/inbound"
STATUS = f"{PUBLIC}/twilio/status"
OLD_TOKEN = "the-token-before-" + "0" * 15
PHONE = "+13125550177"
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def standin() -> Iterator[StandIn]:
    standin = StandIn().start()
    yield standin
    standin.stop()


@pytest.fixture
def live(database_url: str, standin: StandIn, clock: SetClock) -> Iterator[Runtime]:
    values = settings_of(standin) | {"public_url": PUBLIC, "twilio_auth_token_previous": OLD_TOKEN}
    runtime = make_runtime(settings_for(database_url, pace=0, **values), clock=clock)
    yield runtime
    runtime.close()


@pytest.fixture
def web(live: Runtime) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.runtime = live
    app.include_router(webhooks.router)
    with TestClient(app, base_url="http://10.0.0.7:8000") as client:  # a proxy stands in front
        yield client


@pytest.fixture
def form(standin: StandIn) -> dict[str, str]:
    return inbound_form(standin.write(PHONE, "  all good, no pain  "))


def send(
    web: TestClient, form: dict[str, str], headers: dict[str, str] | None = None, path="/twilio/inbound"
):
    headers = sign(PUBLIC + path, form) if headers is None else headers
    return web.post(path, content=urlencode(form), headers=FORM_TYPE | headers)


def stored(live: Runtime) -> list[Reply]:
    with session_on(live.engine) as session:
        return list(session.exec(select(Reply)))


def count(live: Runtime, name: str) -> int:
    with session_on(live.engine) as session:
        mark = marks.get_mark(session, name)
        return mark.count if mark else 0


def test_a_signed_text_is_stored_exactly_and_answered_with_nothing_to_say(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    answer = send(web, form)
    assert (answer.status_code, answer.text) == (200, "<Response/>")
    assert answer.headers["content-type"].startswith("text/xml")
    (reply,) = stored(live)
    assert (reply.body, reply.from_phone) == ("  all good, no pain  ", PHONE)
    assert reply.carrier_sid == form["MessageSid"]


def test_the_same_text_again_changes_nothing(web: TestClient, live: Runtime, form: dict[str, str]) -> None:
    assert [send(web, form).status_code for _ in range(3)] == [200, 200, 200]
    assert len(stored(live)) == 1


def test_both_schemes_and_both_tokens_are_accepted(web: TestClient, form: dict[str, str]) -> None:
    for token in (TOKEN, OLD_TOKEN):
        for algorithm in (None, "HMAC_SHA1", "HMAC_SHA256"):
            assert send(web, form, sign(INBOUND, form, token, algorithm)).status_code == 200


def _wrong(form: dict[str, str]) -> dict[str, dict[str, str]]:
    good = sign(INBOUND, form)["X-Twilio-Signature"]
    return {
        "missing": {},
        "empty": {"X-Twilio-Signature": ""},
        "of another token": sign(INBOUND, form, "somebody else's"),
        "of another address": sign("http://10.0.0.7:8000/twilio/inbound", form),
        "of http": sign(INBOUND.replace("https", "http"), form),
        "of another path": sign(STATUS, form),
        "of other words": sign(INBOUND, form | {"Body": "fine"}),
        "not base64": {"X-Twilio-Signature": "((("},
        "of an unknown scheme": {
            "X-Twilio-Signature": good,
            "X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=NONE",
        },
    }


def test_wrong_signatures_store_nothing_and_are_counted(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    wrong = _wrong(form)
    for name, headers in wrong.items():
        assert send(web, form, headers).status_code == 403, name
    assert stored(live) == []
    assert count(live, "refused:signature") == len(wrong)


def test_the_host_a_request_claims_is_not_believed(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    forged = sign("https://evil.example.test/twilio/inbound", form)
    headers = forged | {"X-Forwarded-Host": "evil.example.test", "Host": "evil.example.test"}
    assert send(web, form, headers).status_code == 403


def test_shifted_field_boundaries_keep_the_signature_and_are_refused(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    """``Body=hi`` + ``FromCity=`` signs like ``Body=hiFromCity``: the fields are checked again."""
    account_into_body = dict(form)
    account = account_into_body.pop("AccountSid")
    shifted = {"AccountSidACx": account.removeprefix("ACx"), **account_into_body}
    twice = [*form.items(), ("From", "+13125550999")]
    headers = sign(INBOUND, shifted)
    assert send(web, shifted, headers).status_code == 403
    from twilio.request_validator import RequestValidator

    from service.carriers.twilio import _Fields

    signature = RequestValidator(TOKEN).compute_signature(INBOUND, _Fields(twice))
    answer = web.post(
        "/twilio/inbound",
        content=urlencode(twice),
        headers=FORM_TYPE | {"X-Twilio-Signature": signature},
    )
    assert answer.status_code == 403
    assert stored(live) == [] and count(live, "refused:parameters") == 2


IMPOSSIBLE = [
    ("AccountSid", "AC" + "9" * 32),
    ("MessageSid", "SMxyz"),
    ("MessageSid", "SM" + "A" * 32),
    ("From", "3125550100"),
    ("From", "+1312555010O"),
    ("From", "+13125550100\n"),
]


def test_signed_but_impossible_fields_are_refused(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    for name, value in IMPOSSIBLE:
        assert send(web, form | {name: value}).status_code == 403, name
    assert stored(live) == []


WRITTEN = [
    "",
    " ",
    "a" * 1600,
    "🦶 numb 😱",
    "á" * 500,
    "dos\nlíneas",
    "nul\x00here",
    "\u202eabc",
    "a=b&c=d;e+f%20",
]


def test_whatever_a_patient_writes_is_kept(web: TestClient, live: Runtime, standin: StandIn) -> None:
    for body in WRITTEN:
        assert send(web, inbound_form(standin.write(PHONE, body))).status_code == 200
    kept = [reply.body.replace("\ufffd", "") for reply in stored(live)]
    assert sorted(kept) == sorted(body.replace("\x00", "") for body in WRITTEN)


def test_pictures_are_kept_as_references(web: TestClient, live: Runtime, standin: StandIn) -> None:
    assert send(web, inbound_form(standin.write(PHONE, "", media=2))).status_code == 200
    (reply,) = stored(live)
    assert [item["type"] for item in reply.media or []] == ["image/jpeg", "image/jpeg"]


def test_more_than_any_text_can_be_is_refused_unread(web: TestClient, live: Runtime) -> None:
    answer = web.post("/twilio/inbound", content=b"Body=" + b"x" * 70_000, headers=FORM_TYPE)
    assert answer.status_code == 413 and stored(live) == []


def test_what_cannot_be_stored_is_answered_with_a_server_fault_and_arrives_later(
    web: TestClient, live: Runtime, form: dict[str, str]
) -> None:
    with live.engine.begin() as connection:
        connection.execute(text("ALTER TABLE replies RENAME TO replies_away"))
    assert send(web, form).status_code == 503
    with live.engine.begin() as connection:
        connection.execute(text("ALTER TABLE replies_away RENAME TO replies"))
    assert send(web, form).status_code == 200
    assert len(stored(live)) == 1


def test_receipts_move_our_text_forward(web: TestClient, live: Runtime, standin: StandIn) -> None:
    message_id = queue(live, to_phone=PHONE)
    dispatch.send_due(live, live.clock())
    answers = deliver(standin, lambda path, form, headers: send(web, form, headers, path).status_code)
    assert answers == [200, 200]
    with session_on(live.engine) as session:
        assert session.get_one(OutboundMessage, message_id).status == "delivered"


@pytest.mark.parametrize(
    ("state", "times", "answer"), [("40P01", 2, 200), ("40P01", 9, 503), ("57P01", 1, 503)]
)
def test_a_receipt_that_meets_somebody_on_the_same_rows_is_written_again(
    web: TestClient,
    live: Runtime,
    standin: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    times: int,
    answer: int,
) -> None:
    """The carrier would not say it again, and a safety answer that was lost would never be known."""
    message_id = queue(live, "safety")
    dispatch.send_due(live, live.clock())
    (line,) = [one for one in standin.log if one.direction != "inbound"]
    form = {
        "AccountSid": ACCOUNT,
        "MessageSid": line.sid,
        "MessageStatus": "undelivered",
        "ErrorCode": "30008",
    }
    met, record = [psycopg.errors.lookup(state)()] * times, receipts.record

    def meets(*given: Any, **named: Any) -> str:
        done = record(*given, **named)  # what was written goes with the transaction
        if met:
            raise OperationalError("UPDATE", {}, met.pop())
        return done

    monkeypatch.setattr(receipts, "record", meets)
    url = f"{STATUS}?m={message_id}"
    response = web.post(f"/twilio/status?m={message_id}", data=form, headers=sign(url, form))
    assert response.status_code == answer
    tasks = [one.reason for one in rows(live, Escalation)]
    assert tasks == (["undeliverable"] if answer == 200 else [])


def test_a_receipt_with_another_id_in_its_address_is_refused(
    web: TestClient, live: Runtime, standin: StandIn
) -> None:
    queue(live, to_phone=PHONE)
    dispatch.send_due(live, live.clock())
    _, form = standin.outbox[0]
    headers = sign(f"{STATUS}?m={'a' * 32}", form)
    assert send(web, form, headers, f"/twilio/status?m={'b' * 32}").status_code == 403


def test_receipts_for_texts_that_are_not_ours_are_taken_quietly(web: TestClient, live: Runtime) -> None:
    form = {"AccountSid": ACCOUNT, "MessageSid": "SM" + "c" * 32, "MessageStatus": "sent", "To": PHONE}
    assert send(web, form, path="/twilio/status").status_code == 200
    assert count(live, "receipts:not_ours") == 1


def test_on_the_simulator_nobody_can_be_the_carrier(runtime: Runtime, form: dict[str, str]) -> None:
    app = FastAPI()
    app.state.runtime = runtime
    app.include_router(webhooks.router)
    with TestClient(app) as client:
        assert send(client, form).status_code == 403
        assert send(client, form, path="/twilio/status").status_code == 403
    assert stored(runtime) == []


def test_the_log_line_of_a_refusal_holds_nothing_of_the_text(
    web: TestClient, live: Runtime, form: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    send(web, form, {})
    assert "refused" in caplog.text
    assert PHONE not in caplog.text and "no pain" not in caplog.text


def test_a_database_that_hangs_for_a_while_stops_only_those_who_wrote_meanwhile(
    web: TestClient, live: Runtime, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave up waiting must not take the intake down: what comes later is stored and answered."""
    answers_again, store = Event(), inbox.store

    def hang(*arguments):
        answers_again.wait(30)
        return store(*arguments)

    monkeypatch.setattr(inbox, "store", hang)
    monkeypatch.setattr(webhooks, "ANSWERED_WITHIN", 0.2)
    texts = [inbound_form(standin.write(PHONE, f"text {number}")) for number in range(4)]
    assert [send(web, one).status_code for one in texts[:3]] == [503] * 3
    answers_again.set()
    monkeypatch.setattr(webhooks, "ANSWERED_WITHIN", 30)
    assert send(web, texts[3]).status_code == 200
    live.close_intake()
    assert {row.body for row in stored(live)} == {f"text {number}" for number in range(4)}
