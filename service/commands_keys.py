"""``aftercare keys``: a fresh key, what is sealed with which, sealing everything anew, a key that is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.rotation import Told
    from service.runtime import Runtime

keys_app = typer.Typer(help="Keys of encryption at rest.", no_args_is_help=True)


@keys_app.command("new")
def new(name: Annotated[str, typer.Argument(help="Small letters, digits, _; default: a random one.")] = ""):
    """Print a fresh key as AFTERCARE_ENCRYPTION_KEYS wants it: put it first, leave older ones behind it."""
    from secrets import token_hex

    from service.commands import fail
    from service.keyring import KeyringError, new_key_line

    try:
        typer.echo(new_key_line(name or f"k{token_hex(3)}"))
    except KeyringError as error:
        raise fail(error) from error


@keys_app.command("status")
def status() -> None:
    """How many values are sealed with which key, and how many lie open."""
    from service.db import reading
    from service.keyring import PLAIN
    from service.rotation import counts

    with _prepared() as runtime:
        ring = runtime.settings.keyring
        with reading(runtime.engine) as session:
            found = counts(session.connection())
        totals: dict[str, int] = {}
        for (place, key_id), number in sorted(found.items()):
            typer.echo(f"{place:34} {key_id:17} {number:>9}")
            totals[key_id] = totals.get(key_id, 0) + number
        for key_id in sorted({*totals, *ring.keys}):
            what = (
                "current" if key_id == ring.current else "in the ring" if key_id in ring.keys else "MISSING"
            )
            what = "not sealed" if key_id == PLAIN else what
            typer.echo(f"{'all':34} {key_id:17} {totals.get(key_id, 0):>9}  {what}")


@keys_app.command("rotate")
def rotate(
    off: Annotated[bool, typer.Option("--off", help="Lay everything open: encryption is given up.")] = False,
    new_index_key: Annotated[
        bool, typer.Option("--new-index-key", help="Make every keyed hash anew; only while nothing runs.")
    ] = False,
) -> None:
    """Seal everything with the current key, older rows and open ones alike; may be stopped and run again."""
    from service import index_keys
    from service.commands import fail
    from service.rotation import reseal, wipe

    with _prepared() as runtime:
        engine, ring, now = runtime.engine, runtime.settings.keyring, runtime.clock()
        if ring.current is None:
            raise fail("AFTERCARE_ENCRYPTION_KEYS is not set: make a key with aftercare keys new.")
        if new_index_key:
            _refuse_while_running(runtime)
        with _progress() as told:
            written, unreadable = reseal(engine, None if off else ring.current, told)
        left = _left(runtime, None if off else ring.current) - unreadable
        if left <= 0:
            index_keys.settle(engine, is_off=off, now=now)
            if not off and not wipe(engine):
                typer.echo("The file is in use: run this again while nothing runs, to wipe it.", err=True)
        _note(runtime, "lay everything open" if off else "rotate keys", written)
        typer.echo(f"{written} values {'laid open' if off else f'sealed with key {ring.current}'}.")
        if new_index_key:
            typer.echo(f"{index_keys.renew(engine, now)} keyed hashes made anew.")
        if left > 0:
            raise fail(
                f"{left} values were written otherwise meanwhile: start every process anew, run this again."
            )
        if unreadable:
            raise fail(f"{unreadable} values cannot be read with the keys at hand and stay as they are.")


@keys_app.command("forget")
def forget(name: str) -> None:
    """This key is lost for ever: start without it; what it sealed shows as unreadable."""
    from service import index_keys
    from service.commands import running

    with running(needs_key=False) as runtime:
        is_new = index_keys.forget(runtime.engine, name, runtime.clock())
        _note(runtime, "forget key", 0)
        typer.echo(f"Key {name} counts as lost: the service starts without it.")
        if is_new:
            typer.echo("No other key opened the index key: a new one was made, from what can be read.")


@contextmanager
def _prepared() -> Iterator["Runtime"]:
    """A runtime whose keys fit its database."""
    from service.commands import running
    from service.serving import prepare_database

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        yield runtime


@contextmanager
def _progress() -> Iterator["Told"]:
    """A line on a terminal that counts values."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), TextColumn("{task.completed} values"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Sealing", total=None)
        yield lambda number: progress.advance(task, number)


def _left(runtime: "Runtime", target: str | None) -> int:
    """Values that are not as wanted."""
    from service.db import reading
    from service.keyring import PLAIN
    from service.rotation import by_key

    with reading(runtime.engine) as session:
        found = by_key(session.connection())
    return sum(number for key_id, number in found.items() if key_id != (target or PLAIN))


def _refuse_while_running(runtime: "Runtime") -> None:
    from service.commands import fail
    from service.db import reading
    from service.readiness import TICKED_WITHIN, last_tick

    with reading(runtime.engine) as session:
        ticked_at = last_tick(session)
    if ticked_at is not None and runtime.clock() - ticked_at < TICKED_WITHIN:
        raise fail("The service runs: stop every process, wait a minute, then make a new index key.")


def _note(runtime: "Runtime", action: str, number: int) -> None:
    """On the record: who may run commands here changed how data lies."""
    from service import audit
    from service.db import session_on

    with session_on(runtime.engine) as session:
        audit.record(
            session, now=runtime.clock(), actor="command line", action=action, detail={"values": number}
        )
        session.commit()
