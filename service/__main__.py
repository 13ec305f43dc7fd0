"""The ``aftercare`` command: the one place that knows both the service and its jobs."""

from typing import TYPE_CHECKING, Annotated

import typer

from service import commands_accounts, commands_backup, commands_record, commands_team, commands_token
from service.commands import app, fail, running

if TYPE_CHECKING:
    from service.runtime import Runtime

# Each adds its commands to the app when it is imported.
PARTS = (commands_accounts, commands_backup, commands_record, commands_team, commands_token)
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]


def greet(runtime: "Runtime", host: str, port: int) -> None:
    """Tell the terminal, and nothing else, how the first member gets in."""
    from service.first_admin import first_words

    words = first_words(runtime, host, port)
    if words:
        typer.echo(words)


@app.command()
def run(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Web and jobs in one process."""
    from jobs.scheduler import Ticker
    from service.serving import prepare_database, require_free_port, serve

    with running() as runtime:
        require_free_port(host, port)
        prepare_database(runtime)
        greet(runtime, host, port)
        ticker = Ticker(runtime)
        ticker.start()
        try:
            serve(runtime, host, port)
        finally:
            ticker.stop()


@app.command()
def web(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Web only; jobs run elsewhere (aftercare work)."""
    from service.serving import prepare_database, require_free_port, serve

    with running() as runtime:
        require_free_port(host, port)
        prepare_database(runtime)
        greet(runtime, host, port)
        serve(runtime, host, port)


@app.command()
def work() -> None:
    """Jobs only; start as many as you like on PostgreSQL."""
    from jobs.scheduler import Ticker
    from service.serving import prepare_database, wait_for_stop

    with running() as runtime:
        prepare_database(runtime)
        ticker = Ticker(runtime)
        ticker.start()
        try:
            wait_for_stop(runtime)
        finally:
            ticker.stop()


@app.command()
def demo(
    port: Port = 8000,
    speed: Annotated[float, typer.Option(min=1, max=5000, help="How much faster the clock runs.")] = 1,
) -> None:
    """A sample clinic with simulated phones; needs no settings."""
    from jobs.scheduler import JOBS, Ticker
    from service.demo import open_demo
    from service.serving import require_free_port, serve
    from service.settings import SettingsError

    try:
        require_free_port("127.0.0.1", port)
    except SettingsError as error:
        raise fail(error) from error
    typer.echo("Playing the sample clinic's past ...", err=True)
    runtime, words = open_demo(port=port, speed=speed, jobs={job.name: job.run for job in JOBS})
    ticker = Ticker(runtime)
    ticker.start()
    try:
        typer.echo(words)
        serve(runtime, "127.0.0.1", port)
    finally:
        ticker.stop()
        runtime.close()


@app.command()
def simulate(
    patients: Annotated[int, typer.Option(min=1, max=2000, help="How many made-up patients.")] = 20,
    days: Annotated[int, typer.Option(min=1, max=95, help="How many days to play.")] = 14,
    seed: Annotated[int, typer.Option(help="The same seed plays the same course.")] = 1,
) -> None:
    """Play a made-up clinic on a throw-away database and print what happened."""
    from jobs.scheduler import JOBS
    from service.simulation import play

    for line in play([job.run for job in JOBS], patients=patients, days=days, seed=seed):
        typer.echo(line)


if __name__ == "__main__":
    app()
