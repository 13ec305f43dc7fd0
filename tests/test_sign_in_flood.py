"""A flood of sign-ins: few passwords are checked at once, and what patients send is answered meanwhile."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from sqlmodel import Session

from service import accounts
from service.app import create_app
from service.runtime import Runtime, make_runtime
from service.web import few_at_once
from tests.conftest import SetClock, settings_for
from tests.databases import free_port


class SlowDoor:
    """Stands in for the check of a password: counts how many are inside, and lets them out when told."""

    def __init__(self) -> None:
        self.lock, self.inside, self.most, self.tried = threading.Lock(), 0, 0, 0
        self.open = threading.Event()

    def sign_in(self, _session: Session, **_values: object) -> accounts.Entry:
        with self.lock:
            self.inside, self.tried = self.inside + 1, self.tried + 1
            self.most = max(self.most, self.inside)
        self.open.wait(20)
        with self.lock:
            self.inside -= 1
        raise accounts.SignInRefused


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> SlowDoor:
    made = SlowDoor()
    monkeypatch.setattr(accounts, "sign_in", made.sign_in)
    return made


@pytest.fixture
def address(sqlite_url: str, clock: SetClock) -> Iterator[str]:
    port = free_port()
    runtime: Runtime = make_runtime(settings_for(sqlite_url), clock=clock)
    server = uvicorn.Server(uvicorn.Config(create_app(runtime), host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
    runtime.close()


def test_a_flood_of_sign_ins_checks_few_at_once_and_others_are_answered(
    address: str, door: SlowDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_at_once, "MOST_WAITING", 60)

    async def flood() -> tuple[list[int], int, int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as client:
            given = {"email": "kim@clinic.example", "password": "x"}
            asked = [asyncio.create_task(client.post("/sign-in", data=given)) for _ in range(90)]
            while sum(task.done() for task in asked) < 90 - 60 - few_at_once.AT_ONCE:
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=1)
            # Every turn is taken and the queue is full. A forged webhook is refused at once, in a thread.
            webhook = await client.post("/twilio/inbound", data={"MessageSid": "SM" + "0" * 32}, timeout=5)
            ready = await client.get("/healthz", timeout=5)
            door.open.set()
            return [(await task).status_code for task in asked], webhook.status_code, ready.status_code

    answers, webhook, ready = asyncio.run(flood())
    assert (webhook, ready) == (403, 200)
    assert door.most == few_at_once.AT_ONCE
    assert set(answers) == {401, 503} and answers.count(401) == door.tried == 60 + few_at_once.AT_ONCE


def test_after_the_flood_the_turns_are_free_again(address: str, door: SlowDoor) -> None:
    door.open.set()
    with httpx.Client(base_url=address, timeout=20) as client:
        for _ in range(3 * few_at_once.AT_ONCE):
            assert client.post("/sign-in", data={"email": "a@b.example", "password": "x"}).status_code == 401
        assert client.post("/sign-in", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert client.post("/sign-in/code", data={"code": "1"}).status_code == 401


def test_who_sends_the_form_slowly_sits_on_no_turn(address: str, door: SlowDoor) -> None:
    door.open.set()
    port, slow = int(address.rsplit(":", 1)[1]), []
    for _ in range(3 * few_at_once.AT_ONCE):
        one = socket.create_connection(("127.0.0.1", port), timeout=5)
        head = "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        one.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nemail=a".encode())
        slow.append(one)
    with httpx.Client(base_url=address, timeout=10) as client:
        assert client.get("/healthz").status_code == 200
        assert client.post("/sign-in", data={"email": "a@b.example", "password": "x"}).status_code == 401
    assert door.tried == 1
    for one in slow:
        one.close()
