"""What every request passes: host list, token before anything else on the API, bounded bodies, headers.

One plain ASGI layer, so that streams stay streams. The order matters: a stranger without a token learns
nothing about paths, methods or bodies.
"""

from collections.abc import Iterable
from time import perf_counter
from urllib.parse import unquote_to_bytes, urlsplit

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.chance import random_id
from service.metrics import Traffic
from service.runtime import Runtime
from service.web import problems
from service.web.api_doors import refusal

NUL = "\0"  # PostgreSQL keeps no text that holds one
BODY = 64 * 1024
UPLOAD = 2 * 1024 * 1024
UPLOAD_PATHS = ("/enroll/upload",)  # where a CSV file may be sent
UPLOAD_FOLDERS = ("/phones/",)  # where a simulated phone may send a picture
# What a stranger made is shown under this policy: whatever it really is, nothing in it runs.
SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
# A probe knows only an address, and the carrier's signature covers the public address already: a proxy that
# rewrites Host must never cost us a reply.
ANY_HOST_PATHS = ("/healthz", "/readyz", "/metrics", "/twilio/inbound", "/twilio/status")


class TooLarge(Exception):
    """The body is larger than this address takes."""


class Shield:
    """The layer itself; ``service.app`` adds it."""

    def __init__(self, app: ASGIApp, runtime: Runtime, traffic: Traffic) -> None:
        self.app, self.runtime, self.traffic = app, runtime, traffic
        self.hosts = allowed_hosts(runtime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = random_id()
        scope.setdefault("state", {})["csp_nonce"] = nonce
        request = Request(scope, receive)
        started, answered = perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                add_headers(MutableHeaders(scope=message), scope["path"], nonce, self._is_https)
            await send(message)

        try:
            refused = await self._refuse(request)
            if refused is None:
                await self.app(scope, bounded(receive, longest_body(scope)), send_with_headers)
            else:
                await refused(scope, receive, send_with_headers)
        except TooLarge:
            if answered:
                raise
            await self._too_large(request)(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:
            if answered:  # half an answer is out: only closing the connection tells the client
                raise
            await problems.unexpected(request, error)(scope, receive, send_with_headers)
        finally:
            self._count(scope, answered, perf_counter() - started)

    @property
    def _is_https(self) -> bool:
        return self.runtime.settings.is_https

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count the answer under its route's pattern, never under the address itself."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.traffic.count(method, pattern_of(scope), status, seconds)

    async def _refuse(self, request: Request) -> Response | None:
        """The first reason not to let this request in."""
        path = request.url.path
        if not is_our_host(request.headers.get("host", ""), self.hosts) and path not in ANY_HOST_PATHS:
            return problems.answer(
                request,
                400,
                "This address is not one of ours. Whoever runs this service sets AFTERCARE_PUBLIC_URL, "
                "or AFTERCARE_ALLOWED_HOSTS for further names.",
            )
        if path == "/api" or path.startswith("/api/"):
            refused = await run_in_threadpool(refusal, request, self.runtime)
            if refused is not None:
                return refused
        elif NUL in path or NUL in unquote_to_bytes(request.scope["query_string"]).decode("latin-1"):
            return problems.answer(request, 400, "The address holds a character that cannot be stored (NUL).")
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 12 or int(announced) > longest_body(request.scope):
            return self._too_large(request)
        return None

    def _too_large(self, request: Request) -> Response:
        longest = longest_body(request.scope) // 1024
        return problems.answer(
            request, 413, f"The body is too large: {longest} KiB at most.", headers={"Connection": "close"}
        )


def pattern_of(scope: Scope) -> str:
    """The route's pattern, such as ``/api/v1/enrollments/{id}``; ``none`` where there is no route."""
    if scope.get("route") is None:
        return "none"
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    path = scope["path"]
    for value in sorted(names, key=len, reverse=True):
        path = path.replace(f"/{value}", f"/{{{names[value]}}}")
    return str(path)


def allowed_hosts(runtime: Runtime) -> frozenset[str]:
    """The names this service answers to: its public address, this machine, and AFTERCARE_ALLOWED_HOSTS."""
    settings = runtime.settings
    named = [name.strip().lower() for name in (settings.allowed_hosts or "").split(",") if name.strip()]
    public = urlsplit(settings.public_url).hostname or ""
    return frozenset((*LOOPBACK_HOSTS, public.lower(), *named))


def is_our_host(host: str, hosts: Iterable[str]) -> bool:
    """Whether a Host header names us; its port does not matter. ``*`` in the list lets every name pass."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return "*" in hosts or (name is not None and name in hosts)


def longest_body(scope: Scope) -> int:
    """Bytes a request to this address may carry."""
    path = scope["path"]
    takes_files = path in UPLOAD_PATHS or path.startswith(UPLOAD_FOLDERS)
    return UPLOAD if scope["method"] == "POST" and takes_files else BODY


def bounded(receive: Receive, longest: int) -> Receive:
    """The same body, refused as soon as it grows too long: no header can be trusted about its size."""
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > longest:
                raise TooLarge
        return message

    return receive_bounded


def add_headers(headers: MutableHeaders, path: str, nonce: str, is_https: bool) -> None:
    """Headers of every answer. Nothing but static files may be kept by browsers or proxies."""
    if headers.get("Content-Security-Policy") != SANDBOX:
        headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
            "img-src 'self' data:; font-src 'self'; connect-src 'self'; media-src 'self'; "
            "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
            "object-src 'none'"
        )
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"
    )
    if is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if not path.startswith("/static/"):
        headers["Cache-Control"] = "no-store"
