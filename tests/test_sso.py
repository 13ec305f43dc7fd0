"""Single sign-on against a provider that signs with a real key, and against one that cheats."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from service import accounts, sso_settings
from service.app import create_app
from service.db import session_on
from service.models import AuditEvent, Member, MemberLink, MemberSession
from service.runtime import Runtime, make_runtime
from service.settings import Settings, SettingsError
from tests.clinic import rows
from tests.conftest import SetClock, settings_for
from tests.standin_oidc import CLIENT, SECRET_WORD, StandInProvider
from tests.test_routes import is_to_sign_in
from tests.web_clinic import BASE, client_of

PASSWORD = "correct horse battery"
KIM = {"email": "kim@clinic.example", "email_verified": True, "name": "Kim Ryan", "groups": ["care-nurses"]}
ROLES = "care-nurses=nurse, care-admins=admin, cn=care=viewer"


@pytest.fixture
def provider(clock: SetClock) -> Iterator[StandInProvider]:
    standin = StandInProvider(lambda: clock().timestamp()).start()
    yield standin
    standin.stop()


def with_sso(database_url: str, provider: StandInProvider, clock: SetClock, **values: Any) -> Runtime:
    given = {
        "sso_issuer": provider.issuer, "sso_client_id": CLIENT, "sso_client_secret": SECRET_WORD,
        "sso_roles": ROLES,
    }  # fmt: skip
    return make_runtime(settings_for(database_url, **(given | values)), clock=clock)


@pytest.fixture
def runtime(database_url: str, provider: StandInProvider, clock: SetClock) -> Iterator[Runtime]:
    made = with_sso(database_url, provider, clock)
    yield made
    made.close()


@pytest.fixture
def client(runtime: Runtime) -> TestClient:
    return client_of(runtime)


def go(client: TestClient, target: str = "/patients") -> str:
    """Click on "Sign in through your organisation": where the browser is sent."""
    answer = client.get(f"/sign-in/sso?next={target}")
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def come_back(client: TestClient, answer: dict[str, str]) -> Response:
    return client.get("/sign-in/sso/back", params=answer, headers={"sec-fetch-site": "cross-site"})


def enter(client: TestClient, provider: StandInProvider, **claims: Any) -> Response:
    return come_back(client, provider.authorize(go(client), **(KIM | claims)))


def is_shut(client: TestClient, answer: Response, status: int = 401) -> bool:
    assert "aftercare" not in client.cookies
    return answer.status_code == status and is_to_sign_in(client.get("/"))


def test_a_person_of_the_organisation_comes_in_with_the_role_of_the_claim(
    runtime: Runtime, client: TestClient, provider: StandInProvider
):
    door = client.get("/sign-in?next=/patients").text
    assert 'href="/sign-in/sso?next=/patients"' in door and 'type="password"' in door
    address = go(client)
    asked = parse_qs(urlsplit(address).query)
    assert asked["redirect_uri"] == [f"{BASE}/sign-in/sso/back"]
    cookie = client.cookies["aftercare-sso"]
    assert not any(asked[name][0] in cookie for name in ("state", "nonce", "code_challenge"))
    answer = come_back(client, provider.authorize(address, **KIM))
    assert (answer.status_code, answer.headers["location"]) == (303, "/patients")
    assert client.get("/patients").status_code == 200 and "aftercare-sso" not in client.cookies
    member = rows(runtime, Member)[0]
    assert (member.email, member.name, member.role) == ("kim@clinic.example", "Kim Ryan", "nurse")
    assert member.sso_subject == f"{provider.issuer} person-1" and member.password_hash is None
    assert rows(runtime, MemberSession)[0].way == "sso"
    assert "You sign in through your organisation" in client.get("/me/security").text


def test_the_role_follows_the_claim_at_every_sign_in(
    runtime: Runtime, client: TestClient, provider: StandInProvider
):
    enter(client, provider)
    for groups, role in ((["x", "care-admins", "care-nurses"], "admin"), ("cn=care", "viewer")):
        assert enter(client, provider, groups=groups).status_code == 303
        assert [member.role for member in rows(runtime, Member)] == [role]
    changed = [event for event in rows(runtime, AuditEvent) if event.action == "change role"]
    assert [event.detail for event in sorted(changed, key=lambda event: event.id)] == [
        {"from": "nurse", "to": "admin"}, {"from": "admin", "to": "viewer"},
    ]  # fmt: skip
    client.cookies.clear()
    assert is_shut(client, enter(client, provider, groups=["someone else"]), 403)


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["unknown"]}, {"groups": []}, {"groups": None}, {"groups": {"care-nurses": 1}},
        {"groups": "CARE-NURSES"}, {"groups": [["care-nurses"]]}, {"email_verified": False},
        {"email_verified": "true"}, {"email_verified": None}, {"email": None}, {"email": "no address"},
        {"email": ["kim@clinic.example"]},
    ],
)  # fmt: skip
def test_without_role_or_verified_address_nobody_comes_in(
    sqlite_url: str, provider: StandInProvider, clock: SetClock, claims: dict[str, Any]
):
    made = with_sso(sqlite_url, provider, clock)
    client = client_of(made)
    answer = enter(client, provider, **claims)
    assert is_shut(client, answer, 403) and "opens nothing here" in answer.text
    assert rows(made, Member) == []
    made.close()


def test_a_token_that_does_not_hold_opens_nothing(
    runtime: Runtime,
    client: TestClient,
    provider: StandInProvider,
    clock: SetClock,
    caplog: pytest.LogCaptureFixture,
):
    at = int(clock().timestamp())
    twists: list[dict[str, Any]] = [
        {"nonce": "another"}, {"nonce": None}, {"iss": "https://evil.example"},
        {"iss": provider.issuer + "/x"}, {"aud": "another-program"}, {"aud": None},
        {"aud": [CLIENT, "another-program"]},
        {"exp": at - 120}, {"exp": None}, {"iat": at + 3600}, {"nbf": at + 3600}, {"sub": None}, {"sub": ""},
        {"sub": "x" * 300}, {"exp": "tomorrow"},
    ]  # fmt: skip
    for twist in twists:
        provider.change_token = lambda claims, twist=twist: {
            name: value for name, value in (claims | twist).items() if value is not None
        }
        answer = enter(client, provider)
        assert is_shut(client, answer), twist
    provider.change_token = lambda claims: claims
    for cheat in (provider.sign_with_none, provider.sign_with_public_key, provider.sign_with_another_key):
        provider.sign = cheat
        assert is_shut(client, enter(client, provider)), cheat
    for rubbish in ("", "a.b.c", "{}", "x" * 10_000):
        provider.sign = lambda _claims, rubbish=rubbish: rubbish
        assert is_shut(client, enter(client, provider)), rubbish
    assert rows(runtime, Member) == [] and rows(runtime, MemberSession) == []
    assert "kim@" not in caplog.text and "cannot be believed" in caplog.text
    provider.sign = provider.sign_well
    assert enter(client, provider).status_code == 303, "and the same with an honest token"


def test_an_answer_is_good_once_and_in_the_browser_that_asked(
    runtime: Runtime, client: TestClient, provider: StandInProvider, clock: SetClock
):
    other = client_of(runtime)
    address = go(client)
    stolen, later = provider.authorize(address, **KIM), provider.authorize(address, **KIM)
    assert is_shut(other, come_back(other, stolen)), "no cookie of an attempt"
    go(other)
    assert is_shut(other, come_back(other, stolen)), "another attempt's cookie"
    kept = client.cookies["aftercare-sso"]
    assert come_back(client, stolen).status_code == 303
    client.cookies.clear()
    client.cookies.set("aftercare-sso", kept)
    assert is_shut(client, come_back(client, stolen)), "state and code a second time"
    client.cookies.set("aftercare-sso", kept)
    assert is_shut(client, come_back(client, later)), "the state a second time, with a code never used"
    fresh = provider.authorize(go(other), **KIM)
    assert is_shut(client, come_back(client, {"code": fresh["code"], "state": stolen["state"]}))
    client.cookies.clear()
    late = provider.authorize(go(client), **KIM)
    clock.advance(minutes=11)
    assert is_shut(client, come_back(client, late)), "too late"
    assert len(rows(runtime, MemberLink)) == 1, "an answer that is not ours writes nothing"


def test_a_code_of_another_attempt_fails_by_pkce_and_nonce(
    client: TestClient, provider: StandInProvider, runtime: Runtime
):
    other = client_of(runtime)
    theirs = provider.authorize(go(other), **KIM)
    mine = provider.authorize(go(client), **KIM)
    mixed = {"state": mine["state"], "code": theirs["code"]}
    assert is_shut(client, come_back(client, mixed)), "an injected code"


def test_odd_answers_are_refused(client: TestClient, provider: StandInProvider, runtime: Runtime):
    for odd in (
        {"error": "access_denied"}, {"code": ""}, {"iss": "https://evil.example"}, {"state": ""},
        {"state": "é"}, {"code": "made-up"},
    ):  # fmt: skip
        answer = provider.authorize(go(client), **KIM)
        assert is_shut(client, come_back(client, answer | odd)), odd
    right = provider.authorize(go(client), **KIM) | {"iss": provider.issuer}
    assert come_back(client, right).status_code == 303
    client.cookies.clear()
    client.cookies.set("aftercare-sso", "1.rubbish")
    assert is_shut(client, come_back(client, {"code": "x", "state": "y"}))
    assert client.get("/sign-in/sso/back", params={"code": "x" * 5000}).status_code == 422


def test_nobody_is_sent_to_another_site_afterwards(client: TestClient, provider: StandInProvider):
    answer = come_back(client, provider.authorize(go(client, "//evil.example"), **KIM))
    assert answer.headers["location"] == "/"


def test_an_existing_member_is_tied_once_and_another_person_with_the_address_stays_out(
    runtime: Runtime, client: TestClient, provider: StandInProvider
):
    with session_on(runtime.engine) as session:
        accounts.add_member(
            session,
            now=runtime.clock(),
            email="kim@clinic.example",
            name="Kim",
            role="viewer",
            password=PASSWORD,
        )
    assert enter(client, provider, email="Kim@Clinic.Example").status_code == 303
    member = rows(runtime, Member)[0]
    assert (member.role, member.name) == ("nurse", "Kim") and member.sso_subject.endswith(" person-1")
    client.cookies.clear()
    assert is_shut(client, enter(client, provider, sub="person-2"), 403), "an address passed on"
    assert enter(client, provider, email="kim.ryan@clinic.example").status_code == 303, (
        "a new address of hers"
    )
    assert [one.email for one in rows(runtime, Member)] == ["kim@clinic.example"]


def test_who_was_shut_out_stays_out(runtime: Runtime, client: TestClient, provider: StandInProvider):
    enter(client, provider)
    with session_on(runtime.engine) as session:
        member = session.get_one(Member, rows(runtime, Member)[0].id)
        accounts.disable(session, member, now=runtime.clock(), actor="boss")
    client.cookies.clear()
    assert is_shut(client, enter(client, provider), 403)


def test_keys_may_be_rotated_and_are_not_asked_for_at_every_sign_in(
    runtime: Runtime, client: TestClient, provider: StandInProvider
):
    shared = client.app.state.sso
    shared._seconds = lambda: at[0]
    at = [0.0]
    for _ in range(3):
        enter(client, provider)
    assert (
        provider.asked.count("/realm/keys") == 1 and sum("well-known" in path for path in provider.asked) == 1
    )
    provider.rotate()
    client.cookies.clear()
    assert is_shut(client, enter(client, provider)), "asked a moment ago"
    at[0] += 61
    assert enter(client, provider).status_code == 303
    assert provider.asked.count("/realm/keys") == 2


def test_a_provider_that_is_away_or_lies_about_itself_lets_nobody_in(
    sqlite_url: str, provider: StandInProvider, clock: SetClock
):
    for lie in (
        {"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "ftp://127.0.0.1/keys"}, {"authorization_endpoint": "javascript:alert(1)"},
    ):  # fmt: skip
        provider.discovery = lie
        made = with_sso(sqlite_url, provider, clock)
        assert client_of(made).get("/sign-in/sso").status_code == 502, lie
        made.close()
    provider.discovery, provider.is_away = {}, True
    made = with_sso(sqlite_url, provider, clock)
    client = client_of(made)
    before = len(provider.asked)
    assert [client.get("/sign-in/sso").status_code for _ in range(5)] == [502] * 5
    assert len(provider.asked) == before + 1, "asked once, not by every visitor"
    assert client.get("/sign-in").status_code == 200
    made.close()


def test_passwords_can_be_left_to_admins_for_the_day_the_provider_is_away(
    sqlite_url: str, provider: StandInProvider, clock: SetClock
):
    made = with_sso(sqlite_url, provider, clock, sso_passwords="admins")
    for role in ("nurse", "admin"):
        with session_on(made.engine) as session:
            accounts.add_member(
                session, now=clock(), email=f"{role}@clinic.example", name=role, role=role, password=PASSWORD
            )
    client = client_of(made)
    nurse = client.post("/sign-in", data={"email": "nurse@clinic.example", "password": PASSWORD})
    admin = client.post("/sign-in", data={"email": "admin@clinic.example", "password": PASSWORD})
    assert (nurse.status_code, admin.status_code) == (401, 303)
    made.close()


def test_the_required_second_factor_is_the_providers_matter(
    sqlite_url: str, provider: StandInProvider, clock: SetClock
):
    made = with_sso(sqlite_url, provider, clock, require_totp="all")
    client = client_of(made)
    enter(client, provider)
    assert client.get("/").status_code == 200
    made.close()


def test_without_settings_the_doors_are_not_there(sqlite_url: str, clock: SetClock):
    made = make_runtime(settings_for(sqlite_url), clock=clock)
    client = client_of(made)
    assert client.get("/sign-in/sso").status_code == 404
    assert client.get("/sign-in/sso/back?code=x&state=y").status_code == 404
    assert "/sign-in/sso" not in client.get("/sign-in").text
    made.close()


WHOLE = {
    "sso_issuer": "https://id.example", "sso_client_id": "a", "sso_client_secret": "b",
    "sso_roles": "x=nurse",
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sso_client_id": None}, "half set: AFTERCARE_SSO_CLIENT_ID is missing"),
        ({"sso_client_secret": None}, "AFTERCARE_SSO_CLIENT_SECRET is missing"),
        ({"sso_issuer": None}, "AFTERCARE_SSO_ISSUER is missing"),
        ({"sso_roles": None}, "AFTERCARE_SSO_ROLES is missing"),
        ({"sso_issuer": "http://id.example"}, "AFTERCARE_SSO_ISSUER must be an https address"),
        ({"sso_issuer": "https://"}, "AFTERCARE_SSO_ISSUER must be an https address"),
        ({"sso_issuer": "https://id.example/?x=1"}, "AFTERCARE_SSO_ISSUER must be an https address"),
        ({"sso_roles": "x=boss"}, "AFTERCARE_SSO_ROLES: 'x=boss' cannot be used.*viewer, nurse"),
        ({"sso_roles": "nurse"}, "AFTERCARE_SSO_ROLES: 'nurse' cannot be used"),
        ({"sso_roles": "x=nurse,x=admin"}, "'x' is there twice"),
    ],
)
def test_half_a_provider_is_refused_at_the_start(values: dict[str, Any], said: str):
    settings = Settings(_env_file=None, **(WHOLE | values))
    with pytest.raises(SettingsError, match=said) as refused:
        make_runtime(settings)
    assert "\n" not in str(refused.value)


def test_without_the_extra_the_start_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sso_settings, "LIBRARIES", ("authlib", "a_library_nobody_has"))
    with pytest.raises(SettingsError, match=r'a_library_nobody_has is not installed.*"aftercare\[sso\]"'):
        make_runtime(Settings(_env_file=None, **WHOLE))


def test_a_role_claim_may_be_a_path(sqlite_url: str, provider: StandInProvider, clock: SetClock):
    for claim, claims in (
        ("realm_access.roles", {"realm_access": {"roles": ["care-nurses"]}}),
        ("https://clinic.example/roles", {"https://clinic.example/roles": "care-nurses"}),
    ):
        made = with_sso(sqlite_url, provider, clock, sso_role_claim=claim)
        client = client_of(made)
        assert enter(client, provider, **claims).status_code == 303
        client.cookies.clear()
        assert is_shut(client, enter(client, provider), 403), "groups is not the claim here"
        made.close()


def test_over_https_the_cookies_are_bound_to_the_host(
    sqlite_url: str, provider: StandInProvider, clock: SetClock
):
    made = with_sso(sqlite_url, provider, clock, public_url="https://care.clinic.example")
    client = TestClient(create_app(made), base_url="https://care.clinic.example", follow_redirects=False)
    cookie = client.get("/sign-in/sso").headers["set-cookie"]
    assert cookie.startswith("__Host-aftercare-sso=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"))
    made.close()
