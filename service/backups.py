"""Backups: one file with a manifest (version, revision, rows, audit head, checksum) and the whole database.

SQLite is copied by its own online backup, PostgreSQL by ``pg_dump``: both are consistent while the service
runs. The file holds everything the database holds: keep it as safe.
"""

import gzip
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.engine import make_url

from service import audit, audit_chain, backups_postgres, marks
from service.db import current_revision, reading, session_on
from service.instants import zulu
from service.runtime import Runtime

FORMAT = 1
MANIFEST = "manifest.json"
LAST = "backup:last"
CHUNK = 1024 * 1024
LARGEST_MANIFEST = 1024 * 1024


class BackupError(Exception):
    """The backup cannot be made or used; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. ``at``: from when on changes may be missing. ``head``: the audit trail's."""

    format: int
    version: str
    at: str
    dialect: str
    revision: str
    payload: str
    sha256: str
    size: int
    rows: dict[str, int]
    head: str


def make_backup(runtime: Runtime, file: Path, now: datetime) -> Manifest:
    """Write a backup of the settings' database to ``file`` (mode 0600, whole or not at all).

    Raises BackupError: the file exists, the database is not ours, or its tools are missing.
    """
    if file.exists():
        raise BackupError(f"{file} exists already: choose another name.")
    revision = current_revision(runtime.engine)
    if revision is None:
        raise BackupError("The database is empty: there is nothing to back up.")
    with reading(runtime.engine) as session:
        head = str(audit_chain.last_sealed(session))
    dialect = runtime.engine.dialect.name
    with work_folder(file) as folder:
        payload = folder / ("database.sqlite3.gz" if dialect == "sqlite" else "database.dump")
        if dialect == "sqlite":
            rows = _copy_sqlite(sqlite_path(runtime), payload)
        else:
            try:
                rows = backups_postgres.dump(runtime.settings.database_url, payload)
            except backups_postgres.ToolError as error:
                raise BackupError(str(error)) from error
        manifest = Manifest(
            FORMAT, _our_version(), zulu(now), dialect, revision, payload.name, digest_of(payload),
            payload.stat().st_size, rows, head,
        )  # fmt: skip
        _pack(file, manifest, payload)
    with session_on(runtime.engine) as session:
        marks.set_mark(session, LAST, now, add=1)
        audit.record(
            session, now=now, actor="command line", action="back up database",
            detail={"sha256": manifest.sha256, "head": head},
        )  # fmt: skip
        session.commit()
    return manifest


def _our_version() -> str:
    try:
        return version("aftercare")
    except PackageNotFoundError:
        return "source"


@contextmanager
def work_folder(file: Path) -> Iterator[Path]:
    """A folder beside the file, readable by us alone, gone afterwards: the content never crosses a disk."""
    try:
        with TemporaryDirectory(prefix=".aftercare-", dir=file.resolve().parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise BackupError(f"{file} cannot be written or read: {error.strerror}.") from error


def sqlite_path(runtime: Runtime) -> Path:
    """The file of an SQLite database."""
    return Path(make_url(runtime.settings.database_url).database or "")


def _copy_sqlite(source: Path, payload: Path) -> dict[str, int]:
    """One step of the online backup is one snapshot: writers go on meanwhile (WAL)."""
    copy = payload.with_suffix("")
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(copy)) as made:
        live.backup(made, pages=-1)
        made.execute("PRAGMA journal_mode=DELETE")
        rows = check_sqlite(made)
    with copy.open("rb") as plain, gzip.GzipFile(payload, "wb", compresslevel=6, mtime=0) as packed:
        shutil.copyfileobj(plain, packed, CHUNK)
    copy.unlink()
    return rows


def check_sqlite(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows by table of a copy that is whole. Raises BackupError."""
    found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise BackupError("The copy is damaged (SQLite's integrity check): try again, and check the disk.")
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
    ]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    found = sha256()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _pack(file: Path, manifest: Manifest, payload: Path) -> None:
    """Manifest first, so that it can be read without the rest."""
    part = payload.parent / "whole"
    words = payload.parent / MANIFEST
    words.write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True), encoding="utf-8")
    with part.open("wb") as whole:
        os.fchmod(whole.fileno(), 0o600)
        with tarfile.open(fileobj=whole, mode="w") as archive:
            archive.add(words, MANIFEST)
            archive.add(payload, manifest.payload)
        whole.flush()
        os.fsync(whole.fileno())
    os.replace(part, file)


def read_manifest(file: Path) -> Manifest:
    """What a backup says it holds. Raises BackupError when it is none."""
    try:
        with tarfile.open(file) as archive:
            words = archive.extractfile(MANIFEST)
            assert words is not None
            values: dict[str, Any] = json.loads(words.read(LARGEST_MANIFEST))
            manifest = Manifest(**values)
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror or 'not a backup'}.") from error
    except (tarfile.TarError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise BackupError(f"{file} is not a backup of Aftercare, or it is damaged.") from error
    if manifest.format != FORMAT:
        raise BackupError(f"{file} has format {manifest.format}; this version reads {FORMAT}.")
    return manifest


def unpack(file: Path, manifest: Manifest, folder: Path) -> Path:
    """The payload in ``folder``, its checksum compared. Raises BackupError."""
    target = folder / "payload"
    try:
        with tarfile.open(file) as archive:
            content = archive.extractfile(manifest.payload)
            assert content is not None
            with target.open("wb") as out:
                shutil.copyfileobj(content, out, CHUNK)
    except (tarfile.TarError, KeyError, AssertionError) as error:
        raise BackupError(f"{file} is damaged: it cannot be unpacked.") from error
    if target.stat().st_size != manifest.size or digest_of(target) != manifest.sha256:
        raise BackupError(f"{file} is damaged: its checksum is not the one in its manifest.")
    return target
