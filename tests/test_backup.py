"""Backup and restore, rehearsed on both databases: whole or not at all, and nothing is sent twice."""

import io
import re
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlmodel import col

from jobs.scheduler import JOBS, tick
from service import audit_chain, backups_postgres, marks, restore_gate, restores
from service.backups import BackupError, make_backup, read_manifest
from service.db import current_revision, make_engine, newest_revision, reading, session_on
from service.models import AuditEvent, Escalation, MemberSession, OutboundMessage, PlanItem, Reply, metadata
from service.runtime import Runtime, make_runtime
from tests import clinic
from tests.conftest import SetClock, settings_for
from tests.standin_carrier import NUMBER, StandIn, settings_of
from tests.web_clinic import browser_of

RED_FLAG = "my left foot is numb"


@pytest.fixture
def live(database_url: str, clock: SetClock) -> Iterator[tuple[Runtime, StandIn]]:
    standin = StandIn(clock=clock).start()
    runtime = make_runtime(settings_for(database_url, pace=0, **settings_of(standin)), clock=clock)
    yield runtime, standin
    runtime.close()
    standin.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monday.aftercare-backup"


def work(runtime: Runtime, clock: SetClock, rounds: int = 2) -> None:
    for _ in range(rounds):
        for job in JOBS:
            tick(runtime, job, {})
        clock.advance(seconds=20)


def counted(runtime: Runtime) -> dict[str, int]:
    with reading(runtime.engine) as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def restart(runtime: Runtime, clock: SetClock) -> Runtime:
    """The process after a restore: nothing is remembered."""
    runtime.close()
    return make_runtime(runtime.settings, clock=clock)


def stopped(runtime: Runtime, clock: SetClock) -> None:
    """Every process has stopped a while ago."""
    clock.advance(minutes=2)


def test_a_restored_database_holds_what_the_backup_held(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, _ = live
    clinic.enroll(runtime)
    clinic.text(runtime, clinic.ANA, RED_FLAG)
    browser_of(runtime)
    work(runtime, clock)
    before = counted(runtime)
    made = make_backup(runtime, file, clock())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.revision == newest_revision() and made.rows["replies"] == 1
    clinic.text(runtime, clinic.ANA, "and my chest hurts")
    stopped(runtime, clock)
    done = restores.restore(runtime, file, clock(), replace=True)
    runtime = restart(runtime, clock)
    after = counted(runtime)
    assert after.pop("member_sessions") == 0 and before.pop("member_sessions") == 1
    assert after.pop("audit_events") == before.pop("audit_events") + 1
    assert after.pop("marks") == before.pop("marks") + 1
    assert after == before
    with reading(runtime.engine) as session:
        assert audit_chain.verify(session, audit_chain.read_head(made.head)).fault == ""
        (said,) = session.execute(select(AuditEvent).where(AuditEvent.action == "restore database")).scalars()
        assert said.detail["backup_at"] == made.at
    assert done.aside
    runtime.close()


def test_what_was_there_before_is_kept_aside(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, _ = live
    make_backup(runtime, file, clock())
    clinic.text(runtime, clinic.STRANGER, "only in the old one")
    done = restores.restore(runtime, file, clock(), replace=True)
    assert clinic.rows(runtime, Reply) == []
    if runtime.engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(done.aside)) as old:
            assert old.execute("SELECT body FROM replies").fetchall() == [("only in the old one",)]
    else:
        with backups_postgres.connect(runtime.settings.database_url) as connection:
            found = connection.execute(f"SELECT body FROM {done.aside}.replies").fetchall()  # type: ignore[arg-type]
            assert found == [("only in the old one",)]
        again = file.with_name("again")  # and a backup afterwards leaves the old one out
        assert make_backup(runtime, again, clock()).rows["replies"] == 0
        clock.advance(minutes=5)
        restores.restore(runtime, again, clock(), replace=True)
        with backups_postgres.connect(runtime.settings.database_url) as connection:
            schemas = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'before_%'")
            assert schemas.fetchone() == (2,)


def test_the_audit_trail_of_a_restored_database_still_refuses_changes(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, _ = live
    clinic.enroll(runtime)
    make_backup(runtime, file, clock())
    restores.restore(runtime, file, clock(), replace=True)
    with pytest.raises(Exception, match="append-only"), runtime.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_events"))


def test_an_empty_database_takes_a_backup_without_more_words(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path, tmp_path: Path
) -> None:
    runtime, _ = live
    clinic.enroll(runtime)
    make_backup(runtime, file, clock())
    url = runtime.settings.database_url
    if runtime.engine.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    else:
        with runtime.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    fresh = make_runtime(settings_for(url), clock=clock)
    done = restores.restore(fresh, file, clock(), replace=False)
    assert done.aside == "" and current_revision(fresh.engine) == newest_revision()
    assert counted(fresh)["patients"] == 1
    fresh.close()


def test_a_database_that_is_not_empty_or_still_runs_is_refused(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, _ = live
    clinic.enroll(runtime)
    make_backup(runtime, file, clock())
    before = counted(runtime)
    with pytest.raises(BackupError, match="--replace"):
        restores.restore(runtime, file, clock(), replace=False)
    work(runtime, clock, rounds=1)
    with pytest.raises(BackupError, match="still runs"):
        restores.restore(runtime, file, clock(), replace=True)
    assert counted(runtime)["patients"] == before["patients"]
    with pytest.raises(BackupError, match="exists already"):
        make_backup(runtime, file, clock())


def _spoil(file: Path, change: Any) -> Path:
    """A copy of the backup with its manifest or content changed."""
    made = file.with_name("spoilt")
    with tarfile.open(file) as archive, tarfile.open(made, "w") as out:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            data = change(member.name, content.read())
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda name, data: data if name == "manifest.json" else data[:-1] + bytes([data[-1] ^ 1]),
            "checksum",
        ),
        (lambda name, data: data if name == "manifest.json" else data[: len(data) // 2], "checksum"),
        (lambda name, data: data.replace(b'"replies": 1', b'"replies": 2'), "replies"),
        (lambda name, data: data.replace(b'"revision": "', b'"revision": "9'), "does not know"),
        (lambda name, data: data.replace(b'"format": 1', b'"format": 9'), "format 9"),
        (lambda name, data: b"{}" if name == "manifest.json" else data, "not a backup"),
        (lambda name, data: data.replace(b'"head": "', b'"head": "99'), "audit trail"),
    ],
)
def test_a_damaged_or_changed_backup_changes_nothing(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path, change: Any, said: str
) -> None:
    runtime, _ = live
    clinic.text(runtime, clinic.STRANGER, RED_FLAG)
    work(runtime, clock, rounds=1)
    make_backup(runtime, file, clock())
    stopped(runtime, clock)
    before = counted(runtime)
    with pytest.raises(BackupError, match=said):
        restores.restore(runtime, _spoil(file, change), clock(), replace=True)
    assert counted(runtime) == before
    assert not [path for path in file.parent.iterdir() if path.name.startswith(".aftercare")]


@pytest.mark.parametrize("content", [b"", b"not a backup", b"\x1f\x8b" + bytes(600)])
def test_any_other_file_is_refused(live: tuple[Runtime, StandIn], file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BackupError, match=r"not a backup|cannot be read"):
        read_manifest(file)
    with pytest.raises(BackupError, match="cannot be read"):
        read_manifest(file.with_name("missing"))


def test_a_backup_of_the_other_kind_of_database_is_refused(
    sqlite_url: str, postgres_url: str, clock: SetClock, file: Path
) -> None:
    one, other = (make_runtime(settings_for(url), clock=clock) for url in (sqlite_url, postgres_url))
    make_backup(one, file, clock())
    with pytest.raises(BackupError, match="same kind"):
        restores.restore(other, file, clock(), replace=True)
    one.close()
    other.close()


def test_a_backup_while_the_service_writes_is_of_one_moment(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    """Each text has its assessment in the same transaction: no backup may hold one without the other."""
    runtime, _ = live
    stop = Event()
    other = make_engine(runtime.settings.database_url)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with other.begin() as connection:
                for name in ("one", "two"):
                    connection.execute(
                        text("INSERT INTO marks (name, at, count) VALUES (:name, '2027-03-01 00:00:00', 0)"),
                        {"name": f"{name}:{number}"},
                    )

    thread = Thread(target=write)
    thread.start()
    try:
        manifests = [make_backup(runtime, file.with_name(f"b{n}"), clock()) for n in range(3)]
    finally:
        stop.set()
        thread.join()
        other.dispose()
    for number, manifest in enumerate(manifests):
        assert manifest.rows["marks"] >= number
        clock.advance(minutes=2)
        restores.restore(runtime, file.with_name(f"b{number}"), clock(), replace=True)
        with reading(runtime.engine) as session:
            names = set(session.execute(text("SELECT name FROM marks")).scalars())
        assert {name[4:] for name in names if name.startswith("one:")} == {
            name[4:] for name in names if name.startswith("two:")
        }


def test_a_missing_or_old_tool_is_named(
    postgres_url: str, clock: SetClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make_runtime(settings_for(postgres_url), clock=clock)
    with monkeypatch.context() as patched:
        patched.setattr(backups_postgres, "_major", lambda path: 9)
        with pytest.raises(BackupError, match="pg_dump is version 9, the server is version"):
            make_backup(runtime, file, clock())
    with monkeypatch.context() as patched:
        patched.setattr(backups_postgres.shutil, "which", lambda name: None)
        patched.setattr(Path, "glob", lambda self, pattern: iter(()))
        with pytest.raises(BackupError, match="pg_dump is not on this machine"):
            make_backup(runtime, file, clock())
    assert not file.exists()
    runtime.close()


def test_the_password_is_on_no_command_line(
    postgres_url: str, clock: SetClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []
    real = backups_postgres.subprocess.run

    def watch(command: Any, **values: Any) -> Any:
        given: dict[str, str] = {}
        named = re.search(r"passfile=(\S+)", str(command))
        if named:
            path = Path(named[1].rstrip("\"')],"))
            given = {
                "path": str(path),
                "content": path.read_text(),
                "mode": oct(stat.S_IMODE(path.stat().st_mode)),
            }
        seen.append(([str(part) for part in command], given))
        return real(command, **values)

    monkeypatch.setattr(backups_postgres.subprocess, "run", watch)
    url = postgres_url.replace("app@", "app:s3cr:et@", 1)
    runtime = make_runtime(settings_for(url), clock=clock)
    make_backup(runtime, file, clock())
    restores.restore(runtime, file, clock(), replace=True)
    runtime.close()
    assert len([1 for command, _ in seen if "--dbname" in str(command)]) == 2
    for command, given in seen:
        assert "s3cr" not in str(command)
        if "--dbname" in str(command):
            assert given["content"] == "*:*:*:*:s3cr\\:et\n" and given["mode"] == "0o600"
            assert not Path(given["path"]).exists()


# -- after a restore nothing is sent twice -------------------------------------------------------------------


def play(
    runtime: Runtime, clock: SetClock, until: timedelta, step: timedelta = timedelta(minutes=30)
) -> None:
    """The service runs for a while."""
    ends = clock() + until
    while clock() < ends:
        work(runtime, clock, rounds=1)
        clock.now = min(clock() + step, ends)
    work(runtime, clock, rounds=2)


def heard(runtime: Runtime, standin: StandIn, phone: str, body: str) -> Reply:
    written = standin.write(phone, body)
    return clinic.text(runtime, phone, body, carrier_sid=written.sid)


def doubles(standin: StandIn) -> dict[tuple[str, str], int]:
    return {key: times for key, times in standin.texts().items() if times > 1}


def gap_state(runtime: Runtime) -> Any:
    with reading(runtime.engine) as session:
        mark = marks.get_mark(session, restore_gate.GAP)
        return (mark.detail or {}).get("state") if mark else None


def lost_evening(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> tuple[Runtime, StandIn, str, list[str]]:
    """A backup; then check-ins, a reminder, a red flag with its safety answer; then the disk dies."""
    runtime, standin = live
    course = clinic.enroll(runtime, days=0.1)
    clinic.enroll(runtime, clinic.BEN, "Ben Roe", days=0.2)
    play(runtime, clock, timedelta(hours=2))
    make_backup(runtime, file, clock())
    play(runtime, clock, timedelta(hours=20), timedelta(hours=2))
    heard(runtime, standin, clinic.ANA, RED_FLAG)
    play(runtime, clock, timedelta(hours=4), timedelta(hours=2))
    assert doubles(standin) == {}
    sent = [line.body for line in standin.log if line.direction != "inbound"]
    assert len(sent) >= 5
    clock.advance(minutes=30)
    restores.restore(runtime, file, clock(), replace=True)
    clock.advance(seconds=30)
    return restart(runtime, clock), standin, course.patient_id, sent


def test_what_was_sent_between_backup_and_restore_is_not_sent_again(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, standin, patient_id, sent = lost_evening(live, clock, file)
    began = clock()
    play(runtime, clock, timedelta(hours=3))
    assert gap_state(runtime) == "settled"
    red = [row for row in clinic.escalations_of(runtime, patient_id=patient_id) if row.reason == "red_flag"]
    assert len(red) == 1 and red[0].status == "open"  # the reply of the gap reached a person again
    known = {row.carrier_sid for row in clinic.rows(runtime, OutboundMessage) if row.carrier_sid}
    assert {line.sid for line in standin.log if line.direction != "inbound"} <= known
    late = [row for row in clinic.rows(runtime, Escalation) if row.reason in ("late_text", "undeliverable")]
    assert [row for row in late if row.opened_at <= began + timedelta(minutes=10)] == []
    asked = [item for item in clinic.rows(runtime, PlanItem) if item.sent_at]
    assert asked and all(
        item.sent_at <= clock() - timedelta(hours=3) or item.sent_at > clock() - timedelta(hours=4)
        for item in asked
    )
    runtime.close()


def test_each_text_of_the_carrier_is_one_row_and_each_row_one_text(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    """Rows are unique by what they say to whom and why: so no text went out twice, and none is unknown."""
    runtime, standin, _, sent = lost_evening(live, clock, file)
    play(runtime, clock, timedelta(days=3), timedelta(hours=2))
    lines = {line.sid: line.body for line in standin.log if line.direction != "inbound"}
    rows = {row.carrier_sid: row.body for row in clinic.rows(runtime, OutboundMessage) if row.carrier_sid}
    assert lines == rows and len(lines) > len(sent) + 10
    runtime.close()


def test_while_the_carriers_log_cannot_be_read_nothing_goes_out_blindly(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, standin, patient_id, _ = lost_evening(live, clock, file)
    clinic.member(runtime)
    before = standin.texts()
    standin.log_answers.extend([503] * 100_000)
    work(runtime, clock, rounds=3)
    assert {phone for phone, _ in standin.texts() - before} <= {clinic.NURSE}  # pages never wait
    assert gap_state(runtime) == "open"
    clock.advance(minutes=1)  # a new red flag is answered, and the team is paged
    heard(runtime, standin, clinic.BEN, RED_FLAG)
    work(runtime, clock, rounds=3)
    fresh = standin.texts() - before
    assert {phone for phone, _ in fresh} == {clinic.BEN, clinic.NURSE}
    assert [row for row in clinic.rows(runtime, Escalation) if row.reason == "late_text"] == []
    play(runtime, clock, timedelta(hours=12), timedelta(hours=1))
    tasks = [row for row in clinic.rows(runtime, Escalation) if row.reason == "late_text"]
    assert tasks and any("restored from a backup" in (row.summary or "") for row in tasks)
    assert {phone for phone, _ in standin.texts() - before} == {clinic.BEN, clinic.NURSE}
    standin.log_answers.clear()
    play(runtime, clock, timedelta(hours=1))
    assert gap_state(runtime) == "settled"
    assert {key for key in doubles(standin) if key[0] != clinic.NURSE} == set()
    runtime.close()


def test_a_text_in_a_workers_hands_at_the_backup_is_not_sent_again(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, standin = live
    clinic.enroll(runtime, days=0.1)
    play(runtime, clock, timedelta(minutes=1))
    with session_on(runtime.engine) as session:  # as if the backup caught it between claim and answer
        row = (
            session.execute(select(OutboundMessage).where(col(OutboundMessage.carrier_sid).is_not(None)))
            .scalars()
            .first()
        )
        assert row is not None
        row.status, row.carrier_sid, row.accepted_at, row.settled_at = "claimed", None, None, None
        row.claimed_by, row.lease_until = "gone", clock() + timedelta(seconds=15)
        session.add(row)
        session.commit()
    make_backup(runtime, file, clock())
    clock.advance(hours=1)
    restores.restore(runtime, file, clock(), replace=True)
    clock.advance(seconds=30)
    runtime = restart(runtime, clock)
    play(runtime, clock, timedelta(hours=1), timedelta(minutes=1))
    assert doubles(standin) == {}
    (after,) = clinic.rows(runtime, OutboundMessage, OutboundMessage.id == row.id)
    assert after.status in ("accepted", "sent", "delivered")
    runtime.close()


def test_what_the_carrier_has_forgotten_is_left_to_the_team(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, standin, _, _ = lost_evening(live, clock, file)
    before = standin.got(clinic.BEN)
    with standin.lock:
        for line in standin.log:
            line.body = "" if line.direction != "inbound" and line.to_phone == clinic.BEN else line.body
    work(runtime, clock, rounds=3)
    assert gap_state(runtime) == "settled"
    assert not set(standin.got(clinic.BEN)) & set(before)
    assert any(row.reason == "undeliverable" for row in clinic.rows(runtime, Escalation))
    runtime.close()


def test_a_text_nobody_sent_in_the_gap_goes_out_when_it_is_still_useful(
    live: tuple[Runtime, StandIn], clock: SetClock, file: Path
) -> None:
    runtime, standin = live
    clinic.enroll(runtime, days=0.1)
    make_backup(runtime, file, clock())
    clock.advance(minutes=5)
    restores.restore(runtime, file, clock(), replace=True)
    clock.advance(seconds=30)
    runtime = restart(runtime, clock)
    play(runtime, clock, timedelta(minutes=10), timedelta(minutes=1))
    assert len(standin.got(clinic.ANA)) >= 1 and doubles(standin) == {}
    assert NUMBER not in {phone for phone, _ in standin.texts()}
    runtime.close()


def test_everybody_signs_in_anew(live: tuple[Runtime, StandIn], clock: SetClock, file: Path) -> None:
    runtime, _ = live
    browser = browser_of(runtime)
    assert browser.get("/").status_code == 200
    make_backup(runtime, file, clock())
    restores.restore(runtime, file, clock(), replace=True)
    assert clinic.rows(runtime, MemberSession) == []
    assert browser.get("/").status_code == 303


def test_a_backup_of_an_older_version_is_brought_up_to_date(
    database_url: str, clock: SetClock, file: Path
) -> None:
    from alembic import command

    from service.db import _alembic

    engine = make_engine(database_url)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    command.downgrade(_alembic(engine), "0002")
    engine.dispose()
    runtime = make_runtime(settings_for(database_url), clock=clock)
    made = make_backup(runtime, file, clock())
    assert made.revision == "0002"
    done = restores.restore(runtime, file, clock(), replace=True)
    assert done.upgraded_to == newest_revision() == current_revision(runtime.engine)
    runtime.close()
