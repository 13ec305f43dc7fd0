"""Nobody gets in who does not belong, and the door tells nothing about who does."""

import pytest
from sqlmodel import select

from service import accounts, sign_in_tries
from service.db import session_on
from service.models import AuditEvent, Member, MemberSession, OnCallShift, SignInAttempt
from service.runtime import Runtime
from tests.conftest import SetClock

PASSWORD = "correct horse battery"
EMAIL = "kim@clinic.example"


def add(runtime: Runtime, **values: object) -> Member:
    given = {"email": EMAIL, "name": "Kim Ryan", "role": "nurse", "password": PASSWORD}
    with session_on(runtime.engine) as session:
        return accounts.add_member(session, now=runtime.clock(), **(given | values))


def sign_in(runtime: Runtime, email: str = EMAIL, password: str = PASSWORD, address: str = "10.0.0.1") -> str:
    with session_on(runtime.engine) as session:
        entry = accounts.sign_in(
            session, now=runtime.clock(), email=email, password=password, address=address
        )
    assert not entry.waits_for_code
    return entry.token


def visit(runtime: Runtime, token: str) -> accounts.Visit | None:
    with session_on(runtime.engine) as session:
        return accounts.visit(session, token, runtime.clock())


def test_a_member_signs_in_with_the_right_password_and_only_the_hash_of_the_token_is_stored(runtime: Runtime):
    add(runtime)
    token = sign_in(runtime, email="  KIM@clinic.example ")
    found = visit(runtime, token)
    assert found is not None and found.member.email == EMAIL and found.state == "active"
    with session_on(runtime.engine) as session:
        stored = session.exec(select(MemberSession)).one()
        assert token not in (stored.token_hash, stored.csrf_token)
        assert PASSWORD not in (session.exec(select(Member)).one().password_hash or "")
        assert "sign in" in [event.action for event in session.exec(select(AuditEvent))]


def test_a_wrong_password_and_an_unknown_member_are_refused_alike(runtime: Runtime):
    add(runtime)
    for email in (EMAIL, "nobody@clinic.example", "not an e-mail", "", "x" * 5000):
        with pytest.raises(accounts.SignInRefused) as refused:
            sign_in(runtime, email=email, password="wrong wrong wrong")
        assert str(refused.value) == ""


def test_a_disabled_member_and_one_without_a_password_cannot_sign_in(runtime: Runtime):
    member = add(runtime)
    token = sign_in(runtime)
    with session_on(runtime.engine) as session:
        stored = session.get_one(Member, member.id)
        accounts.disable(session, stored, now=runtime.clock(), actor="admin@clinic.example")
    assert visit(runtime, token) is None
    with pytest.raises(accounts.SignInRefused):
        sign_in(runtime)
    add(runtime, email="new@clinic.example", password=None)
    with pytest.raises(accounts.SignInRefused):
        sign_in(runtime, email="new@clinic.example", password="")


def test_guessing_is_throttled_per_address_and_email_and_time_heals_it(runtime: Runtime, clock: SetClock):
    add(runtime)
    for _ in range(sign_in_tries.TRIES["pair"]):
        with pytest.raises(accounts.SignInRefused):
            sign_in(runtime, password="wrong wrong wrong")
    with pytest.raises(accounts.SignInRefused):
        sign_in(runtime)
    with session_on(runtime.engine) as session:
        written = len(session.exec(select(SignInAttempt)).all()), len(session.exec(select(AuditEvent)).all())
    for _ in range(3):
        with pytest.raises(accounts.SignInRefused):
            sign_in(runtime, password="wrong wrong wrong")
    with session_on(runtime.engine) as session:
        now = len(session.exec(select(SignInAttempt)).all()), len(session.exec(select(AuditEvent)).all())
    assert now == written, "beyond the count a flood writes nothing"
    assert sign_in(runtime, address="10.0.0.2"), "another address is not locked out by a stranger's guesses"
    clock.advance(minutes=16)
    assert sign_in(runtime)


def test_a_session_locks_when_idle_and_ends_after_twelve_hours_whatever_happens(
    runtime: Runtime, clock: SetClock
):
    add(runtime)
    token = sign_in(runtime)
    clock.advance(minutes=14)
    with session_on(runtime.engine) as session:
        accounts.note_activity(session, token, clock())
    clock.advance(minutes=14)
    found = visit(runtime, token)
    assert found is not None and found.state == "active"
    clock.advance(minutes=2)
    found = visit(runtime, token)
    assert found is not None and found.state == "idle"
    with session_on(runtime.engine) as session:
        accounts.note_activity(session, token, clock())
        assert accounts.session_member(session, token, clock()) is None, "an idle session is never woken"
    token = sign_in(runtime)
    for _ in range(12 * 6):
        with session_on(runtime.engine) as session:
            accounts.note_activity(session, token, clock())
        clock.advance(minutes=10)
    assert visit(runtime, token) is None


def test_signing_out_ends_that_browser_only(runtime: Runtime):
    add(runtime)
    one, other = sign_in(runtime), sign_in(runtime)
    with session_on(runtime.engine) as session:
        accounts.sign_out(session, one, now=runtime.clock(), actor=EMAIL)
        accounts.sign_out(session, one, now=runtime.clock(), actor=EMAIL)
    assert visit(runtime, one) is None
    assert visit(runtime, other) is not None
    assert visit(runtime, "made-up") is None


FAULTS = (
    ("email", {"email": "no at sign"}),
    ("name", {"name": "   "}),
    ("role", {"role": "boss"}),
    ("phone", {"phone": "312-555-0142"}),
    ("phone", {"on_call": 1}),
    ("on_call", {"on_call": 0, "phone": "+13125550142"}),
    ("password", {"password": "short"}),
    ("password", {"password": "aaaaaaaaaaaaaaaa"}),
    ("password", {"email": "kim.ryan.nurse@clinic.example", "password": "kim.ryan.nurse"}),
    ("password", {"password": "a1b2c3" * 100}),
)


def test_what_cannot_be_of_a_member_is_said_by_field(runtime: Runtime):
    for field, values in FAULTS:
        with pytest.raises(accounts.AccountError) as error:
            add(runtime, **values)
        assert error.value.field == field
        assert "correct horse" not in str(error.value)


def test_an_email_belongs_to_one_member_whatever_its_case(runtime: Runtime):
    add(runtime)
    with pytest.raises(accounts.AccountError, match="exists already"):
        add(runtime, email="Kim@Clinic.Example")


def test_on_call_from_the_start_holds_the_tier_around_the_clock(runtime: Runtime):
    member = add(runtime, phone="+13125550171", on_call=2)
    with session_on(runtime.engine) as session:
        shift = session.exec(select(OnCallShift)).one()
        assert (shift.member_id, shift.tier, shift.ends_at) == (member.id, 2, None)


def test_a_new_password_ends_every_session(runtime: Runtime):
    add(runtime)
    token = sign_in(runtime)
    with session_on(runtime.engine) as session:
        member = session.exec(select(Member)).one()
        accounts.set_password(session, member, "another long one", now=runtime.clock(), actor=EMAIL)
    assert visit(runtime, token) is None
