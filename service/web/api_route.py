"""What all routes of the API share: repeats by ``Idempotency-Key``, and a row in the audit trail."""

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from time import monotonic
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from service import audit, idempotency
from service.db import session_on
from service.idempotency import Claim, KeyReused, StillWorking, Stored
from service.models import ApiToken
from service.queries import Page
from service.web.api_body import is_plain
from service.web.api_doors import address_of, runtime_of, unauthorized
from service.web.problems import Refused, invalid

WAIT_FOR_FIRST = 10.0  # seconds a repeat waits for the first request's answer
LOOK_EVERY = 0.05

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class ApiRoute(APIRoute):
    """A route behind the door. Nothing is answered without a token, whatever stands in front."""

    def get_route_handler(self) -> Answer:
        inner = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if getattr(request.state, "api_token", None) is None:
                return unauthorized()
            key = request.headers.get("idempotency-key")
            if request.method != "POST" or key is None:
                return await inner(request)
            return await _once(request, inner, key)

        return guarded


async def _once(request: Request, inner: Answer, key: str) -> Response:
    if not 1 <= len(key) <= idempotency.LONGEST_KEY or not key.isprintable() or not is_plain(key):
        raise invalid({"Idempotency-Key": [f"must have 1 to {idempotency.LONGEST_KEY} characters"]})
    body = await request.body()
    wanted = sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
    claim = await _claim(request, key, wanted)
    if isinstance(claim, Stored):
        again = Response(claim.body, claim.status_code, media_type="application/json")
        again.headers["Idempotent-Replayed"] = "true"
        return again
    request.state.claim = claim
    try:
        answer = await inner(request)
    except BaseException:
        await run_in_threadpool(_release, request, claim)
        raise
    if answer.status_code < 300:
        await run_in_threadpool(_keep, request, claim, answer)
    else:  # nothing was done: a corrected request may use the same key
        await run_in_threadpool(_release, request, claim)
    return answer


async def _claim(request: Request, key: str, wanted: str) -> Claim | Stored:
    give_up = monotonic() + WAIT_FOR_FIRST
    while True:
        try:
            return await run_in_threadpool(_try_claim, request, key, wanted)
        except KeyReused as error:
            said = "was used for another request within the last 24 hours; use a new one"
            raise invalid({"Idempotency-Key": [said]}) from error
        except StillWorking as error:
            if monotonic() > give_up:
                raise Refused(
                    409, "The first request with this key is still being worked on.",
                    headers={"Retry-After": "2"},
                ) from error  # fmt: skip
        await asyncio.sleep(LOOK_EVERY)


def _try_claim(request: Request, key: str, wanted: str) -> Claim | Stored:
    runtime, token = runtime_of(request), request.state.api_token
    with session_on(runtime.engine) as session:
        return idempotency.claim(
            session, now=runtime.clock(), token_id=token.id, key=key, request_hash=wanted
        )


def _keep(request: Request, claim: Claim, answer: Response) -> None:
    with session_on(runtime_of(request).engine) as session:
        body = bytes(answer.body).decode()
        idempotency.keep(session, claim, status_code=answer.status_code, body=body)


def _release(request: Request, claim: Claim) -> None:
    with session_on(runtime_of(request).engine) as session:
        idempotency.release(session, claim)


def work_key(request: Request) -> str | None:
    """A key of our own for the work of this request, the same at every repeat; None without the header."""
    claim: Claim | None = getattr(request.state, "claim", None)
    if claim is None:
        return None
    return sha256(f"{claim.token_id} {claim.key} {claim.since.isoformat()}".encode()).hexdigest()


def looked(
    request: Request, action: str, subject_kind: str, subject_id: str | None = None, **detail: object
) -> None:
    """Put a look at patient data into the audit trail, before it is answered; commits."""
    runtime = runtime_of(request)
    token: ApiToken = request.state.api_token
    with session_on(runtime.engine) as session:
        audit.record(
            session, now=runtime.clock(), actor=token.name, action=action, subject_kind=subject_kind,
            subject_id=subject_id, address=address_of(request), detail=detail or None,
        )  # fmt: skip
        session.commit()


def listed(page: Page) -> Response:
    """A page of a list."""
    return JSONResponse({"items": page.items, "next": page.next})
