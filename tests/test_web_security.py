"""A member's own security page, and what an admin may do about another's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from service import accounts, sessions
from service.db import session_on
from service.models import AuditEvent, Member, MemberSession
from service.runtime import Runtime
from service.web.browser_words import browser_words
from tests.clinic import rows
from tests.conftest import SECRET, SetClock
from tests.test_routes import is_to_sign_in
from tests.web_clinic import SignedIn, browser_of, client_of, words_of

ROOT = Path(__file__).parent.parent
PASSWORD, NEW = "correct horse battery", "seven quiet green lamps"


def with_password(runtime: Runtime, browser: SignedIn) -> SignedIn:
    """The same member with a password, and this browser still signed in."""
    with session_on(runtime.engine) as session:
        member = session.get_one(Member, browser.member.id)
        row = session.exec(select(MemberSession).where(MemberSession.member_id == member.id)).one()
        accounts.set_password(
            session, member, PASSWORD, now=runtime.clock(), actor="x", keep=sessions.browser_name(row)
        )
    return browser


def elsewhere(runtime: Runtime, browser: SignedIn) -> SignedIn:
    client = client_of(runtime)
    client.post("/sign-in", data={"email": browser.member.email, "password": PASSWORD})
    other = SignedIn(runtime, browser.member, "")
    other.client = client
    return other


def test_a_new_password_needs_the_old_one_and_signs_out_the_others(runtime: Runtime, clock: SetClock):
    kim = with_password(runtime, browser_of(runtime))
    other = elsewhere(runtime, kim)
    for fields, said in (
        ({"old": "wrong wrong wrong", "password": NEW, "again": NEW}, "not your present password"),
        ({"old": PASSWORD, "password": NEW, "again": "x"}, "two passwords differ"),
        ({"old": PASSWORD, "password": PASSWORD, "again": PASSWORD}, "is the old one"),
        ({"old": PASSWORD, "password": "password1234", "again": "password1234"}, "easy to guess"),
        ({"old": "", "password": NEW, "again": NEW}, "not your present password"),
    ):
        answer = kim.post("/me/password", **fields)
        assert answer.status_code == 422 and said in words_of(answer.text), said
        assert NEW not in answer.text
    assert other.get("/").status_code == 200
    done = kim.post("/me/password", old=PASSWORD, password=NEW, again=NEW)
    assert done.headers["location"] == "/me/security?done=password"
    assert kim.get("/").status_code == 200 and is_to_sign_in(other.get("/"))
    given = {"email": kim.member.email}
    assert client_of(runtime).post("/sign-in", data=given | {"password": PASSWORD}).status_code == 401
    assert client_of(runtime).post("/sign-in", data=given | {"password": NEW}).status_code == 303


def test_the_old_password_cannot_be_guessed_from_a_borrowed_browser(runtime: Runtime, clock: SetClock):
    kim = with_password(runtime, browser_of(runtime))
    for _ in range(5):
        kim.post("/me/password", old="wrong wrong wrong", password=NEW, again=NEW)
    assert kim.post("/me/password", old=PASSWORD, password=NEW, again=NEW).status_code == 422
    assert [event.action for event in rows(runtime, AuditEvent)].count("refuse password") == 5
    clock.advance(minutes=14)
    kim.get("/")
    clock.advance(minutes=2)
    assert kim.post("/me/password", old=PASSWORD, password=NEW, again=NEW).status_code == 303


def test_browsers_are_listed_and_ended_one_by_one(runtime: Runtime):
    kim = with_password(runtime, browser_of(runtime))
    lee = browser_of(runtime, "Lee")
    client = client_of(runtime)
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1"
    entered = {"email": kim.member.email, "password": PASSWORD}
    client.post("/sign-in", data=entered, headers={"User-Agent": agent})
    page = kim.text("/me/security")
    assert "Safari, iPhone" in page and page.count("this one") == 1 and "Sign out everywhere else" in page
    names = re.findall(r"/me/sessions/([0-9a-f]{32})/end", page)
    assert len(names) == 1, "this browser has no button of its own"
    stored = {row.token_hash for row in rows(runtime, MemberSession)}
    assert not any(one in page or one[:32] in page for one in stored), "what names a session opens nothing"
    assert lee.post(f"/me/sessions/{names[0]}/end").status_code == 404, "somebody else's"
    assert client.get("/").status_code == 200
    assert kim.post(f"/me/sessions/{names[0]}/end").status_code == 303
    assert is_to_sign_in(client.get("/")) and kim.get("/").status_code == 200
    assert kim.post(f"/me/sessions/{names[0]}/end").status_code == 404


def test_an_admin_sees_a_members_browsers_and_ends_them(runtime: Runtime):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    there = f"/members/{kim.member.id}"
    assert "Sign out everywhere" in words_of(boss.text(there)) and kim.get(there).status_code == 403
    assert "This is you." in words_of(boss.text(f"/members/{boss.member.id}"))
    assert boss.get(f"/members/{'0' * 32}").status_code == 404
    assert boss.post(f"/members/{boss.member.id}/sessions/end").status_code == 422
    assert boss.post(f"{there}/sessions/end").status_code == 303
    assert is_to_sign_in(kim.get("/")) and "In no browser." in words_of(boss.text(there))
    ended = [event for event in rows(runtime, AuditEvent) if event.action == "end sessions"]
    assert [(event.actor, event.subject_id) for event in ended] == [(boss.member.email, kim.member.id)]
    assert "view member" in [event.action for event in rows(runtime, AuditEvent)]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/140.0 Safari/537 Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537 Chrome/140.0 Mobile Safari/537", "Chrome, Android"),
        ("curl/8.5", "curl/8.5"),
        ("<b>\u202e\nx" + "y" * 200, "<b>\ufffd x" + "y" * 54),
        ("", "?"),
        (None, "?"),
    ],
)
def test_browsers_are_named_in_words(agent: str | None, said: str):
    assert browser_words(agent) == said


def test_the_command_line_lets_a_lost_admin_in_again(tmp_path: Path):
    environment = {
        "PATH": os.environ["PATH"], "AFTERCARE_DATABASE_URL": f"sqlite:///{tmp_path}/a.sqlite3",
        "AFTERCARE_SECRET_KEY": SECRET, "AFTERCARE_PUBLIC_URL": "https://care.clinic.example",
    }  # fmt: skip

    def command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", *words], cwd=ROOT, env=environment, input=given, text=True,
            capture_output=True, timeout=60,
        )  # fmt: skip

    added = command(
        "member", "add", "ann@clinic.example", "--name", "Ann", "--role", "admin", "--password-stdin",
        given=f"{PASSWORD}\n",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    printed = command("member", "link", "Ann@clinic.example", "--reset-second-factor")
    assert re.fullmatch(r"https://care\.clinic\.example/sign-in/new/[\w-]{43}\n", printed.stdout), printed
    unknown = command("member", "link", "nobody@clinic.example")
    assert unknown.returncode == 1 and "There is no member" in unknown.stderr
