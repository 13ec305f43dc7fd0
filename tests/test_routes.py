"""Every route and who may use it: each is in this table, and each is tried by those who may not."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute

from service.accounts import add_member
from service.app import create_app
from service.db import session_on
from service.runtime import Runtime
from tests.api_client import bearer, client_of, enroll, token_for
from tests.conftest import SetClock

PUBLIC, SIGNED, OPEN_HERE, TOKEN = "public", "signed by the carrier", "loopback or token", "token"
MEMBER, OWN, CARE, ADMIN, PHONES = "any member", "own things", "may act", "admin", "simulated phones"
DECIDE = "clinician or admin"
LINK, STEP, SSO = "one-time link", "after the password", "the provider's answer"
# What a member who must set up a second factor still reaches.
LINK_IN = {("GET", "/me/second-factor"), ("POST", "/me/second-factor/confirm"), ("POST", "/sign-out")}

# Method and path: who may.
TABLE = {
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": OPEN_HERE,
    "GET /api/v1/openapi.json": PUBLIC,
    "GET /static/{path:path}": PUBLIC,
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "GET /sign-in/new/{token}": LINK,
    "POST /sign-in/new/{token}": LINK,
    "GET /sign-in/first/{token}": LINK,
    "POST /sign-in/first/{token}": LINK,
    "GET /sign-in/sso": SSO,
    "GET /sign-in/sso/back": SSO,
    "GET /sign-in/code": STEP,
    "POST /sign-in/code": STEP,
    "POST /twilio/inbound": SIGNED,
    "POST /twilio/status": SIGNED,
    "POST /api/v1/enrollments": TOKEN,
    "GET /api/v1/enrollments/{id}": TOKEN,
    "PATCH /api/v1/enrollments/{id}": TOKEN,
    "POST /api/v1/enrollments/{id}/withdraw": TOKEN,
    "GET /api/v1/patients/{id}/messages": TOKEN,
    "POST /api/v1/patients/{id}/messages": TOKEN,
    "GET /api/v1/escalations": TOKEN,
    "GET /api/v1/escalations/{id}": TOKEN,
    "POST /api/v1/escalations/{id}/acknowledge": TOKEN,
    "POST /api/v1/escalations/{id}/contact": TOKEN,
    "POST /api/v1/escalations/{id}/resolve": TOKEN,
    "POST /api/v1/escalations/{id}/reopen": TOKEN,
    "GET /api/v1/scoreboard": TOKEN,
    "GET /api/v1/audit": TOKEN,
    "GET /phones": PHONES,
    "GET /phones/{phone}": PHONES,
    "POST /phones/{phone}/reply": PHONES,
    "GET /": MEMBER,
    "GET /live": MEMBER,
    "GET /me": MEMBER,
    "POST /me": OWN,
    "POST /me/sessions/end": OWN,
    "POST /me/sessions/{browser}/end": OWN,
    "GET /me/security": MEMBER,
    "POST /me/password": OWN,
    "GET /me/second-factor": MEMBER,
    "POST /me/second-factor": OWN,
    "POST /me/second-factor/confirm": OWN,
    "POST /me/second-factor/off": OWN,
    "POST /me/recovery-codes": OWN,
    "POST /sign-out": OWN,
    "POST /segments": OWN,
    "GET /escalations/{escalation_id}": MEMBER,
    "POST /escalations/{escalation_id}/acknowledge": CARE,
    "POST /escalations/{escalation_id}/take-over": CARE,
    "POST /escalations/{escalation_id}/contact": CARE,
    "POST /escalations/{escalation_id}/resolve": CARE,
    "POST /escalations/{escalation_id}/false-alarm": CARE,
    "POST /escalations/{escalation_id}/reopen": CARE,
    "POST /escalations/{escalation_id}/hand-over": CARE,
    "POST /escalations/{escalation_id}/note": CARE,
    "POST /escalations/{escalation_id}/text": CARE,
    "GET /patients": MEMBER,
    "GET /patients/{patient_id}": MEMBER,
    "GET /patients/{patient_id}/summary": MEMBER,
    "POST /patients/{patient_id}/text": CARE,
    "POST /patients/{patient_id}/export": DECIDE,
    "POST /patients/{patient_id}/hold": DECIDE,
    "POST /patients/{patient_id}/hold/lift": DECIDE,
    "GET /replies/{reply_id}/redact": DECIDE,
    "POST /replies/{reply_id}/redact": DECIDE,
    "GET /messages/{message_id}/redact": DECIDE,
    "POST /messages/{message_id}/redact": DECIDE,
    "POST /patients/{patient_id}/team": CARE,
    "GET /break-glass": CARE,
    "POST /break-glass": CARE,
    "POST /break-glass/{use_id}/end": CARE,
    "GET /break-glass/uses": ADMIN,
    "GET /teams": ADMIN,
    "POST /teams": ADMIN,
    "POST /teams/{team_id}": ADMIN,
    "POST /teams/{team_id}/members": ADMIN,
    "POST /enrollments/{enrollment_id}/pause": CARE,
    "POST /enrollments/{enrollment_id}/resume": CARE,
    "POST /enrollments/{enrollment_id}/withdraw": CARE,
    "POST /enrollments/{enrollment_id}/move": CARE,
    "GET /replies/{reply_id}/pictures/{place}": MEMBER,
    "GET /replies/{reply_id}/pictures/{place}/file": MEMBER,
    "GET /enroll": MEMBER,
    "POST /enroll": CARE,
    "POST /enroll/upload": CARE,
    "GET /enroll/sample.csv": MEMBER,
    "GET /on-call": MEMBER,
    "POST /on-call": CARE,
    "POST /on-call/{shift_id}/end": CARE,
    "POST /on-call/{shift_id}/change": CARE,
    "GET /members": MEMBER,
    "POST /members": ADMIN,
    "GET /members/{member_id}": ADMIN,
    "POST /members/{member_id}/link": ADMIN,
    "POST /members/{member_id}/sessions/end": ADMIN,
    "POST /members/{member_id}/second-factor/reset": ADMIN,
    "POST /members/links/{link_id}/revoke": ADMIN,
    "POST /members/{member_id}/disable": ADMIN,
    "GET /audit": ADMIN,
    "GET /audit/export": ADMIN,
    "GET /scoreboard": MEMBER,
    "GET /settings": MEMBER,
    "GET /settings/edit": ADMIN,
    "POST /settings/edit": ADMIN,
    "GET /protocols": MEMBER,
    "GET /protocols/{name}": MEMBER,
}
AT_LEAST = 60
PASSWORD = "a long pass phrase 7"


def flattened(routes: list[BaseRoute], prefix: str = "") -> Iterator[str]:
    """Method and full path of every route, however deep routers are nested."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from flattened(inner.routes, prefix + route.include_context.prefix)  # type: ignore[attr-defined]
            continue
        methods = set(getattr(route, "methods", None) or {"?"}) - {"HEAD"}
        for method in sorted(methods):
            yield f"{method} {prefix}{getattr(route, 'path', '?')}"


def routes_for(*who: str) -> list[tuple[str, str]]:
    """Method and an address of routes, with an id that does not exist."""
    found = []
    for line, may in TABLE.items():
        if may in who:
            method, path = line.split(" ", 1)
            path = path.replace("{path:path}", "app.css").replace("{phone}", "+13125550142")
            found.append((method, re.sub(r"\{\w+\}", "0" * 32, path)))
    return found


def member_client(runtime: Runtime, role: str) -> tuple[TestClient, str]:
    """A signed-in browser and the token its forms carry."""
    email = f"{role}@clinic.example"
    with session_on(runtime.engine) as session:
        add_member(session, now=runtime.clock(), email=email, name=role, role=role, password=PASSWORD)
    client = client_of(runtime)
    answer = client.post("/sign-in", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/me").text)
    assert found
    return client, found[1]


def is_to_sign_in(answer: Any) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")


def test_every_route_is_in_the_table(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    found = list(flattened(create_app(runtime).routes))
    assert len(found) == len(set(found))
    assert set(found) == set(TABLE)
    guarded = [line for line in found if TABLE[line] != PUBLIC]
    with capsys.disabled():
        print(f" [{len(found)} routes, {len(guarded)} of them guarded] ", end="")  # noqa: T201
    assert len(found) >= AT_LEAST and len(guarded) >= AT_LEAST - 8


def test_anonymous_looks_at_pages_lead_to_the_sign_in(runtime: Runtime) -> None:
    client = client_of(runtime)
    for method, path in routes_for(MEMBER, OWN, CARE, DECIDE, ADMIN, PHONES):
        answer = client.request(method, path)
        if method == "GET":
            assert is_to_sign_in(answer) or (path == "/live" and answer.status_code in (401, 403)), path
        else:
            assert is_to_sign_in(answer) or answer.status_code in (401, 403), (path, answer.status_code)
        assert not answer.cookies
    page = client.get(client.get("/patients").headers["location"])
    assert page.status_code == 200 and 'type="password"' in page.text


@pytest.mark.parametrize("cookie", ["", "x", "y" * 5000, "\u00e9"])
def test_a_made_up_cookie_is_nobody(runtime: Runtime, cookie: str) -> None:
    client = client_of(runtime)
    headers = {"Cookie": f"aftercare={cookie}; __Host-aftercare={cookie}".encode("latin-1")}
    for method, path in routes_for(MEMBER, OWN, CARE, DECIDE, ADMIN):
        answer = client.request(method, path, headers=headers)
        assert is_to_sign_in(answer) or answer.status_code in (401, 403), path


def test_an_expired_session_is_nobody(runtime: Runtime, clock: SetClock) -> None:
    client, csrf = member_client(runtime, "admin")
    assert client.get("/").status_code == 200
    clock.advance(minutes=15)
    for method, path in routes_for(MEMBER, OWN, CARE, DECIDE, ADMIN):
        if path != "/live":  # a locked page still gets its counts, and nothing else
            answer = client.request(method, path, data={"csrf": csrf} if method == "POST" else None)
            assert is_to_sign_in(answer), path


def test_a_viewer_may_look_and_not_act(runtime: Runtime) -> None:
    client, csrf = member_client(runtime, "viewer")
    for method, path in routes_for(CARE, DECIDE, ADMIN):
        answer = client.request(method, path, data={"csrf": csrf} if method == "POST" else None)
        assert answer.status_code == 403, (method, path, answer.status_code)
    for method, path in routes_for(MEMBER):
        if path != "/live":
            assert client.request(method, path).status_code in (200, 303, 404), path


def test_a_nurse_does_not_change_the_team(runtime: Runtime) -> None:
    client, csrf = member_client(runtime, "nurse")
    for method, path in routes_for(DECIDE, ADMIN):
        answer = client.request(method, path, data={"csrf": csrf} if method == "POST" else None)
        assert answer.status_code == 403, (method, path)


def test_no_act_without_the_forms_token_or_from_another_site(runtime: Runtime) -> None:
    client, csrf = member_client(runtime, "admin")
    for method, path in routes_for(OWN, CARE, DECIDE, ADMIN):
        if method == "POST":
            assert client.post(path, data={}).status_code == 403, path
            assert client.post(path, data={"csrf": csrf[:-1] + "x"}).status_code == 403, path
            for headers in (
                {"Origin": "https://evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Origin": "null"},
            ):
                assert client.post(path, data={"csrf": csrf}, headers=headers).status_code == 403, path
    assert client.get("/").status_code == 200  # still signed in: nothing of this had an effect


def test_programs_need_a_token_everywhere_and_pages_take_none(runtime: Runtime) -> None:
    client = client_of(runtime)
    blind = bearer(token_for(runtime, "blind", "metrics"))
    whole = bearer(token_for(runtime, "whole"))
    for method, path in routes_for(TOKEN):
        assert client.request(method, path).status_code == 401, path
        assert client.request(method, path, headers=bearer("wrong")).status_code == 401, path
        assert client.request(method, path, headers=blind).status_code == 403, path
        assert client.request(method, path, headers=whole).status_code in (200, 404, 422), path
    for method, path in routes_for(MEMBER, OWN, CARE, DECIDE, ADMIN):
        answer = client.request(method, path, headers=whole)
        assert is_to_sign_in(answer) or answer.status_code in (401, 403), path


def test_a_members_cookie_does_not_open_the_api(runtime: Runtime) -> None:
    client, _csrf = member_client(runtime, "admin")
    for method, path in routes_for(TOKEN):
        assert client.request(method, path).status_code == 401, path


def test_the_carriers_addresses_need_its_signature(runtime: Runtime) -> None:
    client = client_of(runtime)
    for method, path in routes_for(SIGNED):
        assert client.request(method, path, data={"MessageSid": "SM" + "0" * 32}).status_code == 403


def test_strangers_cannot_tell_what_exists(runtime: Runtime, clock: SetClock) -> None:
    client = client_of(runtime)
    item = enroll(_with_token(runtime), clock())
    pairs = [
        (f"/patients/{item['patient_id']}", f"/patients/{'0' * 32}"),
        (f"/api/v1/enrollments/{item['id']}", f"/api/v1/enrollments/{'0' * 32}"),
        (f"/api/v1/patients/{item['patient_id']}/messages", "/api/v1/nothing"),
    ]
    for known, unknown in pairs:
        one, other = client.get(known), client.get(unknown)
        assert one.status_code == other.status_code
        assert one.text == other.text and len(one.headers) == len(other.headers)


def _with_token(runtime: Runtime) -> TestClient:
    client = client_of(runtime)
    client.headers.update(bearer(token_for(runtime)))
    return client


def test_a_used_or_forged_link_opens_nothing(runtime: Runtime) -> None:
    client = client_of(runtime)
    made = {"email": "a@clinic.example", "name": "A", "password": PASSWORD, "again": PASSWORD}
    for token in ("0" * 32, f"{'0' * 32}.99999999999.{'0' * 64}", "x", "%01", "y" * 5000):
        for kind in ("new", "first"):
            assert client.get(f"/sign-in/{kind}/{token}").status_code == 404
            assert client.post(f"/sign-in/{kind}/{token}", data=made).status_code in (403, 404)


def test_the_second_step_is_nothing_without_the_first(runtime: Runtime) -> None:
    client = client_of(runtime)
    for cookie in ("", "x", "y" * 5000):
        headers = {"Cookie": f"aftercare-step={cookie}"}
        assert client.post("/sign-in/code", data={"code": "123456"}, headers=headers).status_code == 401
    assert client.get("/sign-in/code").headers["location"].startswith("/sign-in?next=")


def test_every_answer_carries_the_headers(runtime: Runtime) -> None:
    client = client_of(runtime)
    nonces = set()
    for path in ("/sign-in", "/", "/nothing", "/healthz", "/api/v1/enrollments", "/static/app.css"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "*" not in policy
        nonces.add(re.search(r"'nonce-([^']+)'", policy)[1])  # type: ignore[index]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "permissions-policy" in headers and "strict-transport-security" not in headers
        assert ("no-store" in headers.get("cache-control", "")) is not path.startswith("/static/")
        assert "server" not in headers
    assert len(nonces) == 6


def test_a_host_that_is_not_ours_is_refused_except_for_probes(runtime: Runtime) -> None:
    client = client_of(runtime)
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "a" * 300):
        answer = client.get("/sign-in", headers={"Host": host})
        assert answer.status_code == 400 and "AFTERCARE_ALLOWED_HOSTS" in answer.text, host
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    for host in ("localhost:9999", "127.0.0.1", "[::1]:8000", "LOCALHOST", "testserver"):
        assert client.get("/sign-in", headers={"Host": host}).status_code == 200, host
    # A proxy may rewrite Host: the carrier's signature covers the public address, so its texts still come in.
    assert client.post("/twilio/inbound", headers={"Host": "web:8000"}).status_code == 403


def test_idle_time_is_measured_by_the_clock_of_the_service(runtime: Runtime, clock: SetClock) -> None:
    client, _csrf = member_client(runtime, "nurse")
    for _ in range(20):
        clock.advance(minutes=14)
        assert client.get("/").status_code == 200
    clock.now += timedelta(hours=8)
    assert is_to_sign_in(client.get("/"))
