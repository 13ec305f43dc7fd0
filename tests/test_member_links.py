"""One-time links: once, for a while, for one member, revocable, only hashes stored; and the first admin."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlmodel import select

from service import accounts, first_admin, member_links
from service.db import make_engine, session_on
from service.models import AuditEvent, Member, MemberLink
from service.runtime import Runtime
from tests.clinic import rows
from tests.conftest import SECRET, SetClock
from tests.web_clinic import browser_of, client_of, words_of

ROOT = Path(__file__).parent.parent
PASSWORD = "correct horse battery"
BOSS = "boss@clinic.example"


def add(runtime: Runtime, email: str = "new@clinic.example", password: str | None = None) -> Member:
    with session_on(runtime.engine) as session:
        return accounts.add_member(
            session, now=runtime.clock(), email=email, name="New One", role="nurse", password=password
        )


def link_for(runtime: Runtime, member: Member) -> str:
    with session_on(runtime.engine) as session:
        path = member_links.password_link(session, member, now=runtime.clock(), actor=BOSS)
    return path.rsplit("/", 1)[1]


def owner(runtime: Runtime, token: str) -> Member | None:
    with session_on(runtime.engine) as session:
        return member_links.member_of_link(session, token, runtime.clock())


def accept(runtime: Runtime, token: str, password: str = PASSWORD) -> Member | None:
    with session_on(runtime.engine) as session:
        return accounts.accept_link(session, token, password, now=runtime.clock())


def test_a_password_link_works_once_for_three_days_and_for_its_member_only(runtime: Runtime, clock: SetClock):
    member = add(runtime)
    token = link_for(runtime, member)
    found = owner(runtime, token)
    assert found is not None and found.id == member.id
    for made_up in ("", token[:-1] + "x", "x" * 5000, "\ud800", member.id):
        assert owner(runtime, made_up) is None
    with pytest.raises(accounts.AccountError):
        accept(runtime, token, "short")
    assert owner(runtime, token), "a refused password leaves the link good"
    assert accept(runtime, token) is not None
    assert owner(runtime, token) is None and accept(runtime, token) is None, "used up"
    late = link_for(runtime, member)
    clock.advance(days=3, seconds=1)
    assert owner(runtime, late) is None and accept(runtime, late) is None


def test_only_the_hash_of_a_link_is_stored_and_who_made_it_is_on_record(runtime: Runtime):
    token = link_for(runtime, add(runtime))
    stored = rows(runtime, MemberLink)[0]
    assert token not in str(stored.model_dump()) and stored.created_by == BOSS
    made = [event for event in rows(runtime, AuditEvent) if event.action == "make invitation link"]
    assert len(made) == 1 and made[0].actor == BOSS and token not in str(made[0].model_dump())


def test_a_newer_link_a_new_password_or_shutting_out_ends_the_older_ones(runtime: Runtime):
    member = add(runtime, password=PASSWORD)
    first, second = link_for(runtime, member), link_for(runtime, member)
    assert owner(runtime, first) is None and owner(runtime, second)
    with session_on(runtime.engine) as session:
        stored = session.get_one(Member, member.id)
        accounts.set_password(session, stored, "another long one", now=runtime.clock(), actor=BOSS)
    assert owner(runtime, second) is None
    third = link_for(runtime, member)
    with session_on(runtime.engine) as session:
        stored = session.get_one(Member, member.id)
        accounts.disable(session, stored, now=runtime.clock(), actor=BOSS)
        accounts.disable(session, stored, now=runtime.clock(), actor=BOSS, disabled=False)
    assert owner(runtime, third) is None, "letting somebody in again does not revive a link"


def test_of_many_at_once_one_uses_the_link(runtime: Runtime):
    token = link_for(runtime, add(runtime))
    start, found = Barrier(6), []

    def race(number: int) -> None:
        start.wait()
        found.append(accept(runtime, token, f"{PASSWORD} {number}"))

    racing = [Thread(target=race, args=(number,)) for number in range(6)]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert sum(one is not None for one in found) == 1 and len(found) == 6


def test_an_admin_sees_what_waits_and_revokes_it(runtime: Runtime):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    made = boss.post("/members", email="new@clinic.example", name="New Nurse", role="nurse", phone="")
    token = re.search(r"/sign-in/new/([\w-]+)</code>", made.text)[1]  # type: ignore[index]
    assert "Links that wait" in words_of(made.text) and "New Nurse new@clinic.example Invitation" in words_of(
        made.text
    )
    assert "Links that wait" not in words_of(kim.text("/members"))
    assert token not in boss.text("/members"), "shown once"
    link = rows(runtime, MemberLink)[0]
    assert kim.post(f"/members/links/{link.id}/revoke").status_code == 403
    assert boss.post(f"/members/links/{'0' * 32}/revoke").status_code == 404
    assert boss.post(f"/members/links/{link.id}/revoke").status_code == 303
    assert boss.post(f"/members/links/{link.id}/revoke").status_code == 303, "again is no fault"
    assert client_of(runtime).get(f"/sign-in/new/{token}").status_code == 404
    assert "Links that wait" not in words_of(boss.text("/members"))
    revoked = [event for event in rows(runtime, AuditEvent) if event.action == "revoke invitation link"]
    assert len(revoked) == 1


def test_a_reset_link_gives_a_new_password_and_ends_every_session(runtime: Runtime):
    boss, kim = browser_of(runtime, "Boss", role="admin"), browser_of(runtime)
    page = boss.post(f"/members/{kim.member.id}/link").text
    token = re.search(r"/sign-in/new/([\w-]+)</code>", page)[1]  # type: ignore[index]
    client = client_of(runtime)
    assert (
        client.post(f"/sign-in/new/{token}", data={"password": PASSWORD, "again": PASSWORD}).status_code
        == 303
    )
    assert kim.get("/").status_code == 303
    entered = client.post("/sign-in", data={"email": kim.member.email, "password": PASSWORD})
    assert entered.status_code == 303 and client.get("/").status_code == 200
    assert boss.post(f"/members/{boss.member.id}/link").status_code == 422, "theirs goes by the old one"


# ---- the first admin


def offer(runtime: Runtime) -> str | None:
    with session_on(runtime.engine) as session:
        path = first_admin.offer(session, runtime.clock())
    return path.rsplit("/", 1)[1] if path else None


def test_the_first_link_makes_one_admin_once(runtime: Runtime):
    token = offer(runtime)
    assert token and offer(runtime) is None, "printed once"
    client, fields = client_of(runtime), {"email": "Ann@Clinic.Example", "name": "Ann Lee"}
    there = f"/sign-in/first/{token}"
    assert "admin of Lakeside Spine Center" in words_of(client.get(there).text)
    assert client.post(there, data=fields | {"password": PASSWORD, "again": "x"}).status_code == 422
    weak = client.post(there, data=fields | {"password": "password1234", "again": "password1234"})
    assert weak.status_code == 422 and "easy to guess" in weak.text and 'value="Ann Lee"' in weak.text
    assert client.post(there, data={"password": PASSWORD, "again": PASSWORD}).status_code == 422
    good = fields | {"password": PASSWORD, "again": PASSWORD}
    assert client.post(there, data=good, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(there, data=good).headers["location"] == "/sign-in"
    assert client.get(there).status_code == 404 and client.post(there, data=good).status_code == 404
    member = rows(runtime, Member)[0]
    assert (member.email, member.role, member.name) == ("ann@clinic.example", "admin", "Ann Lee")
    assert client.post("/sign-in", data={"email": member.email, "password": PASSWORD}).status_code == 303
    assert offer(runtime) is None


def test_the_first_link_dies_with_time_and_with_the_first_member(runtime: Runtime, clock: SetClock):
    early = offer(runtime)
    clock.advance(hours=24, seconds=1)
    client = client_of(runtime)
    assert client.get(f"/sign-in/first/{early}").status_code == 404
    late = offer(runtime)
    assert late and late != early, "the next start prints a new one"
    assert client.get(f"/sign-in/first/{early}").status_code == 404
    add(runtime)
    for path in (f"/sign-in/first/{late}", "/sign-in/first/x", f"/sign-in/new/{late}"):
        assert client.get(path).status_code == 404
        data = {"email": BOSS, "name": "Boss", "password": PASSWORD, "again": PASSWORD}
        assert client.post(path, data=data).status_code == 404
    assert [member.email for member in rows(runtime, Member)] == ["new@clinic.example"]


def test_an_invitation_token_makes_no_first_admin_and_the_other_way_round(runtime: Runtime):
    first = offer(runtime)
    assert owner(runtime, str(first)) is None
    token = link_for(runtime, add(runtime))
    with session_on(runtime.engine) as session:
        assert not first_admin.is_open(session, token, runtime.clock())


def test_two_browsers_with_the_first_link_make_one_admin(runtime: Runtime):
    token, start, made = str(offer(runtime)), Barrier(4), []

    def race(number: int) -> None:
        start.wait()
        with session_on(runtime.engine) as session:
            made.append(
                first_admin.claim(
                    session, token, now=runtime.clock(), email=f"a{number}@clinic.example", name="A",
                    password=PASSWORD,
                )
            )  # fmt: skip

    racing = [Thread(target=race, args=(number,)) for number in range(4)]
    for one in racing:
        one.start()
    for one in racing:
        one.join()
    assert sum(one is not None for one in made) == 1 and len(rows(runtime, Member)) == 1


def test_several_processes_that_start_at_once_print_it_once(database_url: str, tmp_path: Path):
    """Real processes on a real database: exactly one says the link, the others that it waits."""
    program = (
        "import sys; from service.runtime import make_runtime; from service.settings import load_settings; "
        "from service.first_admin import first_words; runtime = make_runtime(load_settings(_env_file=None)); "
        "print('ready', flush=True); sys.stdin.readline(); print(first_words(runtime, '127.0.0.1', 8123))"
    )
    environment = {
        "PATH": os.environ["PATH"], "AFTERCARE_DATABASE_URL": database_url, "AFTERCARE_SECRET_KEY": SECRET,
    }  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], said
    printed = [out for out, _error in said if "/sign-in/first/" in out]
    assert len(printed) == 1 and "http://127.0.0.1:8123/sign-in/first/" in printed[0]
    assert sum("was printed at" in out for out, _error in said) == 3
    token = re.search(r"/sign-in/first/(\S+)", printed[0])[1]  # type: ignore[index]
    assert not any(token in error for _out, error in said), "never in the log"
    engine = make_engine(database_url)
    with session_on(engine) as session:
        assert [link.id for link in session.exec(select(MemberLink))] == ["first-admin"]
    engine.dispose()


def test_where_there_are_members_a_start_says_nothing(runtime: Runtime):
    add(runtime)
    assert first_admin.first_words(runtime, "127.0.0.1", 8000) == ""
    assert rows(runtime, MemberLink) == []


def test_the_link_names_the_public_address_where_there_is_one(sqlite_url: str, clock: SetClock):
    from service.runtime import make_runtime
    from tests.conftest import settings_for

    runtime = make_runtime(settings_for(sqlite_url, public_url="https://care.clinic.example"), clock=clock)
    assert "https://care.clinic.example/sign-in/first/" in first_admin.first_words(runtime, "0.0.0.0", 8000)
    clock.advance(hours=1)
    again = first_admin.first_words(runtime, "0.0.0.0", 8000)
    assert "/sign-in/first/" not in again and "aftercare member add" in again
    runtime.close()
    assert first_admin.LASTS == timedelta(hours=24)
