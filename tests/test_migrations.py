"""The schema: one line of revisions, the models' tables on both databases, up, down and up again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from service import models
from service.db import MIGRATIONS, _alembic, current_revision, make_engine, newest_revision, upgrade

ROOT = Path(__file__).parent.parent


@pytest.fixture
def empty(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Engine:
    """A database without a single table."""
    if database_url.startswith("sqlite"):
        engine = make_engine(f"sqlite:///{tmp_path}/empty.sqlite3")
    else:
        engine = make_engine(database_url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    request.addfinalizer(engine.dispose)
    return engine


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, models.metadata))


def test_there_is_one_line_of_revisions_with_four_digits() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1
    files = sorted(path.name for path in (MIGRATIONS / "versions").glob("*.py"))
    assert files and all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.py", name) for name in files)
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions == [f"{number:04d}" for number in range(1, len(files) + 1)]
    assert [name[:4] for name in files] == revisions
    assert newest_revision() == revisions[-1]


def test_the_migrated_schema_is_that_of_the_models(engine: Engine) -> None:
    assert differences(engine) == []
    tables = set(inspect(engine).get_table_names())
    assert tables == set(models.metadata.tables) | {"alembic_version"}
    assert len(tables) > 15


def test_the_comparison_sees_a_missing_column(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE marks DROP COLUMN count"))
    assert differences(engine)


def test_up_down_and_up_again(empty: Engine) -> None:
    assert current_revision(empty) is None
    upgrade(empty)
    upgrade(empty)
    assert current_revision(empty) == newest_revision()
    command.downgrade(_alembic(empty), "base")
    assert set(inspect(empty).get_table_names()) <= {"alembic_version"}
    upgrade(empty)
    assert current_revision(empty) == newest_revision() and differences(empty) == []


def test_several_processes_may_upgrade_an_empty_database_at_once(empty: Engine) -> None:
    program = "import sys; from service.db import make_engine, upgrade; upgrade(make_engine(sys.argv[1]))"
    address = empty.url.render_as_string(hide_password=False)
    running = [subprocess.Popen([sys.executable, "-c", program, address], cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert current_revision(empty) == newest_revision() and differences(empty) == []


def test_times_come_back_aware_and_in_utc(engine: Engine) -> None:
    columns = [
        (table.name, column.name)
        for table in models.metadata.sorted_tables
        for column in table.columns
        if column.name.endswith(("_at", "_by", "_until")) and "time" in str(column.type).lower()
    ]
    assert len(columns) > 40
    kinds = {
        type(column.type).__name__
        for table in models.metadata.sorted_tables
        for column in table.columns
        if (table.name, column.name) in columns
    }
    assert kinds == {"UTCDateTime"}
