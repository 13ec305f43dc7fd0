"""Commands about keys for programs."""

from typing import Annotated

import typer

from service.commands import app, fail, running

token_app = typer.Typer(help="Keys for programs.", no_args_is_help=True)
app.add_typer(token_app, name="token")


@token_app.command("add")
def token_add(
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="Ends after so many days.")] = None,
    team: Annotated[list[str] | None, typer.Option(help="Only this team's patients; several times.")] = None,
) -> None:
    """Print a new token, once; only its hash is kept."""
    from datetime import timedelta

    from service.db import session_on
    from service.serving import prepare_database
    from service.teams import TeamError, team_named
    from service.tokens import TokenError, add_token

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        now = runtime.clock()
        ends = now + timedelta(days=days) if days else None
        with session_on(runtime.engine) as session:
            try:
                teams = [team_named(session, one).id for one in team] if team else None
                made = add_token(session, now=now, name=name, scopes=scope, expires_at=ends, teams=teams)
            except TeamError as error:
                raise fail(f"--team {error}") from error
            except TokenError as error:
                raise fail(error) from error
    typer.echo(made)


@token_app.command("revoke")
def token_revoke(name: str) -> None:
    """End a token at once."""
    from service.db import session_on
    from service.serving import prepare_database
    from service.tokens import TokenError, revoke_token

    with running(needs_key=False) as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            try:
                revoke_token(session, now=runtime.clock(), name=name)
            except TokenError as error:
                raise fail(error) from error
    typer.echo(f"The token {name} is ended.")
