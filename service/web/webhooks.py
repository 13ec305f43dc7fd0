"""What the carrier tells us: texts from patients, and receipts. Signed, stored first, answered afterwards.

Unsigned or wrong: 403, nothing stored, counted. Not storable: 503, so that it is tried again. Never 429.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service import marks, receipts
from service.carriers.twilio_setup import ANSWERED_WITHIN
from service.db import session_on
from service.inbox import Arrival
from service.intake import intake_of
from service.runtime import Runtime

router = APIRouter(include_in_schema=False)
log = logging.getLogger("aftercare.webhooks")

LARGEST_BODY = 64 * 1024
MOST_FIELDS = 300
TEXT_ID = re.compile(r"(SM|MM)[0-9a-f]{32}")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
OWN_ID = re.compile(r"[0-9a-f]{32}")
MOST_MEDIA = 20
NOTHING_TO_SAY = "<Response/>"
CONFLICT_TRIES = 3
CONFLICTS = ("40P01", "40001")  # PostgreSQL: a deadlock, and what could not be put in an order

Fields = dict[str, str]


@router.post("/twilio/inbound")
async def inbound(request: Request) -> Response:
    """A text from a phone: 200 only once it is committed; the same one again changes nothing."""
    fields = await _fields_of(request)
    if isinstance(fields, Response):
        return fields
    if not PHONE.fullmatch(fields.get("From", "")) or "Body" not in fields:
        return await run_in_threadpool(_refuse, request.app.state.runtime, "parameters")
    waiter = asyncio.get_running_loop().create_future()
    taken = intake_of(request.app.state.runtime).take(_arrival(fields), waiter)
    try:
        await asyncio.wait_for(waiter, ANSWERED_WITHIN)
        taken.done.result(0)
    except (SQLAlchemyError, TimeoutError) as error:
        if not taken.is_stored:
            return _not_stored(error)
        log.error("a reply is stored, its triage takes long")  # no failure of the webhook
    return Response(NOTHING_TO_SAY, media_type="text/xml")


@router.post("/twilio/status")
async def status(request: Request) -> Response:
    """A receipt for one of our texts; ``m`` in the address is our own id."""
    fields = await _fields_of(request)
    if isinstance(fields, Response):
        return fields
    try:
        return await run_in_threadpool(_record, request.app.state.runtime, request, fields)
    except SQLAlchemyError as error:
        return _not_stored(error)


async def _fields_of(request: Request) -> Fields | Response:
    """The form of a request the carrier signed, or the answer to one it did not."""
    runtime: Runtime = request.app.state.runtime
    raw = await _body(request)
    if raw is None:
        return Response("too large", 413, media_type="text/plain")
    try:
        pairs = parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return await run_in_threadpool(_refuse, runtime, "parameters")
    if not _is_signed(runtime, request, pairs):
        return await run_in_threadpool(_refuse, runtime, "signature")
    fields = _checked(runtime, pairs)
    return fields if fields is not None else await run_in_threadpool(_refuse, runtime, "parameters")


def _not_stored(error: Exception) -> Response:
    log.error("a webhook could not be stored: %s", type(error).__name__)
    return Response("not stored, try again", 503, media_type="text/plain")


async def _body(request: Request) -> bytes | None:
    """The raw form, or None when it is larger than any text can be."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _is_signed(runtime: Runtime, request: Request, pairs: Sequence[tuple[str, str]]) -> bool:
    """The signature is over the configured public address; what the request says of itself is not trusted."""
    settings = runtime.settings
    if settings.carrier != "twilio" or settings.twilio_auth_token is None:
        return False
    from service.carriers.twilio import is_signed

    tokens = [settings.twilio_auth_token.get_secret_value()]
    if settings.twilio_auth_token_previous is not None:
        tokens.append(settings.twilio_auth_token_previous.get_secret_value())
    query = request.scope.get("query_string", b"").decode("latin-1")
    url = f"{settings.public_url}{request.url.path}{'?' + query if query else ''}"
    return is_signed(
        url,
        pairs,
        request.headers.get("x-twilio-signature"),
        request.headers.get("x-twilio-webhooks-signature-settings"),
        tokens,
    )


def _checked(runtime: Runtime, pairs: Sequence[tuple[str, str]]) -> Fields | None:
    """The fields, when they can be what was signed: the signature does not cover where a field ends.

    One value per name, our account, a real text id.
    """
    fields = dict(pairs)
    sound = (
        len(fields) == len(pairs)
        and fields.get("AccountSid") == runtime.settings.twilio_account_sid
        and TEXT_ID.fullmatch(fields.get("MessageSid", "")) is not None
    )
    return fields if sound else None


def _arrival(fields: Fields) -> Arrival:
    return Arrival(
        carrier_sid=fields["MessageSid"],
        from_phone=fields["From"],
        to_phone=fields.get("To"),
        body=fields["Body"].replace("\x00", "\ufffd"),
        media=_media(fields),
        opt_out_type=fields.get("OptOutType") or None,
        segments=_number(fields.get("NumSegments"), 1),
    )


def _record(runtime: Runtime, request: Request, fields: Fields) -> Response:
    """The carrier repeats no receipt: one that met somebody on the same rows is written again by us."""
    named = request.query_params.getlist("m")
    own_id = named[0] if len(named) == 1 and OWN_ID.fullmatch(named[0]) else None
    for left in reversed(range(CONFLICT_TRIES)):
        try:
            _write(runtime, own_id, fields)
            break
        except DBAPIError as error:
            if not left or not (
                isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in CONFLICTS
            ):
                raise
            log.warning("a receipt met a database conflict (%s)", type(error).__name__)
    return Response(NOTHING_TO_SAY, media_type="text/xml")


def _write(runtime: Runtime, own_id: str | None, fields: Fields) -> None:
    with session_on(runtime.engine) as session:
        receipts.record(
            session,
            runtime,
            message_id=own_id,
            carrier_sid=fields["MessageSid"],
            status=fields.get("MessageStatus") or fields.get("SmsStatus") or "",
            error_code=fields.get("ErrorCode") or None,
            now=runtime.clock(),
        )
        session.commit()


def _media(fields: Fields) -> list[dict[str, Any]] | None:
    count = min(_number(fields.get("NumMedia"), 0), MOST_MEDIA)
    found = [
        {"url": fields.get(f"MediaUrl{place}"), "type": fields.get(f"MediaContentType{place}")}
        for place in range(count)
    ]
    return found or None


def _number(value: str | None, otherwise: int) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 4 else otherwise


def _refuse(runtime: Runtime, why: str) -> Response:
    """403, nothing stored but the count: a wrong proxy setting would refuse every red flag, so it alarms."""
    try:
        with session_on(runtime.engine) as session:
            marks.set_mark(session, f"refused:{why}", runtime.clock(), add=1)
            session.commit()
    except SQLAlchemyError as error:
        log.error("a refusal could not be counted: %s", type(error).__name__)
    log.warning("a webhook was refused: %s", why)
    return Response("refused", 403, media_type="text/plain")
