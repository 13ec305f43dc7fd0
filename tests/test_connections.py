"""PostgreSQL: few trips to the database for a handful of replies, and connections it dropped are noticed."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import select

from service import db, inbox
from service.db import make_engine, session_on
from service.models import PlanItem, Reply, StoredAssessment
from service.runtime import Runtime, make_runtime
from service.together import write_together
from tests.clinic import ANA, BEN, STRANGER, enroll, escalations_of, rows
from tests.conftest import SetClock, seal, settings_for
from tests.test_intake import arrival, take_all


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def clinic(postgres_url: str, clock: SetClock) -> Iterator[Runtime]:
    runtime = make_runtime(settings_for(postgres_url), clock=clock)
    yield runtime
    runtime.close()


def drop_all(engine: Engine) -> None:
    """The database ends every connection, as it does when it is restarted."""
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )


def test_connections_that_lay_idle_while_the_database_was_restarted_are_replaced(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.connect() as one, engine.connect() as two:
        old = {each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (one, two)}
    drop_all(engine)
    monkeypatch.setattr(db, "TRUSTED_FOR", 0.0)
    with engine.connect() as one, engine.connect() as two:
        new = {each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (one, two)}
    assert len(old) == len(new) == 2 and not old & new


def test_only_a_connection_that_lay_idle_is_asked_whether_it_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ping = [], engine.dialect.do_ping
    monkeypatch.setattr(engine.dialect, "do_ping", lambda connection: asked.append(1) or ping(connection))
    for _ in range(3):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    monkeypatch.setattr(db, "TRUSTED_FOR", 60.0)
    with engine.connect():
        assert len(asked) <= 2  # a busy machine may have made it wait
    before = len(asked)
    monkeypatch.setattr(db, "TRUSTED_FOR", 0.0)
    with engine.connect():
        assert len(asked) == before + 1


def test_a_reply_on_a_connection_that_was_dropped_a_moment_ago_is_stored_and_read(
    clinic: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "TRUSTED_FOR", 600.0)
    enroll(clinic)
    take_all(clinic, [arrival(1, ANA, "ok")])
    drop_all(clinic.engine)
    take_all(clinic, [arrival(2, ANA, "my foot is numb")])
    drop_all(clinic.engine)
    take_all(clinic, [arrival(3, BEN, "hi"), arrival(4, STRANGER, "chest pain")])
    clinic.close_intake()
    found = rows(clinic, Reply)
    assert len(found) == 4 and all(row.triaged_at and not row.triage_attempts for row in found)
    assert sum(row.reason == "red_flag" for row in escalations_of(clinic)) == 2


def test_a_handful_costs_a_dozen_statements_however_many_it_holds(clinic: Runtime) -> None:
    enroll(clinic)
    said: list[str] = []
    event.listen(clinic.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    crowd = [arrival(n, f"+1312555{2000 + n}", ("my foot is numb", "ok", "3")[n % 3]) for n in range(15)]
    with session_on(clinic.engine) as session:
        ids = inbox.store(session, [*crowd, arrival(99, ANA, "my leg is weak")], clinic.clock())
    inbox.triage_replies(clinic, ids, clinic.clock())
    assert len(rows(clinic, StoredAssessment)) == 16
    writes = [each for each in said if not each.startswith("SELECT") and "pg_catalog" not in each]
    assert len(writes) == 2, writes  # stored; then everything that follows
    assert len(said) <= 14  # the count above is one of them


def test_sealed_what_follows_from_a_reply_is_sealed_too(
    postgres_url: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal(postgres_url, monkeypatch)
    runtime = make_runtime(settings_for(postgres_url), clock=clock)
    enroll(runtime)
    take_all(runtime, [arrival(1, ANA, "my foot is numb"), arrival(2, STRANGER, "chest pain")])
    assert {row.phone for row in escalations_of(runtime)} == {ANA, STRANGER}
    with runtime.engine.connect() as connection:
        plain = connection.execute(text("SELECT phone FROM escalations")).scalars().all()
    assert len(plain) == 2 and not {ANA, STRANGER} & set(plain)
    runtime.close()


def test_a_row_that_is_gone_when_it_is_written_is_no_success(clinic: Runtime) -> None:
    enroll(clinic)
    with session_on(clinic.engine) as session:
        item = session.exec(select(PlanItem)).all()[0]
        item.answer = {"kind": "text"}
        with clinic.engine.begin() as other:
            other.execute(text("DELETE FROM outbound_messages"))
            other.execute(text("DELETE FROM plan_items WHERE id = :id"), {"id": item.id})
        with pytest.raises(StaleDataError):
            write_together(session, [])
        session.rollback()
