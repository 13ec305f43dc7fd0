"""Writers on SQLite take turns: none starves, none is refused, and a stuck one is survived."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service import db
from service.db import make_engine, reading, session_on
from service.turns import Turns


def test_turns_are_handed_over_in_order() -> None:
    turns, order = Turns(), []
    assert turns.take(0)

    def wait(number: int) -> None:
        assert turns.take(10)
        order.append(number)
        turns.give()

    threads = []
    for number in range(8):
        threads.append(Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(turns._waiting) <= number:
            threads[-1].join(0.001)
    turns.give()
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert turns.take(0)


def test_who_gives_up_waiting_holds_up_nobody() -> None:
    turns = Turns()
    assert turns.take(0) and not turns.take(0.01)
    turns.give()
    assert turns.take(0)


def test_forty_threads_write_and_none_is_refused(sqlite_url: str) -> None:
    engine, together, refused = make_engine(sqlite_url), Barrier(40), []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tally (n INTEGER)"))

    def write() -> None:
        together.wait()
        for _ in range(20):
            try:
                with session_on(engine) as session:
                    session.execute(text("INSERT INTO tally SELECT count(*) FROM tally"))
                    session.commit()
            except OperationalError as error:
                refused.append(error)

    threads = [Thread(target=write) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*), max(n) FROM tally")).one() == (800, 799)
    assert refused == []
    engine.dispose()


def test_a_fault_gives_the_turn_back(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    for _ in range(3):
        with pytest.raises(OperationalError), session_on(engine) as session:
            session.execute(text("INSERT INTO nowhere VALUES (1)"))
    with session_on(engine) as session:
        session.execute(text("CREATE TABLE here (n INTEGER)"))
        session.commit()
    engine.dispose()


def test_two_writers_in_one_thread_end_with_a_clear_error(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)
    engine = make_engine(sqlite_url)
    with session_on(engine) as first:
        first.execute(text("CREATE TABLE here (n INTEGER)"))
        with pytest.raises(OperationalError, match="locked"), session_on(engine) as second:
            second.execute(text("CREATE TABLE there (n INTEGER)"))
        first.commit()
    engine.dispose()
