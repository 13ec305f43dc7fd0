"""Keys change: encryption is switched on, rotated while the service runs, cut off, given up."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlmodel import select
from typer.testing import CliRunner

from service import checkup, index_keys, rotation
from service.__main__ import app
from service.db import _alembic, make_engine, reading, session_on, upgrade
from service.index_keys import adopt
from service.keyring import PLAIN, Keyring, new_key_line
from service.models import Escalation, Patient, PhoneState, Reply, SealingKey, metadata
from service.runtime import Runtime, make_runtime
from service.settings import SettingsError
from tests.clinic import ANA, BEN, STRANGER, enroll, member, rows
from tests.clinic import text as write
from tests.conftest import SetClock, settings_for
from tests.web_clinic import browser_of, words_of

WORDS = "my left foot is numb"
K1, K2, K3 = new_key_line("k1"), new_key_line("k2"), new_key_line("k3")
_numbers = count(1)
Start = Callable[..., Runtime]


@pytest.fixture
def start(database_url: str, clock: SetClock) -> Iterator[Start]:
    """Start a process with these keys, as ``aftercare run`` does; each is closed at the end."""
    started: list[Runtime] = []

    def begin(*keys: str) -> Runtime:
        values = {"encryption_keys": ",".join(keys)} if keys else {}
        runtime = make_runtime(settings_for(database_url, **values), clock=clock)
        started.append(runtime)
        adopt(runtime.engine, clock())
        return runtime

    yield begin
    for runtime in started:
        runtime.close()


def lived(runtime: Runtime) -> None:
    member(runtime)
    enroll(runtime, external_id="MRN-1")
    enroll(runtime, BEN, "José O'Neil")
    write(runtime, ANA, WORDS)
    write(runtime, STRANGER, "chest pain")
    write(runtime, BEN, "STOP")


def lies(runtime: Runtime) -> dict[str, int]:
    with reading(runtime.engine) as session:
        return rotation.by_key(session.connection())


def finds_all(runtime: Runtime) -> None:
    """What was there before is found, read and goes on."""
    with session_on(runtime.engine) as session:
        assert session.exec(select(Patient).where(Patient.phone == ANA)).one().name == "Ana Doe"
        assert session.exec(select(Patient).where(Patient.external_id == "MRN-1")).one().phone == ANA
        state = session.get(PhoneState, BEN)
        assert state is not None and state.opted_out_at
        assert {row.body for row in session.exec(select(Reply))} >= {WORDS, "chest pain", "STOP"}
    before = len(rows(runtime, PhoneState))
    write(runtime, STRANGER, "chest pain again")
    write(runtime, ANA, "my right foot is numb too")
    assert len(rows(runtime, PhoneState)) == before, "every number was known"
    open_ones = [row for row in rows(runtime, Escalation) if row.status != "resolved"]
    assert len(open_ones) == len({(row.subject, row.kind) for row in open_ones})
    assert len([row for row in open_ones if row.patient_id is None]) == 1
    kim = browser_of(runtime, f"Kim{next(_numbers)}")
    assert "O'Neil" in words_of(kim.text("/patients?status=all&q=jose"))


def test_switched_on_over_what_is_there_and_off_again(start: Start) -> None:
    plain = start()
    lived(plain)
    number = lies(plain)[PLAIN]
    assert number > 50 and set(lies(plain)) == {PLAIN}
    on = start(K1)
    finds_all(on)
    assert set(lies(on)) == {PLAIN, "k1"}, "older rows lie open until they are rotated, new ones are sealed"
    open_still = lies(on)[PLAIN]
    written, unreadable = rotation.reseal(on.engine, "k1")
    index_keys.settle(on.engine, is_off=False, now=on.clock())
    plain.engine.dispose()
    assert rotation.wipe(on.engine)
    if on.engine.dialect.name == "sqlite":
        path = Path(on.engine.url.database or "")
        content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
        assert b"Ana Doe" not in content and b"5550111" not in content and WORDS.encode() not in content
    assert written == open_still > number - 10 and unreadable == 0 and set(lies(on)) == {"k1"}
    assert [row.key_id for row in rows(on, SealingKey)] == ["k1"], "the index key lies open no more"
    finds_all(on)
    with pytest.raises(SettingsError, match="sealed with key k1"):
        start()
    rotation.reseal(on.engine, None)
    index_keys.settle(on.engine, is_off=True, now=on.clock())
    assert set(lies(on)) == {PLAIN}
    off = start()
    finds_all(off)
    assert [row.key_id for row in rows(off, SealingKey)] == [PLAIN]
    assert set(lies(off)) == {PLAIN}


def test_a_rotation_that_was_cut_off_goes_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    old = start(K1)
    lived(old)
    both = start(K2, K1)
    monkeypatch.setattr(rotation, "BATCH", 5)
    looked = 0

    def told(number: int) -> None:
        nonlocal looked
        looked += number
        if looked > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.reseal(both.engine, "k2", told)
    middle = lies(both)
    assert middle["k1"] > 0 and middle["k2"] > 20
    finds_all(both)
    write(old, ANA, "a process with the old keys goes on too")
    again, unreadable = rotation.reseal(both.engine, "k2")
    assert unreadable == 0 and again < sum(middle.values()), "what was done is not done again"
    assert set(lies(both)) == {"k2"}
    index_keys.settle(both.engine, is_off=False, now=both.clock())
    finds_all(both)
    only = start(K2)
    finds_all(only)
    assert {row.key_id for row in rows(only, SealingKey)} == {"k2"}, "a key that sealed nothing is struck off"


def test_what_is_written_meanwhile_is_not_lost(start: Start) -> None:
    old = start(K1)
    lived(old)
    both = start(K2, K1)
    changed = False

    def told(_number: int) -> None:
        nonlocal changed
        if not changed:
            changed = True
            with session_on(both.engine) as session:
                patient = session.exec(select(Patient).where(Patient.phone == ANA)).one()
                patient.name = "Ana Roe-Doe"
                session.add(patient)
                session.commit()

    batches = rotation._batches

    def slow(engine: Engine, column: rotation.SealedColumn, target: str | None) -> Iterator[list[object]]:
        for read in batches(engine, column, target):
            if column.place == "patients.name":
                told(0)  # after it was read, before it is written
            yield read

    rotation._batches = slow
    try:
        rotation.reseal(both.engine, "k2")
    finally:
        rotation._batches = batches
    assert changed and "Ana Roe-Doe" in {row.name for row in rows(both, Patient)}
    assert set(lies(both)) == {"k2"}


def test_a_missing_key_is_counted_and_left_alone(start: Start, database_url: str, clock: SetClock) -> None:
    old = start(K1)
    lived(old)
    values = {"encryption_keys": K2}
    runtime = make_runtime(settings_for(database_url, **values), clock=clock)
    said = " ".join(map(str, checkup.check_everything(settings_for(database_url, **values))))
    assert "FAULT" in said and "sealed with key k1" in said and "forget k1" in said
    before = lies(old)
    index_keys.forget(runtime.engine, "k1", clock())
    written, unreadable = rotation.reseal(runtime.engine, "k2")
    assert (written, unreadable) == (0, sum(before.values())) and lies(old) == before
    said = " ".join(map(str, checkup.check_everything(settings_for(database_url, **values))))
    assert f"{sum(before.values())} values cannot be read" in said and "k1" in said
    runtime.close()
    found_again = start(K2, K1)
    assert not rows(found_again, SealingKey, SealingKey.lost_at.is_not(None))  # type: ignore[union-attr]
    assert rotation.reseal(found_again.engine, "k2")[1] == 0
    index_keys.renew(found_again.engine, clock())
    finds_all(found_again)


def test_a_new_index_key_changes_every_hash_and_loses_nobody(start: Start) -> None:
    runtime = start(K1)
    lived(runtime)
    hashes = _hashes(runtime)
    assert len(hashes) > 10
    assert index_keys.renew(runtime.engine, runtime.clock()) > 10
    assert not hashes & _hashes(runtime)
    finds_all(start(K1))


def _hashes(runtime: Runtime) -> set[str]:
    found: set[str] = set()
    with runtime.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                if column.name.endswith("_hash") and column.name not in ("password_hash", "token_hash"):
                    found |= set(
                        connection.execute(text(f"SELECT {column.name} FROM {table.name}")).scalars()
                    )
        strangers = "SELECT subject FROM escalations WHERE patient_id IS NULL"
        found |= set(connection.execute(text(strangers)).scalars())
    return found - {None}


def test_check_says_what_lies_open_and_what_lies_with_an_older_key(
    start: Start, database_url: str, clock: SetClock
) -> None:
    lived(start())

    def said(*keys: str) -> str:
        values = {"encryption_keys": ",".join(keys)} if keys else {}
        return "\n".join(map(str, checkup.check_everything(settings_for(database_url, **values))))

    assert "AFTERCARE_ENCRYPTION_KEYS is not set" in said()
    on = start(K1)
    assert "values lie unsealed: run aftercare keys rotate" in said(K1)
    rotation.reseal(on.engine, "k1")
    assert "values are sealed with key k1" in said(K1)
    start(K2, K1)
    assert "sealed with older keys (k1)" in said(K2, K1)


def test_the_migration_fills_the_hashes_of_what_is_there(start: Start, database_url: str) -> None:
    runtime = start()
    lived(runtime)
    engine = make_engine(database_url)
    command.downgrade(_alembic(engine), "0007")
    with engine.connect() as connection:
        assert connection.execute(
            text("SELECT count(*) FROM phone_states WHERE phone = :p"), {"p": BEN}
        ).scalar()
        assert connection.execute(
            text("SELECT count(*) FROM escalations WHERE subject = :p"), {"p": STRANGER}
        ).scalar()
    upgrade(engine)
    engine.dispose()
    finds_all(start())
    with pytest.raises(RuntimeError, match="rotate --off"):
        command.downgrade(_alembic(start(K1).engine), "0007")


def test_the_commands_say_and_do_it(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", "s" * 40)

    def run(*words: str, keys: str = "") -> Any:
        monkeypatch.setenv("AFTERCARE_ENCRYPTION_KEYS", keys)
        return CliRunner().invoke(app, words)

    first, second = (run("keys", "new", name).stdout.strip() for name in ("k1", "k2"))
    assert Keyring.parse(first).current == "k1"
    assert run("keys", "new", "Not A Name").exit_code == 1
    member_add = ("member", "add", "a@clinic.example", "--name", "A", "--role", "nurse", "--phone", ANA)
    assert run(*member_add).exit_code == 0
    assert "is not set" in run("keys", "rotate").stderr
    assert run("keys", "rotate", keys=first).stdout == "1 values sealed with key k1.\n"
    assert "sealed with key k1" in run("token", "add", "x").stderr
    both = f"{second},{first}"
    assert run("keys", "rotate", "--new-index-key", keys=both).stdout.startswith(
        "1 values sealed with key k2."
    )
    shown = run("keys", "status", keys=both).stdout
    assert "members.phone" in shown and shown.splitlines()[-1].split() == ["all", "k2", "1", "current"]
    assert run("keys", "forget", "k2", keys=both).exit_code == 1
    assert "counts as lost" in run("keys", "forget", "k2", keys=first).stdout
    assert run("token", "add", "x", keys=first).exit_code == 0
    assert run("keys", "rotate", "--off", keys=both).stdout == "1 values laid open.\n"
    assert run("token", "add", "y").exit_code == 0
