"""The door of the pages: who is sent where, what the cookie is worth, what other sites cannot do."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from service.accounts import add_member
from service.app import create_app
from service.db import session_on
from service.models import Member, MemberSession
from service.runtime import Runtime, make_runtime
from service.web.doors import safe_next
from tests.conftest import SetClock, settings_for
from tests.web_clinic import browser_of, client_of

PASSWORD = "correct horse battery"


def add_kim(runtime: Runtime) -> None:
    with session_on(runtime.engine) as session:
        add_member(
            session,
            now=runtime.clock(),
            email="kim@clinic.example",
            name="Kim",
            role="nurse",
            password=PASSWORD,
        )


def sign_in(client: TestClient, **fields: str):
    given = {"email": "kim@clinic.example", "password": PASSWORD}
    return client.post("/sign-in", data=given | fields)


def test_an_anonymous_look_is_sent_to_the_door_and_comes_back(runtime: Runtime):
    add_kim(runtime)
    client = client_of(runtime)
    away = client.get("/patients?status=all&q=ana")
    assert away.status_code == 303
    assert away.headers["location"] == "/sign-in?next=/patients%3Fstatus%3Dall%26q%3Dana"
    door = client.get(away.headers["location"])
    assert door.status_code == 200 and 'type="password"' in door.text
    assert 'value="/patients?status=all&amp;q=ana"' in door.text
    back = sign_in(client, next="/patients?status=all&q=ana")
    assert (back.status_code, back.headers["location"]) == (303, "/patients?status=all&q=ana")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "/sign-out",
        "\\\\evil",
        "",
        "/live?topic=queue",
        "http:/evil",
    ],
)
def test_after_sign_in_nobody_is_sent_to_another_site(target: str):
    assert safe_next(target) == "/"


def test_the_door_uses_only_safe_targets(runtime: Runtime):
    add_kim(runtime)
    client = client_of(runtime)
    assert 'value="/"' in client.get("/sign-in?next=//evil.example").text
    assert sign_in(client, next="https://evil.example/").headers["location"] == "/"


def test_a_wrong_password_says_one_thing_for_everybody(runtime: Runtime):
    add_kim(runtime)
    client = client_of(runtime)
    wrong = sign_in(client, password="not this one at all")
    unknown = sign_in(client, email="nobody@clinic.example")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.text.replace("kim@", "") == unknown.text.replace("nobody@", "")
    assert "set-cookie" not in wrong.headers


def test_over_https_the_cookie_is_bound_to_the_host(sqlite_url: str, clock: SetClock):
    runtime = make_runtime(settings_for(sqlite_url, public_url="https://care.clinic.example"), clock=clock)
    add_kim(runtime)
    client = TestClient(create_app(runtime), base_url="https://care.clinic.example", follow_redirects=False)
    answer = sign_in(client)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-aftercare=")
    for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    runtime.close()


def test_acts_need_the_token_of_the_session_and_our_own_pages(runtime: Runtime):
    kim = browser_of(runtime)
    assert kim.client.post("/me", data={"language": "es"}).status_code == 403
    assert kim.client.post("/me", data={"language": "es", "csrf": "made-up"}).status_code == 403
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ):
        answer = kim.client.post("/me", data={"language": "es", "csrf": kim.csrf}, headers=headers)
        assert answer.status_code == 403, headers
    fine = kim.client.post(
        "/me", data={"language": "es", "csrf": kim.csrf}, headers={"origin": "http://127.0.0.1:8000"}
    )
    assert fine.status_code == 303
    assert client_of(runtime).post("/sign-in", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_looking_keeps_a_session_awake_but_a_page_that_refreshes_itself_does_not(
    runtime: Runtime, clock: SetClock
):
    kim = browser_of(runtime)
    for _ in range(3):
        clock.advance(minutes=10)
        assert kim.get("/").status_code == 200
    for _ in range(2):
        clock.advance(minutes=10)
        answer = kim.get("/", **{"X-Live": "1"})
    assert answer.status_code == 303
    assert kim.get("/").status_code == 303, "locked after fifteen minutes without a person"


def test_an_act_after_the_session_ended_comes_back_to_the_page_it_was_on(runtime: Runtime, clock: SetClock):
    kim = browser_of(runtime)
    clock.advance(minutes=20)
    answer = kim.client.post(
        "/escalations/abc/note", data={"csrf": kim.csrf, "note": "x"},
        headers={"referer": "http://127.0.0.1:8000/escalations/abc"},
    )  # fmt: skip
    assert answer.headers["location"] == "/sign-in?next=/escalations/abc&unsaved=1"


def test_sign_out_ends_the_session_on_the_server(runtime: Runtime):
    kim = browser_of(runtime)
    assert kim.post("/sign-out").headers["location"] == "/sign-in"
    with session_on(runtime.engine) as session:
        assert session.exec(select(MemberSession)).first() is None


def test_a_lost_phone_is_signed_out_from_another_browser(runtime: Runtime):
    kim = browser_of(runtime)
    with session_on(runtime.engine) as session:
        row = session.exec(select(MemberSession)).one()
        lost = {**row.model_dump(), "token_hash": "f" * 64, "agent": "Lost phone <b>"}
        session.add(MemberSession(**lost))
        session.commit()
    page = kim.text("/me/security")
    assert "Lost phone &lt;b&gt;" in page and "Sign out everywhere else" in page
    assert kim.post("/me/sessions/end").status_code == 303
    assert "Lost phone" not in kim.text("/me/security"), "and this browser stays"


def test_an_invited_member_chooses_a_password_and_signs_in(runtime: Runtime):
    boss = browser_of(runtime, "Boss", role="admin")
    page = boss.post("/members", email="new@clinic.example", name="New Nurse", role="nurse", phone="")
    link = page.text.split("<code>http://127.0.0.1:8000")[1].split("</code>")[0]
    client = client_of(runtime)
    assert client.get(link).status_code == 200
    assert client.post(link, data={"password": "abc", "again": "abc"}).status_code == 422
    assert client.post(link, data={"password": PASSWORD, "again": "other"}).status_code == 422
    assert client.post(link, data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
    assert client.get(link).status_code == 404
    assert sign_in(client, email="new@clinic.example").status_code == 303


def test_a_member_chooses_language_zone_and_theme(runtime: Runtime):
    kim = browser_of(runtime)
    assert kim.post("/me", language="es", timezone="Mars/Base").status_code == 422
    done = kim.post("/me", language="es", timezone="America/Denver", theme="dark", keys="on")
    assert done.status_code == 303
    page = kim.text("/")
    assert '<html lang="es" data-theme="dark">' in page and "Lista de atención" in page
    with session_on(runtime.engine) as session:
        stored = session.exec(select(Member).where(Member.email == kim.member.email)).one()
        assert stored.preferences["timezone"] == "America/Denver"
