"""Commands about care teams."""

from typing import Annotated

import typer

from service.commands import app, fail, running

ACTOR = "command line"
team_app = typer.Typer(help="Care teams of this site.", no_args_is_help=True)
app.add_typer(team_app, name="team")


@team_app.command("add")
def team_add(
    name: Annotated[str, typer.Argument(help="As members know it; quote a name with blanks.")],
) -> None:
    """Add a team. Put people into it on the page Care teams, or with: aftercare member add ... --team."""
    from service.db import session_on
    from service.serving import prepare_database
    from service.teams import TeamError, add_team

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            try:
                team = add_team(session, now=runtime.clock(), name=name, actor=ACTOR)
            except TeamError as error:
                raise fail(error) from error
    typer.echo(f"Added the team {team.name}.")


@team_app.command("list")
def team_list() -> None:
    """Every team with how many people work in it and how many patients it has."""
    from service.db import reading
    from service.models import DEFAULT_TEAM
    from service.serving import prepare_database
    from service.sight import roster
    from service.teams import patients_by_team

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with reading(runtime.engine) as session:
            people, patients = roster(session), patients_by_team(session)
    for team in sorted(people.teams.values(), key=lambda one: one.name.casefold()):
        members = sum(team.id in mine for mine in people.works_in.values())
        notes = [f"{members} members", f"{patients.get(team.id, 0)} patients in follow-up"]
        notes += ["catches all"] if team.id == DEFAULT_TEAM else []
        notes += [] if team.active else ["ended"]
        typer.echo(f"{team.name}: {', '.join(notes)}")
