"""The web application: carrier webhooks, REST API, health, dashboard."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from service import site_versions
from service.metrics import Traffic
from service.runtime import Runtime
from service.sso_provider import Provider
from service.sso_settings import sso_settings
from service.web import problems
from service.web.few_at_once import Turns
from service.web.figures import Figures
from service.web.picture_pages import Album
from service.web.rates import Rates
from service.web.seats import Seats
from service.web.security import Shield

log = logging.getLogger("aftercare.web")
SITE_SECONDS = 15.0

# Each module has a ``router``; the order is the order of matching.
ROUTERS = (
    "service.web.webhooks",
    "service.web.health",
    "service.web.api",
    "service.web.phones",
    "service.web.pages",
)


async def _follow_site(runtime: Runtime) -> None:
    """A web process without jobs takes up the clinic's changed values by itself."""
    while True:
        await asyncio.sleep(SITE_SECONDS)
        try:
            await run_in_threadpool(site_versions.refresh, runtime)
        except SQLAlchemyError as error:
            log.error("the clinic's values could not be looked up: %s", type(error).__name__)


def create_app(runtime: Runtime) -> FastAPI:
    """The application of one process. ``runtime`` is reachable as ``request.app.state.runtime``."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(_follow_site(runtime))
        yield
        watching.cancel()
        runtime.stopping.set()
        await run_in_threadpool(runtime.close_intake)

    # Telemetry logs would record exception texts, and with them what patients wrote.
    app = FastAPI(
        title="Aftercare",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"logs": False, "operation_spans": False},
    )
    app.state.runtime = runtime
    app.state.traffic, app.state.rates = Traffic(runtime), Rates()
    app.state.seats, app.state.figures, app.state.album = Seats(), Figures(), Album()
    sso = sso_settings(runtime.settings)
    app.state.password_turns = Turns()
    app.state.sso = Provider(sso) if sso is not None else None
    app.add_middleware(Shield, runtime=runtime, traffic=app.state.traffic)
    problems.install(app)
    for name in ROUTERS:
        app.include_router(import_module(name).router)
    return app
