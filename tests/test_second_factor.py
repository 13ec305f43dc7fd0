"""The second factor: no way around it, no code twice, sealed at rest, recoverable, and wanted where it is."""

import re
from datetime import datetime
from threading import Barrier, Thread

import pyotp
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from service import accounts, recovery_codes, second_factor, sign_in_tries
from service.account_secrets import SealBroken, keyed_hash, open_seal, seal
from service.db import session_on
from service.models import AuditEvent, Member, MemberSession, RecoveryCode
from service.runtime import Runtime, make_runtime
from tests.clinic import rows
from tests.conftest import SECRET, SetClock, settings_for
from tests.test_routes import is_to_sign_in
from tests.web_clinic import client_of, words_of

PASSWORD = "correct horse battery"
EMAIL = "kim@clinic.example"


def add_kim(runtime: Runtime, role: str = "nurse") -> Member:
    with session_on(runtime.engine) as session:
        return accounts.add_member(
            session, now=runtime.clock(), email=EMAIL, name="Kim Ryan", role=role, password=PASSWORD
        )


def kim_now(runtime: Runtime) -> Member:
    return next(member for member in rows(runtime, Member) if member.email == EMAIL)


def csrf_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page[:300]
    return found[1]


class Kim:
    """Kim's browser and her phone."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.client = runtime, client_of(runtime)
        self.secret = ""
        self.codes: list[str] = []

    def code(self, at: datetime | None = None, steps: int = 0) -> str:
        step = int((at or self.runtime.clock()).timestamp()) // 30
        return pyotp.TOTP(self.secret).generate_otp(step + steps)

    def password(self, **fields: str) -> Response:
        return self.client.post("/sign-in", data={"email": EMAIL, "password": PASSWORD} | fields)

    def type_code(self, code: str, **fields: str) -> Response:
        return self.client.post("/sign-in/code", data={"code": code} | fields)

    def post(self, path: str, **fields: str) -> Response:
        return self.client.post(path, data={"csrf": csrf_of(self.client.get("/me/security").text)} | fields)

    def set_up(self) -> list[str]:
        """Signed in already: turn the second factor on."""
        assert self.post("/me/second-factor", password=PASSWORD).headers["location"] == "/me/second-factor"
        page = self.client.get("/me/second-factor").text
        self.secret = re.search(r'class="key">([A-Z2-7 ]+)<', page)[1].replace(" ", "")  # type: ignore[index]
        done = self.client.post(
            "/me/second-factor/confirm", data={"csrf": csrf_of(page), "code": self.code()}
        )
        assert done.status_code == 200, done.text
        self.codes = re.findall(r"<li><code>([\w-]+)</code>", done.text)
        return self.codes


@pytest.fixture
def kim(runtime: Runtime) -> Kim:
    """Kim with a second factor, signed out."""
    add_kim(runtime)
    made = Kim(runtime)
    assert made.password().headers["location"] == "/"
    made.set_up()
    made.client = client_of(runtime)
    return made


def test_after_the_password_a_code_is_asked_for_and_until_then_nothing_opens(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    away = kim.password(next="/patients")
    assert away.headers["location"] == "/sign-in/code?next=/patients"
    assert "aftercare" not in kim.client.cookies and kim.client.cookies.get("aftercare-step")
    assert is_to_sign_in(kim.client.get("/")) and is_to_sign_in(kim.client.get("/me/security"))
    step = kim.client.cookies["aftercare-step"]
    assert is_to_sign_in(kim.client.get("/", headers={"Cookie": f"aftercare={step}"})), (
        "the step is no session"
    )
    assert 'autocomplete="one-time-code"' in kim.client.get("/sign-in/code?next=/patients").text
    done = kim.type_code(kim.code(), next="/patients")
    assert (done.status_code, done.headers["location"]) == (303, "/patients")
    assert kim.client.get("/patients").status_code == 200
    assert "aftercare-step" not in kim.client.cookies


def test_the_code_page_is_for_those_with_the_password(kim: Kim):
    stranger = client_of(kim.runtime)
    assert stranger.get("/sign-in/code?next=/patients").headers["location"] == "/sign-in?next=/patients"
    assert stranger.post("/sign-in/code", data={"code": kim.code()}).status_code == 401
    stranger.cookies.set("aftercare-step", "x" * 43)
    assert stranger.post("/sign-in/code", data={"code": kim.codes[0]}).status_code == 401
    assert kim.password().status_code == 303
    for target in ("//evil.example", "https://evil.example/"):
        assert 'value="/"' in kim.client.get("/sign-in/code", params={"next": target}).text
        assert kim.type_code("000000", next=target).status_code == 401
    cross = kim.client.post("/sign-in/code", data={"code": "1"}, headers={"sec-fetch-site": "cross-site"})
    assert cross.status_code == 403


def test_a_code_never_works_twice_and_only_one_step_away(kim: Kim, clock: SetClock):
    used = kim.code()  # the one that turned it on
    kim.password()
    assert kim.type_code(used).status_code == 401
    clock.advance(seconds=300)
    for steps in (-2, 2):
        assert kim.type_code(kim.code(steps=steps)).status_code == 401
    late = kim.code(steps=1)
    kim.password()
    assert kim.type_code(f" {late[:3]} {late[3:]} ").status_code == 303
    again = Kim(kim.runtime)
    again.secret = kim.secret
    again.password()
    for steps in (-1, 0, 1):
        assert again.type_code(kim.code(steps=steps)).status_code == 401, "a later one was used already"
    clock.advance(minutes=16)
    again.password()
    assert again.type_code(kim.code()).status_code == 303


def test_one_code_typed_by_many_at_once_opens_one_door(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    clients = []
    for _ in range(4):
        other = Kim(kim.runtime)
        other.password()
        clients.append(other)
    start, found, code = Barrier(4), [], kim.code()

    def race(one: Kim) -> None:
        start.wait()
        found.append(one.type_code(code).status_code)

    racing = [Thread(target=race, args=(one,)) for one in clients]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert sorted(found) == [303, 401, 401, 401]


def test_rubbish_is_refused_as_any_wrong_code(kim: Kim):
    kim.password()
    for code in ("", "000000", "12345", "1234567", "١٢٣٤٥٦", "''", "x" * 5000):
        answer = kim.type_code(code)
        assert answer.status_code == 401 and "That code is wrong" in answer.text


def test_codes_and_passwords_share_the_throttle_and_a_day_has_few_codes(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    kim.password()
    for _ in range(sign_in_tries.TRIES["pair"]):
        assert kim.type_code("000000").status_code == 401
    assert kim.type_code(kim.code()).status_code == 401, "right, but too late"
    assert kim.password().status_code == 401, "and neither does the password work meanwhile"
    clock.advance(minutes=16)
    wrong = 0
    while wrong < sign_in_tries.CODES_A_DAY:
        clock.advance(minutes=16)
        assert kim.password().status_code == 303
        for _ in range(4):
            assert kim.type_code("000000").status_code == 401
            wrong += 1
    clock.advance(minutes=16)
    kim.password()
    assert kim.type_code(kim.code()).status_code == 401, "guessing by the day is as useless"
    clock.advance(hours=25)
    kim.password()
    assert kim.type_code(kim.code()).status_code == 303


def test_the_step_dies_with_time_with_use_and_with_a_new_password(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    kim.password()
    clock.advance(minutes=10, seconds=1)
    assert kim.type_code(kim.code()).status_code == 401
    kim.password()
    step = kim.client.cookies["aftercare-step"]
    assert kim.type_code(kim.code()).status_code == 303
    clock.advance(seconds=60)
    again = client_of(kim.runtime)
    again.cookies.set("aftercare-step", step)
    assert again.post("/sign-in/code", data={"code": kim.code()}).status_code == 401
    other = Kim(kim.runtime)
    other.password()
    with session_on(kim.runtime.engine) as session:
        member = session.get_one(Member, kim_now(kim.runtime).id)
        accounts.set_password(session, member, "another long one", now=clock(), actor="boss")
    assert other.type_code(kim.code()).status_code == 401


def test_the_secret_is_sealed_and_bound_to_its_member(kim: Kim):
    member = kim_now(kim.runtime)
    stored = str(member.totp_secret)
    assert (
        kim.secret not in stored and open_seal(SECRET, second_factor.PURPOSE, member.id, stored) == kim.secret
    )
    for key, purpose, owner, text in (
        ("f" * 64, second_factor.PURPOSE, member.id, stored),
        (SECRET, "recovery codes", member.id, stored),
        (SECRET, second_factor.PURPOSE, "another", stored),
        (SECRET, second_factor.PURPOSE, member.id, stored[:-2] + "AA"),
        (SECRET, second_factor.PURPOSE, member.id, "rubbish"),
        (SECRET, second_factor.PURPOSE, member.id, "1.é"),
        (SECRET, second_factor.PURPOSE, member.id, "1."),
    ):
        with pytest.raises(SealBroken):
            open_seal(key, purpose, owner, text)
    assert seal(SECRET, "x", "y", "same") != seal(SECRET, "x", "y", "same"), "a fresh nonce each time"
    assert keyed_hash(SECRET, "x", "y", "z") != keyed_hash("f" * 64, "x", "y", "z")
    for row in rows(kim.runtime, MemberSession):
        assert kim.secret not in str(row.model_dump())


def test_with_another_secret_key_the_door_stays_shut_and_the_log_says_why(
    kim: Kim, clock: SetClock, caplog: pytest.LogCaptureFixture
):
    clock.advance(seconds=60)
    settings = settings_for(kim.runtime.settings.database_url, secret_key="f" * 64)
    changed = make_runtime(settings, clock=clock)
    client = client_of(changed)
    client.post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
    assert client.post("/sign-in/code", data={"code": kim.code()}).status_code == 401
    assert "AFTERCARE_SECRET_KEY changed" in caplog.text and EMAIL not in caplog.text
    changed.close()


def test_each_recovery_code_works_once_and_the_rest_is_counted(kim: Kim, clock: SetClock):
    assert len(kim.codes) == len(set(kim.codes)) == 10
    assert all(re.fullmatch(r"[2-9a-z]{5}-[2-9a-z]{5}", code) for code in kim.codes)
    stored = str([row.model_dump() for row in rows(kim.runtime, RecoveryCode)])
    assert not any(code.replace("-", "") in stored for code in kim.codes)
    for number, code in enumerate(kim.codes[:7]):
        clock.advance(minutes=16)
        kim.password()
        done = kim.type_code(code.upper().replace("-", " " if number % 2 else ""))
        assert done.headers["location"] == "/me/security?recovered=1"
        kim.client = client_of(kim.runtime)
        kim.password()
        assert kim.type_code(code).status_code == 401, "used up"
    kim.type_code(kim.codes[7])
    page = words_of(kim.client.get("/me/security?recovered=1").text)
    assert "2 are left" in page and "Make new ones before they run out" in page
    assert "use recovery code" in [event.action for event in rows(kim.runtime, AuditEvent)]


def test_new_recovery_codes_need_password_and_code_and_end_the_old_ones(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    kim.password()
    kim.type_code(kim.code())
    clock.advance(seconds=60)
    assert kim.post("/me/recovery-codes", password="wrong wrong wrong", code=kim.code()).status_code == 422
    assert kim.post("/me/recovery-codes", password=PASSWORD, code="000000").status_code == 422
    done = kim.post("/me/recovery-codes", password=PASSWORD, code=kim.code())
    fresh = re.findall(r"<li><code>([\w-]+)</code>", done.text)
    assert len(fresh) == 10 and not set(fresh) & set(kim.codes)
    member = kim_now(kim.runtime)
    with session_on(kim.runtime.engine) as session:
        old, new = kim.codes[0], fresh[0]
        assert not recovery_codes.use_recovery_code(session, SECRET, member.id, old, clock())
        assert not recovery_codes.use_recovery_code(session, SECRET, "another", new, clock())
        assert recovery_codes.use_recovery_code(session, SECRET, member.id, new, clock())


def test_setting_up_needs_the_password_and_a_right_code_and_signs_out_the_others(runtime: Runtime):
    add_kim(runtime)
    kim, elsewhere = Kim(runtime), Kim(runtime)
    kim.password(), elsewhere.password()
    assert kim.client.get("/me/second-factor").headers["location"] == "/me/security"
    assert kim.post("/me/second-factor", password="wrong wrong wrong").status_code == 422
    assert kim.post("/me/second-factor/confirm", code="123456").headers["location"] == "/me/second-factor"
    assert kim.post("/me/second-factor", password=PASSWORD).status_code == 303
    page = kim.client.get("/me/second-factor").text
    assert '<svg class="qr"' in page or 'class="qr"' in page
    assert "data:" not in page and "style=" not in page
    wrong = kim.post("/me/second-factor/confirm", code="000000")
    assert wrong.status_code == 422 and "does not fit" in wrong.text
    assert kim_now(runtime).totp_secret is None, "not on before a code fitted"
    assert elsewhere.client.get("/me/second-factor").headers["location"] == "/me/security", (
        "this browser only"
    )
    kim.set_up()
    assert is_to_sign_in(elsewhere.client.get("/")) and kim.client.get("/").status_code == 200
    assert kim.post("/me/second-factor", password=PASSWORD).headers["location"] == "/me/security"
    assert kim_now(runtime).totp_secret is not None
    assert all(row.totp_offered is None for row in rows(runtime, MemberSession))


def test_turning_it_off_needs_password_and_code(kim: Kim, clock: SetClock):
    clock.advance(seconds=60)
    kim.password()
    kim.type_code(kim.code())
    clock.advance(seconds=60)
    assert kim.post("/me/second-factor/off", password=PASSWORD, code="000000").status_code == 422
    assert kim.post("/me/second-factor/off", password="wrong wrong wrong", code=kim.code()).status_code == 422
    assert kim.post("/me/second-factor/off", password=PASSWORD, code=kim.code()).status_code == 303
    assert kim_now(kim.runtime).totp_secret is None and rows(kim.runtime, RecoveryCode) == []
    assert (
        client_of(kim.runtime)
        .post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
        .headers["location"]
        == "/"
    )


def required(database_url: str, clock: SetClock, who: str) -> Runtime:
    return make_runtime(settings_for(database_url, require_totp=who), clock=clock)


def test_where_it_is_wanted_nothing_opens_before_it_is_set_up(database_url: str, clock: SetClock):
    from tests.test_routes import ADMIN, CARE, DECIDE, LINK_IN, MEMBER, OWN, routes_for

    runtime = required(database_url, clock, "all")
    add_kim(runtime, role="admin")
    kim = Kim(runtime)
    assert kim.password(next="/patients").headers["location"] == "/patients"
    page = kim.client.get("/me/second-factor").text
    csrf = csrf_of(page)
    assert "asks for a code from your phone" in page and 'class="rail"' not in page
    tried = 0
    for method, path in routes_for(MEMBER, OWN, CARE, DECIDE, ADMIN):
        if (method, path) in LINK_IN:
            continue
        answer = kim.client.request(method, path, data={"csrf": csrf} if method == "POST" else None)
        shut = answer.status_code == 303 and answer.headers["location"] == "/me/second-factor"
        assert shut or (path == "/live" and answer.status_code == 401), (method, path, answer.status_code)
        tried += 1
    assert tried >= 50
    runtime.bound_host = ""
    assert is_to_sign_in(kim.client.get("/phones"))
    kim.secret = re.search(r'class="key">([A-Z2-7 ]+)<', page)[1].replace(" ", "")  # type: ignore[index]
    assert kim.client.get("/me/second-factor").text.count(kim.secret[:4]) >= 1, "the same picture again"
    confirm = {"csrf": csrf, "code": kim.code()}
    assert kim.client.post("/me/second-factor/confirm", data=confirm).status_code == 200
    assert kim.client.get("/patients").status_code == 200
    clock.advance(seconds=60)
    off = {"csrf": csrf, "password": PASSWORD, "code": kim.code()}
    assert kim.client.post("/me/second-factor/off", data=off).status_code == 403, "not while it is wanted"
    runtime.close()


def test_who_is_led_there_may_leave_instead(database_url: str, clock: SetClock):
    runtime = required(database_url, clock, "all")
    add_kim(runtime)
    kim = Kim(runtime)
    kim.password()
    csrf = csrf_of(kim.client.get("/me/second-factor").text)
    assert kim.client.post("/sign-out", data={"csrf": csrf}).headers["location"] == "/sign-in"
    assert is_to_sign_in(kim.client.get("/me/second-factor"))
    runtime.close()


@pytest.mark.parametrize(("who", "role", "led"), [
    ("none", "admin", False), ("admins", "nurse", False), ("admins", "admin", True), ("all", "viewer", True),
])  # fmt: skip
def test_who_must_have_one(sqlite_url: str, clock: SetClock, who: str, role: str, led: bool):
    runtime = required(sqlite_url, clock, who)
    add_kim(runtime, role)
    kim = Kim(runtime)
    kim.password()
    assert (kim.client.get("/").status_code == 303) is led
    runtime.close()


def test_an_admin_resets_a_lost_second_factor_on_record(kim: Kim, clock: SetClock):
    from tests.web_clinic import browser_of

    clock.advance(seconds=60)
    boss = browser_of(kim.runtime, "Boss", role="admin")
    kim.password()
    kim.type_code(kim.code())
    member = kim_now(kim.runtime)
    assert "Reset the second factor" in boss.text(f"/members/{member.id}")
    assert boss.post(f"/members/{boss.member.id}/second-factor/reset").status_code == 422
    assert boss.post(f"/members/{'0' * 32}/second-factor/reset").status_code == 404
    assert boss.post(f"/members/{member.id}/second-factor/reset").status_code == 303
    assert is_to_sign_in(kim.client.get("/")), "signed out everywhere"
    assert kim.password().headers["location"] == "/"
    assert rows(kim.runtime, RecoveryCode) == []
    done = [event for event in rows(kim.runtime, AuditEvent) if event.action == "reset second factor"]
    assert [(event.actor, event.subject_id) for event in done] == [(boss.member.email, member.id)]


def test_without_a_second_factor_sign_in_is_as_before(runtime: Runtime):
    add_kim(runtime)
    client: TestClient = client_of(runtime)
    answer = client.post("/sign-in", data={"email": EMAIL, "password": PASSWORD, "next": "/patients"})
    assert answer.headers["location"] == "/patients" and "aftercare-step" not in client.cookies
    assert client.get("/patients").status_code == 200
