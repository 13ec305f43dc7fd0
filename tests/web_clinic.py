"""A signed-in browser without a window for tests of pages: reads forms as a person would and sends them."""

import re
from datetime import timedelta
from hashlib import sha256
from html import unescape
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from service.accounts import ABSOLUTE
from service.app import create_app
from service.db import session_on
from service.models import Member, MemberSession
from service.runtime import Runtime
from tests.clinic import member

BASE = "http://127.0.0.1:8000"
RED_FLAG = "no fever but my left foot is numb since last nite"


def client_of(runtime: Runtime) -> TestClient:
    """A browser that nobody has signed in with."""
    return TestClient(create_app(runtime), base_url=BASE, follow_redirects=False)


class SignedIn:
    """One member's browser."""

    def __init__(self, runtime: Runtime, who: Member, token: str) -> None:
        self.runtime, self.member = runtime, who
        self.client = client_of(runtime)
        self.client.cookies.set("aftercare", token)
        self.csrf = f"csrf-{token}"

    def get(self, path: str, **headers: str) -> Response:
        return self.client.get(path, headers=headers)

    def post(self, path: str, **fields: Any) -> Response:
        return self.client.post(path, data={"csrf": self.csrf, **fields})

    def text(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.text


def browser_of(runtime: Runtime, name: str = "Kim Ryan", role: str = "nurse", **values: Any) -> SignedIn:
    """A new member with a session of this moment."""
    who = member(runtime, name, values.pop("phone", None), values.pop("tier", None), role=role, **values)
    token = f"token-of-{who.id}"
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        session.add(
            MemberSession(
                token_hash=sha256(token.encode()).hexdigest(), member_id=who.id, csrf_token=f"csrf-{token}",
                created_at=now, seen_at=now, expires_at=now + ABSOLUTE,
            )
        )  # fmt: skip
        session.commit()
    return SignedIn(runtime, who, token)


def words_of(html: str) -> str:
    """What a reader sees: no tags, single spaces."""
    body = re.sub(r"<(script|style|head)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def soon(runtime: Runtime, **duration: float) -> Any:
    return runtime.clock() + timedelta(**duration)
