"""Visits from the machine itself, which may use the simulated phones without signing in."""

from fastapi import Request

from service.runtime import Runtime
from service.settings import is_loopback
from service.web.doors import address_of


def is_local_phone_visit(request: Request) -> bool:
    """Whether the simulated phones may be used without signing in: a simulator bound to this machine's own
    address, called from this machine, by that name (another name could be another site's trick)."""
    runtime: Runtime = request.app.state.runtime
    if runtime.settings.carrier != "simulator" or not runtime.bound_host:
        return False
    if any(name in request.headers for name in ("forwarded", "x-forwarded-for")):
        return False
    names = (runtime.bound_host, request.headers.get("host", ""), address_of(request) or "")
    return all(is_loopback(f"http://{name}") for name in names)
