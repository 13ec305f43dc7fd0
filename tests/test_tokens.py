"""Tokens for programs: shown once, kept as hashes, ended at will; and the command that makes them."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlmodel import select
from typer.testing import CliRunner

from service.__main__ import app
from service.db import make_engine, session_on
from service.models import ApiToken, AuditEvent
from service.tokens import SCOPES, TokenError, add_token, revoke_token, token_of
from tests.conftest import SetClock


def test_a_token_is_random_and_only_its_hash_is_stored(engine: Engine, clock: SetClock) -> None:
    with session_on(engine) as session:
        tokens = {add_token(session, now=clock(), name=f"program {number}") for number in range(20)}
        stored = session.exec(select(ApiToken)).all()
    assert len(tokens) == 20 and all(len(token) > 40 for token in tokens)
    kept = " ".join(str(row.model_dump()) for row in stored)
    assert not any(token in kept or token.removeprefix("aftercare_") in kept for token in tokens)


def test_by_default_it_may_do_everything_the_api_offers(engine: Engine, clock: SetClock) -> None:
    with session_on(engine) as session:
        token = add_token(session, now=clock(), name="all")
        row = token_of(session, token, clock())
    assert row is not None and set(row.scopes) == set(SCOPES)


def test_only_the_very_token_is_known(engine: Engine, clock: SetClock) -> None:
    with session_on(engine) as session:
        token = add_token(session, now=clock(), name="one", scopes=["audit"])
        for wrong in ("", token[:-1], token + "x", token.upper(), token[1:], "x" * 500, "\ud800", "a\0b"):
            assert token_of(session, wrong, clock()) is None
        found = token_of(session, token, clock())
    assert found is not None and found.scopes == ["audit"]


def test_it_ends_at_its_time_or_when_revoked(engine: Engine, clock: SetClock) -> None:
    with session_on(engine) as session:
        short = add_token(session, now=clock(), name="short", expires_at=clock() + timedelta(seconds=1))
        other = add_token(session, now=clock(), name="other")
        assert token_of(session, short, clock())
        clock.advance(seconds=1)
        assert token_of(session, short, clock()) is None
        revoke_token(session, now=clock(), name="other")
        revoke_token(session, now=clock(), name="other")
        assert token_of(session, other, clock()) is None
        with pytest.raises(TokenError, match="no token named"):
            revoke_token(session, now=clock(), name="nobody")
        acts = [row.action for row in session.exec(select(AuditEvent).order_by(AuditEvent.at))]
    assert acts.count("add token") == 2 and acts.count("revoke token") == 1


@pytest.mark.parametrize(
    ("name", "scopes", "said"),
    [
        ("", None, "1 to 80 characters"),
        ("   ", None, "1 to 80 characters"),
        ("x" * 81, None, "1 to 80 characters"),
        ("a\x07b", None, "can be shown"),
        ("kim@clinic.example", None, "without @"),
        ("Aftercare", None, "not aftercare"),
        ("good", ["enrollments"], "no such scope"),
        ("good", ["audit", "everything"], "everything: no such scope"),
        ("taken", None, "already"),
    ],
)
def test_names_and_scopes_that_would_mislead_are_refused(
    engine: Engine, clock: SetClock, name: str, scopes: list[str] | None, said: str
) -> None:
    with session_on(engine) as session:
        add_token(session, now=clock(), name="taken")
        with pytest.raises(TokenError, match=said):
            add_token(session, now=clock(), name=name, scopes=scopes)
        with pytest.raises(TokenError, match="expired already"):
            add_token(session, now=clock(), name="late", expires_at=clock())


def test_the_command_prints_the_token_alone(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERCARE_DATABASE_URL", sqlite_url)
    run = CliRunner()
    made = run.invoke(app, ["token", "add", "lab", "--scope", "audit", "--scope", "metrics"])
    assert made.exit_code == 0 and made.stdout == made.stdout.strip() + "\n"
    engine = make_engine(sqlite_url)
    with session_on(engine) as session:
        (row,) = session.exec(select(ApiToken)).all()
        found = token_of(session, made.stdout.strip(), row.created_at)
    engine.dispose()
    assert found is not None and found.scopes == ["audit", "metrics"]
    again = run.invoke(app, ["token", "add", "lab"])
    assert again.exit_code == 1 and "already" in again.stderr and again.stdout == ""
    assert run.invoke(app, ["token", "add"]).exit_code == 2
    assert run.invoke(app, ["token", "add", "short", "--days", "30"]).exit_code == 0
    assert run.invoke(app, ["token", "revoke", "lab"]).exit_code == 0
    unknown = run.invoke(app, ["token", "revoke", "nobody"])
    assert unknown.exit_code == 1 and "no token named" in unknown.stderr
    engine = make_engine(sqlite_url)
    with session_on(engine) as session:
        rows = {row.name: row for row in session.exec(select(ApiToken))}
    engine.dispose()
    assert rows["lab"].revoked_at is not None
    assert rows["short"].expires_at == rows["short"].created_at + timedelta(days=30)
