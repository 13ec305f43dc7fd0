"""For those who watch the service: is it alive, does it work, in figures."""

from ipaddress import ip_address

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.readiness import reasons_not_ready
from service.runtime import Runtime
from service.web.api_doors import forbidden, presented_token, runtime_of, unauthorized

router = APIRouter(include_in_schema=False)
LOOK = ["GET", "HEAD"]
METRICS_SCOPE = "metrics"


@router.api_route("/healthz", methods=LOOK)
async def healthz() -> Response:
    """The process is alive; nothing else is looked at."""
    return JSONResponse({"status": "alive"})


@router.api_route("/readyz", methods=LOOK)
def readyz(request: Request) -> Response:
    """Whether the service does its work; 503 with every reason when it does not."""
    runtime = runtime_of(request)
    reasons = reasons_not_ready(runtime, runtime.clock())
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


@router.api_route("/metrics", methods=LOOK)
def metrics(request: Request) -> Response:
    """Prometheus figures: for a token with scope ``metrics``, or for this machine when only it can ask."""
    runtime = runtime_of(request)
    if not is_open_here(request, runtime):
        token = presented_token(request, runtime)
        if token is None:
            return unauthorized()
        if METRICS_SCOPE not in token.scopes:
            return forbidden(METRICS_SCOPE)
    return Response(request.app.state.traffic.text(), media_type=CONTENT_TYPE_LATEST)


def is_open_here(request: Request, runtime: Runtime) -> bool:
    """Whether the server listens on loopback only. A proxy here speaks for others: not open then."""
    if any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via")):
        return False
    if runtime.bound_host == "localhost":
        return True
    try:
        return ip_address(runtime.bound_host).is_loopback
    except ValueError:
        return False
