"""What ``aftercare check`` says about the database: reachable, at the right revision, its clock ours."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.db import current_revision, knows_revision, newest_revision, out_of_reach
from service.runtime import Runtime

MOST_SKEW = timedelta(seconds=5)


def findings(runtime: Runtime) -> Iterator[tuple[bool, str]]:
    """Lines, each with whether it is a fault. An SQLite file is not made by looking."""
    if runtime.engine.dialect.name == "sqlite":
        found = _file(Path(runtime.engine.url.database or ""))
        if found is not None:
            yield found
            return
    try:
        revision = current_revision(runtime.engine)
    except SQLAlchemyError as error:
        yield True, out_of_reach(runtime.engine, error)
        return
    if revision is None:
        yield False, "The database is not there yet: it is empty, the first start makes the tables."
    elif not knows_revision(revision):
        said = f"The database is at revision {revision}, which this version does not know: it was used by a "
        yield True, said + "newer Aftercare. Install that version again, or restore a backup made before."
    elif revision != newest_revision():
        said = f"The database is at revision {revision}, this version needs {newest_revision()}: "
        yield True, said + "make a backup, then run: aftercare db upgrade."
    else:
        yield False, f"The database answers and is at revision {revision}."


def clock_findings(runtime: Runtime) -> Iterator[tuple[bool, str]]:
    """Whether a PostgreSQL server's clock is ours; an SQLite file has the clock of this machine."""
    if runtime.engine.dialect.name == "postgresql":
        with runtime.engine.connect() as connection:
            theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        yield skew("database", theirs, runtime)


def unreadable(runtime: Runtime, error: SQLAlchemyError) -> str:
    """The database answered, and then could not be read."""
    what = "its disk" if runtime.engine.dialect.name == "sqlite" else "its log"
    return (
        f"The database answers, but a table cannot be read ({type(error).__name__}): look at {what}, "
        "and restore a backup if it is damaged (README, Backup and restore)."
    )


def skew(whose: str, their_now: datetime, runtime: Runtime) -> tuple[bool, str]:
    """Whether our clock (without a rehearsal's offset) agrees with theirs."""
    ours = runtime.clock() - timedelta(seconds=runtime.settings.clock_offset)
    apart = abs(ours - their_now)
    if apart <= MOST_SKEW:
        return False, f"This machine's clock agrees with that of the {whose}."
    said = f"This machine's clock and that of the {whose} are {round(apart.total_seconds())} s apart: "
    return True, said + "switch on time synchronisation (NTP) on both machines."


def _file(path: Path) -> tuple[bool, str] | None:
    """What is wrong with an SQLite file before it is opened, or that it is not there yet; None: nothing."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return True, f"The folder {folder} of AFTERCARE_DATABASE_URL does not exist: make it."
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        what = path if path.exists() and os.access(folder, os.W_OK) else folder
        return (
            True,
            f"{what} of AFTERCARE_DATABASE_URL cannot be written: give it to the service's user.",
        )
    if not path.exists():
        return False, "The database is not there yet: the first start makes it."
    return None
