"""``aftercare backup`` and ``aftercare restore``."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands import app, fail, running

File = Annotated[Path, typer.Argument(help="One file, by custom *.aftercare-backup; it holds everything.")]


@app.command()
def backup(file: File) -> None:
    """Write the whole database to a file, while the service runs. Keep it encrypted and elsewhere."""
    from rich.console import Console

    from service.backups import BackupError, make_backup
    from service.restores import rows_in

    with running(needs_key=False) as runtime:
        try:
            with Console(stderr=True).status("Copying the database"):
                made = make_backup(runtime, file, runtime.clock())
        except BackupError as error:
            raise fail(error) from error
    typer.echo(f"{file}: {rows_in(made)} rows, revision {made.revision}, {made.size} bytes.")
    typer.echo(f"SHA-256 of the database in it: {made.sha256}")
    typer.echo(f"Audit trail up to {made.head}")


@app.command()
def restore(
    file: File,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of what is there.")] = False,
) -> None:
    """Put a backup in place, checked; afterwards texts wait until the carrier's log was read."""
    from rich.console import Console

    from service.backups import BackupError
    from service.restores import restore as put_back
    from service.restores import rows_in

    with running(needs_key=False) as runtime:
        try:
            with Console(stderr=True).status("Checking and restoring"):
                done = put_back(runtime, file, runtime.clock(), replace=replace)
        except BackupError as error:
            raise fail(error) from error
    made = done.manifest
    typer.echo(f"Restored {rows_in(made)} rows of {made.at}; every check passed.")
    if done.upgraded_to:
        typer.echo(f"Brought from revision {made.revision} to {done.upgraded_to}.")
    if done.aside:
        typer.echo(f"What was there before is kept in {done.aside}: delete it when you no longer need it.")
    typer.echo(
        "Now start the service. Texts wait until the carrier's log was read, so that nothing is sent twice. "
        "Do again what was done since the backup: enrollments, redactions, legal holds, disabled members, "
        "ended tokens. Everybody signs in anew."
    )
