"""One picture of a text: the page around it, and the picture itself, each on demand."""

from collections import OrderedDict
from threading import Lock
from time import monotonic

from fastapi import APIRouter, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from service import pictures
from service.models import Reply
from service.sight import patient_in_sight
from service.web import seats
from service.web.doors import Desk, PageRoute, SignedIn, address_of
from service.web.security import SANDBOX

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LASTS = 60.0  # seconds between the page and the picture it asks for
MOST_KEPT = 8


class Album:
    """Pictures opened a moment ago, by member and picture: the page that shows one asks for it next."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, int], tuple[float, pictures.Picture]] = OrderedDict()
        self._guard = Lock()

    def put(self, key: tuple[str, str, int], picture: pictures.Picture) -> None:
        with self._guard:
            self._kept[key] = (monotonic(), picture)
            self._sweep()

    def take(self, key: tuple[str, str, int]) -> pictures.Picture | None:
        """Once only: a second look is opened, and written down, anew."""
        with self._guard:
            self._sweep()
            found = self._kept.pop(key, None)
            return found[1] if found else None

    def _sweep(self) -> None:
        for key, (at, _) in list(self._kept.items()):
            if monotonic() - at > LASTS or len(self._kept) > MOST_KEPT:
                del self._kept[key]


async def _there(desk: Desk, reply_id: str, place: int) -> Reply:
    reply = await run_in_threadpool(pictures.find_reply, desk.session, desk.sight, reply_id, place)
    if reply is None:
        raise HTTPException(404)
    return reply


async def _opened(desk: Desk, reply_id: str, place: int) -> pictures.Picture:
    """Fetched without a seat: a slow carrier keeps no other page waiting, no session is open meanwhile."""
    await seats.leave(desk.request)
    try:
        return await run_in_threadpool(
            pictures.open_picture, desk.runtime, now=desk.now, sight=desk.sight, reply_id=reply_id,
            place=place, actor=desk.member.email, address=address_of(desk.request),
        )  # fmt: skip
    except LookupError as error:
        raise HTTPException(404) from error


@router.get("/replies/{reply_id}/pictures/{place}")
async def picture(desk: SignedIn, reply_id: str, place: int) -> Response:
    """The page of one picture: opening it is an act of a person, and is written down."""
    reply = await _there(desk, reply_id, place)
    owner = await run_in_threadpool(patient_in_sight, desk.session, desk.sight, reply.patient_id)
    opened, fault = None, ""
    try:
        opened = await _opened(desk, reply_id, place)
        desk.request.app.state.album.put((desk.member.id, reply_id, place), opened)
    except pictures.PictureFault as error:
        fault = desk.t(str(error))
    is_part = desk.request.headers.get("x-part") == "1"
    return desk.page(
        "_picture.html" if is_part else "picture.html",
        status=502 if fault and not is_part else 200,
        reply=reply,
        spot=place,
        count=len(reply.media or ()),
        opened=opened,
        fault=fault,
        back=f"/patients/{owner.id}" if owner else "/",
    )


@router.get("/replies/{reply_id}/pictures/{place}/file")
async def picture_file(desk: SignedIn, reply_id: str, place: int) -> Response:
    """The bytes, under the type they have; whatever they are, nothing in them may run."""
    await _there(desk, reply_id, place)
    opened = desk.request.app.state.album.take((desk.member.id, reply_id, place))
    try:
        opened = opened or await _opened(desk, reply_id, place)
    except pictures.PictureFault as error:
        raise HTTPException(502, desk.t(str(error))) from error
    named = f'filename="picture-{place + 1}.{opened.ending}"'
    headers = {
        "Content-Disposition": ("inline; " if opened.is_shown else "attachment; ") + named,
        "Content-Security-Policy": SANDBOX,
    }
    kind = opened.kind if opened.is_shown else "application/octet-stream"
    return Response(opened.content, media_type=kind, headers=headers)
