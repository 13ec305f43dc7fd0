"""Commands about what is kept: retention, legal holds, handing out one patient's record."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.commands import app, audit_app, fail, running

ACTOR = "command line"
retention_app = typer.Typer(help="What is deleted when.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds: nothing of the patient is deleted.", no_args_is_help=True)
app.add_typer(retention_app, name="retention")
app.add_typer(hold_app, name="hold")
patient_app = typer.Typer(help="One patient's record.", no_args_is_help=True)
app.add_typer(patient_app, name="patient")
Reason = Annotated[str, typer.Option(help="Why; kept with the record, not in the audit trail.")]


@retention_app.command("preview")
def retention_preview() -> None:
    """What would be deleted now, by kind. Changes nothing."""
    from service.retention import preview
    from service.serving import prepare_database

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        found = preview(runtime, runtime.clock())
    for due in found:
        kept = f"kept {due.kept.days} days" if due.kept is not None else "kept for ever"
        held = f"; {due.held} more on legal hold" if due.held else ""
        typer.echo(f"{due.kind:12} {kept:16} {due.count} to delete{held}")


@retention_app.command("run")
def retention_run() -> None:
    """Delete now what the preview shows, in small batches; it may be interrupted and run again."""
    from collections import Counter

    from rich.console import Console
    from rich.progress import Progress

    from service.retention import preview, purge
    from service.serving import prepare_database

    done: Counter[str] = Counter()
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        now = runtime.clock()
        total = sum(due.count for due in preview(runtime, now))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Deleting", total=total or None)
            while batch := purge(runtime, now):
                done.update(batch)
                progress.update(task, completed=done.total())
    for kind, count in sorted(done.items()):
        typer.echo(f"{kind:12} {count} deleted")
    if not done:
        typer.echo("Nothing to delete.")


@hold_app.command("set")
def hold_set(patient: str, reason: Reason) -> None:
    """Put a patient's record on legal hold."""
    from service.legal_holds import set_hold

    _change(set_hold, patient, reason)
    typer.echo(f"Nothing of the patient {patient} is deleted or redacted until the hold is lifted.")


@hold_app.command("lift")
def hold_lift(patient: str, reason: Reason) -> None:
    """Lift the legal hold of a patient's record."""
    from service.legal_holds import lift_hold

    _change(lift_hold, patient, reason)
    typer.echo(f"The hold on the patient {patient} is lifted.")


@hold_app.command("list")
def hold_list() -> None:
    """Every standing hold: patient, since when, by whom, why."""
    from service.db import reading
    from service.instants import zulu
    from service.legal_holds import all_standing
    from service.serving import prepare_database

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with reading(runtime.engine) as session:
            for hold in all_standing(session):
                typer.echo(f"{hold.patient_id}  {zulu(hold.set_at)}  {hold.set_by}  {hold.reason}")


@patient_app.command("export")
def patient_export(
    patient: str,
    to: Annotated[Path | None, typer.Option(help="Where to write it; by default here.")] = None,
) -> None:
    """Everything about one patient as a zip: JSON, HTML to print, CSV. Noted in the audit trail."""
    from service.db import session_on
    from service.patient_export import export_patient, file_name
    from service.serving import prepare_database

    file = to or Path(file_name(patient))
    if file.exists():
        raise fail(f"{file} exists already: choose another name with --to.")
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            try:
                content = export_patient(
                    session, runtime, now=runtime.clock(), patient_id=patient, actor=ACTOR
                )
            except LookupError as error:
                raise fail(error) from error
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(content)
    except OSError as error:
        raise fail(f"{file} cannot be written: {error.strerror}.") from error
    typer.echo(f"{file}: {len(content)} bytes. It holds health information: keep it safe, delete it after.")


@audit_app.command("export")
def audit_export(
    since: Annotated[str, typer.Option(help="RFC 3339, or a day of UTC.")] = "",
    until: Annotated[str, typer.Option(help="Up to then, left out.")] = "",
    fmt: Annotated[str, typer.Option("--format", help="jsonl or csv")] = "jsonl",
) -> None:
    """Write the audit trail to standard output, oldest first. Noted in the trail itself."""
    from service.audit_search import FORMATS, Wanted, condition, export, note_export
    from service.serving import prepare_database

    if fmt not in FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(FORMATS)}.")
    wanted = Wanted(since=_moment(since), until=_moment(until))
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        note_export(runtime, wanted, now=runtime.clock(), actor=ACTOR, fmt=fmt)
        for part in export(runtime, condition(wanted), fmt):
            typer.echo(part, nl=False)


def _moment(given: str) -> datetime | None:
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise typer.BadParameter(
            f"{given} is not a time: write 2027-03-12T08:00:00Z or 2027-03-12."
        ) from error
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


@patient_app.callback()
def _patient() -> None:
    """A group, though it has one command."""


def _change(act: object, patient: str, reason: str) -> None:
    from service.db import session_on
    from service.legal_holds import HoldRefused
    from service.serving import prepare_database

    assert callable(act)
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            try:
                act(session, now=runtime.clock(), patient_id=patient, reason=reason, actor=ACTOR)
            except (HoldRefused, LookupError) as error:
                raise fail(error) from error
