"""Restoring a backup: checked before and after, whole or not at all, what was there before is kept aside.

Afterwards nobody is signed in, the audit trail says so, and nothing goes out before it was compared with the
carrier's log (``service/restored.py``).
"""

import gzip
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, delete

from service import audit, audit_chain, backups_postgres, restore_gate
from service.backups import (
    CHUNK,
    BackupError,
    Manifest,
    check_sqlite,
    read_manifest,
    sqlite_path,
    unpack,
    work_folder,
)
from service.db import (
    MIGRATIONS,
    current_revision,
    make_engine,
    newest_revision,
    reading,
    session_on,
    upgrade,
)
from service.models import Mark, MemberSession, metadata
from service.runtime import Runtime

TICKED_LATELY = timedelta(seconds=60)


@dataclass(frozen=True)
class Restored:
    """What was restored. ``aside``: where the database of before is kept, empty when there was none."""

    manifest: Manifest
    aside: str
    audit_rows: int
    upgraded_to: str


def restore(runtime: Runtime, file: Path, now: datetime, *, replace: bool) -> Restored:
    """Restore ``file`` into the settings' database.

    1. Manifest and checksum. 2. The database is empty, or ``replace`` is given and nothing runs on it. 3. It
    is loaded beside what is there, and checked: integrity, revision, rows of every table, audit chain and its
    head. 4. Only then it takes the place. 5. Sessions end, the gate of ``restored`` is shut, the audit trail
    says so. Raises BackupError; then the database is what it was.
    """
    manifest = read_manifest(file)
    if manifest.dialect != runtime.engine.dialect.name:
        raise BackupError(
            f"{file} is a backup of {manifest.dialect}, AFTERCARE_DATABASE_URL names "
            f"{runtime.engine.dialect.name}: restore it into the same kind of database."
        )
    _refuse_newer(manifest)
    is_empty = _look(runtime, now)
    if not is_empty and not replace:
        raise BackupError(
            "The database is not empty. To put the backup in its place, stop every aftercare process and "
            "repeat with --replace; what is there now is kept aside."
        )
    with work_folder(_beside(runtime, file)) as folder:
        payload = unpack(file, manifest, folder)
        runtime.engine.dispose()
        if manifest.dialect == "sqlite":
            aside, upgraded = _replace_sqlite(runtime, manifest, payload, now, is_empty)
        elif is_empty:
            aside = ""
            upgraded = _load_postgres(runtime, manifest, payload, folder, now)
        else:
            with backups_postgres.set_aside(runtime.settings.database_url, _stamp(now)) as aside:
                upgraded = _load_postgres(runtime, manifest, payload, folder, now)
    runtime.gap_is_settled = runtime.has_caught_up = False
    with reading(runtime.engine) as session:
        rows = audit_chain.last_sealed(session).number
    return Restored(manifest, aside, rows, upgraded)


def _beside(runtime: Runtime, file: Path) -> Path:
    """Work where the database is, so that taking its place is one rename."""
    return sqlite_path(runtime) if runtime.engine.dialect.name == "sqlite" else file


def _refuse_newer(manifest: Manifest) -> None:
    try:
        known = ScriptDirectory(str(MIGRATIONS)).get_revision(manifest.revision)
    except CommandError:
        known = None
    if known is None:
        raise BackupError(
            f"The backup is at revision {manifest.revision}, which this version does not know: restore it "
            f"with the version that made it ({manifest.version}) or a newer one."
        )


def _look(runtime: Runtime, now: datetime) -> bool:
    """Whether the database is empty. Raises BackupError when something runs on it."""
    if runtime.engine.dialect.name == "sqlite" and not sqlite_path(runtime).exists():
        return True
    try:
        with runtime.engine.connect() as connection:
            tables = inspect(connection).get_table_names()
        if not tables:
            return True
        with reading(runtime.engine) as session:
            ticks = session.execute(
                select(func.max(Mark.at)).where(col(Mark.name).startswith("tick:"))
            ).scalar_one()
    except SQLAlchemyError as error:
        if runtime.engine.dialect.name == "sqlite":
            return False  # a damaged file is what restoring is for
        raise BackupError("The database cannot be reached: check AFTERCARE_DATABASE_URL.") from error
    if ticks is not None and abs(now - ticks) < TICKED_LATELY:
        raise BackupError(
            "Something still runs on this database: stop every aftercare process, wait a minute, try again."
        )
    return False


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%d_%H%M%S}"


def _replace_sqlite(
    runtime: Runtime, manifest: Manifest, payload: Path, now: datetime, is_empty: bool
) -> tuple[str, str]:
    """Check and prepare the copy, then let it take the file's place; what was there keeps its content under
    a new name. Returns that name, and the revision it was brought up to."""
    target, fresh = sqlite_path(runtime), payload.with_name("fresh.sqlite3")
    try:
        with gzip.open(payload, "rb") as packed, fresh.open("wb") as plain:
            shutil.copyfileobj(packed, plain, CHUNK)
        with closing(sqlite3.connect(fresh)) as copy:
            _compare(manifest, check_sqlite(copy), _revision_of(copy))
    except (OSError, EOFError, sqlite3.DatabaseError) as error:
        raise BackupError("The backup is damaged: its database cannot be read.") from error
    fresh.chmod(0o600)
    engine = make_engine(f"sqlite:///{fresh}")
    try:
        upgraded = _finish(engine, manifest, now)
    finally:
        engine.dispose()  # the last connection writes the log back into the file
    aside = ""
    if target.exists():
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(target)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not is_empty:
            aside = f"{target}.before_restore_{_stamp(now)}"
            os.replace(target, aside)
    for leftover in (f"{target}-wal", f"{target}-shm"):
        Path(leftover).unlink(missing_ok=True)
    os.replace(fresh, target)
    return aside, upgraded


def _revision_of(copy: sqlite3.Connection) -> str:
    return str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _load_postgres(runtime: Runtime, manifest: Manifest, payload: Path, folder: Path, now: datetime) -> str:
    url = runtime.settings.database_url
    try:
        backups_postgres.load(url, payload, folder)
        with backups_postgres.connect(url) as connection:
            rows = backups_postgres.count_rows(connection)
    except backups_postgres.ToolError as error:
        raise BackupError(str(error)) from error
    _compare(manifest, rows, current_revision(runtime.engine) or "none")
    return _finish(runtime.engine, manifest, now)


def _compare(manifest: Manifest, rows: dict[str, int], revision: str) -> None:
    if revision != manifest.revision:
        raise BackupError(f"Restored was revision {revision}, the manifest says {manifest.revision}.")
    wrong = {name for name in {*rows, *manifest.rows} if rows.get(name) != manifest.rows.get(name)}
    if wrong:
        raise BackupError(f"The restored rows are not those of the manifest: {', '.join(sorted(wrong))}.")


def _finish(engine: Engine, manifest: Manifest, now: datetime) -> str:
    """Verify the audit chain, bring an older revision up to date, end sessions, shut the gate."""
    upgraded = ""
    if manifest.revision != newest_revision():
        upgrade(engine)
        upgraded = newest_revision() or ""
    expected = audit_chain.read_head(manifest.head) if not manifest.head.startswith("0:") else None
    with reading(engine) as session:
        verdict = audit_chain.verify(session, expected)
    if verdict.fault:
        raise BackupError(f"The restored audit trail does not hold: {verdict.fault}")
    with session_on(engine) as session:
        session.exec(delete(MemberSession))
        restore_gate.open_gap(session, datetime.fromisoformat(manifest.at), now)
        audit.record(
            session, now=now, actor="command line", action="restore database",
            detail={"backup_at": manifest.at, "sha256": manifest.sha256, "head": manifest.head},
        )  # fmt: skip
        session.commit()
    return upgraded


def rows_in(manifest: Manifest) -> int:
    """How many rows of ours a backup holds."""
    return sum(count for name, count in manifest.rows.items() if name in metadata.tables)
