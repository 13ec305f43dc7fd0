"""Commands for whoever runs the service when nobody can get in any more."""

from typing import Annotated

import typer

from service.commands import fail, member_app, running


@member_app.command("link")
def member_link(
    email: str,
    reset_second_factor: Annotated[
        bool, typer.Option("--reset-second-factor", help="Also take their second factor away (lost phone).")
    ] = False,
) -> None:
    """Print a one-time link by which a member chooses a new password; it works for three days."""
    from sqlmodel import select

    from service import audit, second_factor
    from service.db import session_on
    from service.member_links import password_link
    from service.models import Member
    from service.serving import prepare_database

    with running() as runtime:
        prepare_database(runtime)
        with session_on(runtime.engine) as session:
            member = session.exec(select(Member).where(Member.email == email.strip().lower())).first()
            if member is None:
                raise fail(f"There is no member {email}.")
            if member.disabled_at is not None:
                raise fail(f"{email} is shut out; an admin can let them in again on the page Members.")
            now = runtime.clock()
            if reset_second_factor:
                second_factor.turn_off(session, member, now=now, actor=audit.SYSTEM)
            typer.echo(
                runtime.settings.public_url + password_link(session, member, now=now, actor=audit.SYSTEM)
            )
