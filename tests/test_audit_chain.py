"""The audit trail can be added to and sealed; every other change is refused or found."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from jobs import seal_audit
from service import audit, audit_chain
from service.audit_chain import Head, last_sealed, read_head, seal_new, verify
from service.commands_audit import verify_lines
from service.db import session_on
from service.models import AuditEvent
from service.runtime import Runtime
from tests.conftest import SetClock


def write(engine: Engine, clock: SetClock, count: int) -> None:
    with session_on(engine) as session:
        for number in range(count):
            clock.advance(seconds=1)
            audit.record(
                session,
                now=clock(),
                actor="kim@clinic.example",
                action="view patient",
                subject_kind="patient",
                subject_id=f"{number:032x}",
                detail={"é": number, "z": None, "a": [1.5]},
            )
        session.commit()


def sealed(engine: Engine, clock: SetClock, count: int = 5) -> None:
    write(engine, clock, count)
    with session_on(engine) as session:
        assert seal_new(session, clock()) == count


def force(engine: Engine, statement: str) -> None:
    """What somebody with the database owner's rights can do: take the guards away first."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_update"))
            connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_delete"))
        else:
            connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER ALL"))
        connection.execute(text(statement))


def verdict(engine: Engine, expected: Head | None = None) -> str:
    with session_on(engine) as session:
        return verify(session, expected).fault


def test_an_empty_trail_is_whole(engine: Engine, clock: SetClock) -> None:
    with session_on(engine) as session:
        assert seal_new(session, clock()) == 0
        assert verify(session) == audit_chain.Verdict(Head(), 0)


def test_rows_are_numbered_without_gaps_and_the_chain_holds(engine: Engine, clock: SetClock) -> None:
    sealed(engine, clock, 7)
    write(engine, clock, 2)
    with session_on(engine) as session:
        found = verify(session)
        assert (found.head.number, found.unsealed, found.fault) == (7, 2, "")
        assert seal_new(session, clock(), limit=1) == 1
        assert seal_new(session, clock()) == 1
        assert verify(session).head == last_sealed(session) == Head(9, last_sealed(session).seal)


def test_a_row_that_commits_late_is_sealed_late_and_the_chain_holds(engine: Engine, clock: SetClock) -> None:
    sealed(engine, clock)
    clock.advance(minutes=-10)
    sealed(engine, clock, 1)
    assert verdict(engine) == ""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'somebody else' WHERE seal_number = 3",
        "UPDATE audit_events SET at = '2020-01-01 00:00:00' WHERE seal_number = 3",
        "UPDATE audit_events SET detail = NULL WHERE seal_number = 3",
        "UPDATE audit_events SET seal = NULL, seal_number = NULL WHERE seal_number = 5",
        "DELETE FROM audit_events WHERE seal_number = 3",
        "DELETE FROM audit_events",
    ],
)
def test_the_database_refuses_changes_and_verifying_finds_forced_ones(
    engine: Engine, clock: SetClock, statement: str
) -> None:
    sealed(engine, clock)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert verdict(engine) == ""
    force(engine, statement)
    assert verdict(engine) != ""


def test_unsealed_rows_cannot_be_changed_either(engine: Engine, clock: SetClock) -> None:
    write(engine, clock, 1)
    for change in ("UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))


def test_exchanged_and_inserted_rows_are_found(engine: Engine, clock: SetClock) -> None:
    sealed(engine, clock)
    for change in ("= 99 WHERE seal_number = 2", "= 2 WHERE seal_number = 3", "= 3 WHERE seal_number = 99"):
        force(engine, f"UPDATE audit_events SET seal_number {change}")
    assert "2" in verdict(engine)


def test_a_cut_tail_is_found_by_the_noted_head(engine: Engine, clock: SetClock) -> None:
    sealed(engine, clock)
    force(engine, "DELETE FROM audit_events WHERE seal_number > 3")
    assert verdict(engine) == "The last 2 of 5 sealed rows are missing."


def test_a_wholly_rewritten_chain_is_found_by_a_head_kept_elsewhere(engine: Engine, clock: SetClock) -> None:
    sealed(engine, clock)
    with session_on(engine) as session:
        noted = read_head(str(last_sealed(session)))
    assert verdict(engine, noted) == ""
    force(engine, "UPDATE audit_events SET actor = 'x', seal = NULL, seal_number = NULL")
    with session_on(engine) as session:
        assert seal_new(session, clock()) == 5
    assert verdict(engine) == ""
    assert "rewritten" in verdict(engine, noted)
    assert "missing" in verdict(engine, Head(6, noted.seal))


@pytest.mark.parametrize("words", ["", "5", "5:abc", "-1:" + "0" * 64, "5:" + "g" * 64])
def test_a_head_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="NUMBER:DIGEST"):
        read_head(words)


def test_four_workers_at_once_make_one_chain(engine: Engine, clock: SetClock) -> None:
    write(engine, clock, 60)

    def seal(_worker: int) -> int:
        done = 0
        for _ in range(12):
            with Session(engine) as session:
                done += seal_new(session, clock(), limit=7)
        return done

    with ThreadPoolExecutor(4) as pool:
        together = sum(pool.map(seal, range(4)))
    # On PostgreSQL a worker that finds another one sealing passes; the rest is sealed at the next tick.
    assert 0 < together and together + seal(0) == 60
    assert verdict(engine) == ""


def test_the_job_seals_what_is_there_and_then_nothing(runtime: Runtime, clock: SetClock) -> None:
    assert seal_audit.run(runtime, clock())["sealed"] == 0
    write(runtime.engine, clock, 3)
    assert seal_audit.run(runtime, clock()) == {"sealed": 3, "forgotten": 0}
    assert seal_audit.run(runtime, clock())["sealed"] == 0
    said, fault = verify_lines(runtime, None)
    assert fault == "" and "is whole" in said
    force(runtime.engine, "UPDATE audit_events SET action = 'x' WHERE seal_number = 2")
    said, fault = verify_lines(runtime, None)
    assert said.startswith("Whole up to 1:") and "Row 2" in fault


def test_every_field_is_sealed(clock: SetClock) -> None:
    def row(**values: object) -> AuditEvent:
        given = {"id": "1" * 32, "at": clock(), "actor": "a", "action": "b", "subject_kind": "c"}
        return AuditEvent(**{**given, "subject_id": "d", "address": "e", "detail": {"f": 1}, **values})

    changes: list[dict[str, object]] = [
        {},
        {"id": "2" * 32},
        {"at": clock().replace(microsecond=1)},
        {"actor": "x"},
        {"action": "x"},
        {"subject_kind": None},
        {"subject_id": None},
        {"address": None},
        {"detail": {"f": 2}},
    ]
    assert len({audit_chain.digest(Head(), row(**change)) for change in changes}) == len(changes)
