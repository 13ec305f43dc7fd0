"""The commands that need no jobs; ``service/__main__.py`` adds those that do.

Modules are imported inside the commands, so that each starts as fast as it can. Exit status: 0 done, 1 failed
or found faults, 2 wrong usage.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands_keys import keys_app

if TYPE_CHECKING:
    from messages.schedule import QuietHours
    from messages.site import Site
    from service.runtime import Runtime

app = typer.Typer(
    name="aftercare",
    help="Post-procedure symptom monitoring by text message.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
protocol_app = typer.Typer(help="Look at the monitoring plans.", no_args_is_help=True)
member_app = typer.Typer(help="People of the care team.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(protocol_app, name="protocol")
app.add_typer(member_app, name="member")
app.add_typer(db_app, name="db")
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")


def fail(message: object) -> typer.Exit:
    """Say what is wrong on standard error; the caller raises the result (exit status 1)."""
    typer.echo(str(message), err=True)
    return typer.Exit(1)


@contextmanager
def running(needs_key: bool = True) -> Iterator["Runtime"]:
    """The runtime of the settings, closed at the end. Settings that do not hold end the command."""
    from sqlalchemy.exc import OperationalError

    from messages.protocol import ProtocolError
    from messages.site import SiteError
    from service.db import out_of_reach
    from service.logs import start_logging
    from service.planning import ProtocolChanged
    from service.runtime import make_runtime
    from service.settings import SettingsError, load_settings, require_secret_key

    try:
        settings = load_settings()
        if needs_key:
            require_secret_key(settings)
        start_logging(settings.log_format)
        runtime = make_runtime(settings)
    except (SettingsError, SiteError, ProtocolError) as error:
        raise fail(error) from error
    try:
        yield runtime
    except (SettingsError, ProtocolChanged) as error:
        raise fail(error) from error
    except OperationalError as error:
        raise fail(out_of_reach(runtime.engine, error)) from error
    finally:
        runtime.close()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def triage(context: typer.Context) -> None:
    """Read JSON lines on standard input, write one assessment a line; --score BANK measures a bank."""
    from service.commands_triage import main as read_all

    raise typer.Exit(read_all(context.args))


@app.command()
def enroll(file: Annotated[Path, typer.Argument(help="CSV file; see the README for its columns.")]) -> None:
    """Enroll every row of a CSV file, or none when a row has a fault."""
    from service.db import session_on
    from service.enrollment_csv import enroll_csv
    from service.serving import prepare_database

    try:
        content = file.read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.") from error
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            result = enroll_csv(
                session, runtime, content, now=runtime.clock(), actor="command line", show=True
            )
    for fault in result.faults:
        typer.echo(f"{file.name}: {fault}", err=True)
    if result.faults:
        raise fail(f"Nothing was enrolled. Mend the {len(result.faults)} faults above and run it again.")
    typer.echo(f"Enrolled {result.enrolled}; already enrolled {result.already}.")


@app.command()
def check(
    ticks: Annotated[bool, typer.Option("--ticks", help="Only whether a scheduler ticked lately.")] = False,
) -> None:
    """Settings, database, carrier, clocks: says what is wrong and how to mend it."""
    from service.checkup import check_everything, check_ticks

    findings = check_ticks() if ticks else check_everything()
    for finding in findings:
        typer.echo(str(finding))
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(1)


@protocol_app.command("list")
def protocol_list() -> None:
    """Every protocol, with version and number of check-ins."""
    _protocol_command("list_protocols")


@protocol_app.command("check")
def protocol_check(files: Annotated[list[Path] | None, typer.Argument()] = None) -> None:
    """Read protocol files and name every fault with file and line."""
    from service.commands_protocol import check_protocols

    folders, site, _quiet = _protocol_ground()
    lines, faulty = check_protocols(files or [], folders, site)
    for line in lines:
        typer.echo(line)
    if faulty:
        raise typer.Exit(1)


@protocol_app.command("preview")
def protocol_preview(
    name: str,
    at: Annotated[str, typer.Option(help='Local time of the procedure, "YYYY-MM-DD HH:MM".')],
    timezone: Annotated[str, typer.Option(help="The patient's time zone, such as America/Chicago.")],
    language: Annotated[str, typer.Option(help="en or es")] = "en",
    blood_thinner: Annotated[bool, typer.Option("--blood-thinner")] = False,
    discharged: Annotated[str | None, typer.Option(help="Local time of going home.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """The whole plan of one patient in local time."""
    from service.commands_protocol import preview

    folders, site, quiet = _protocol_ground()
    try:
        typer.echo(
            preview(name, at, timezone, folders, site, quiet, language, blood_thinner, discharged, as_json)
        )
    except ValueError as error:
        raise fail(error) from error


@protocol_app.command("rehearse")
def protocol_rehearse(
    name: str,
    at: Annotated[str, typer.Option(help='Local time of the procedure, "YYYY-MM-DD HH:MM".')] = "",
    timezone: str = "America/Chicago",
    language: str = "en",
    blood_thinner: Annotated[bool, typer.Option("--blood-thinner")] = False,
) -> None:
    """A whole course with example answers, as the patient's phone would show it."""
    from service.commands_protocol import rehearse_lines

    folders, site, quiet = _protocol_ground()
    try:
        for line in rehearse_lines(name, at, timezone, folders, site, quiet, language, blood_thinner):
            typer.echo(line)
    except ValueError as error:
        raise fail(error) from error


def _protocol_ground() -> tuple[Sequence[Path], "Site", "QuietHours"]:
    """Folders, site and quiet hours of the settings; no database is touched."""
    from messages.protocol import ProtocolError
    from messages.site import SiteError
    from service.settings import SettingsError, load_settings, load_site

    try:
        settings = load_settings()
        return ([settings.protocols] if settings.protocols else []), load_site(settings), settings.quiet
    except (SettingsError, SiteError, ProtocolError) as error:
        raise fail(error) from error


def _protocol_command(name: str) -> None:
    from service import commands_protocol

    folders, site, _quiet = _protocol_ground()
    try:
        for line in getattr(commands_protocol, name)(folders, site):
            typer.echo(line)
    except ValueError as error:
        raise fail(error) from error


@member_app.command("add")
def member_add(
    email: str,
    name: Annotated[str, typer.Option(help="As colleagues know them.")],
    role: Annotated[str, typer.Option(help="viewer, nurse, clinician or admin")],
    phone: Annotated[str | None, typer.Option(help="Mobile number for pages, E.164.")] = None,
    on_call: Annotated[int | None, typer.Option(min=1, max=9, help="Holds that tier always.")] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin")] = False,
    team: Annotated[str | None, typer.Option(help="Where they work, if the site has several.")] = None,
) -> None:
    """Add a person of the care team. Without --password-stdin a password is asked for on the terminal."""
    from service.accounts import AccountError, add_member
    from service.db import session_on
    from service.serving import prepare_database
    from service.teams import TeamError, team_named

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _asked_password()
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            try:
                works_in = team_named(session, team) if team else None
                add_member(
                    session,
                    now=runtime.clock(),
                    email=email,
                    name=name,
                    role=role,
                    phone=phone,
                    password=password,
                    on_call=on_call,
                    team_id=works_in.id if works_in else None,
                )
            except TeamError as error:
                raise fail(f"--team {error}") from error
            except AccountError as error:
                raise fail(error) from error
    typer.echo(f"Added {email} as {role}.")


def _asked_password() -> str | None:
    if not sys.stdin.isatty():
        return None
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest revision."""
    from service.db import current_revision, upgrade

    with running(needs_key=False) as runtime:
        upgrade(runtime.engine)
        typer.echo(f"The database is at revision {current_revision(runtime.engine)}.")


@audit_app.command("verify")
def audit_verify(
    expect: Annotated[str, typer.Option(help="A head noted earlier, as this command prints it.")] = "",
) -> None:
    """Check the audit trail: nothing changed, removed, inserted or moved since it was sealed."""
    from service.audit_chain import read_head
    from service.commands_audit import verify_lines
    from service.serving import prepare_database

    try:
        expected = read_head(expect) if expect else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        said, fault = verify_lines(runtime, expected)
    typer.echo(said)
    if fault:
        raise fail(fault)


@audit_app.callback()
def _audit() -> None:
    """A group, though it has one command."""
