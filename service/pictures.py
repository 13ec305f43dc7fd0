"""Pictures patients send: fetched from the carrier when a member opens one, never stored here.

What a picture is, is read from its bytes. A declared type is the sender's word, and a page in the clothes
of a picture must not run in a member's browser.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from service import audit
from service.carriers import LONGEST_PICTURE, CarrierError
from service.db import reading, session_on
from service.models import Reply
from service.runtime import Runtime
from service.sight import Sight, reply_in_sight

SIGNATURES = (
    (b"\xff\xd8\xff", 0, "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png", "png"),
    (b"GIF87a", 0, "image/gif", "gif"),
    (b"GIF89a", 0, "image/gif", "gif"),
    (b"WEBP", 8, "image/webp", "webp"),
)
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
HEIC = "image/heic"


class PictureFault(Exception):
    """The picture cannot be shown; the message says why, in words for a member."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture. ``kind``: its media type as its bytes say; ``ending``: for a file name."""

    content: bytes
    kind: str
    ending: str

    @property
    def is_shown(self) -> bool:
        """Whether browsers show it; a HEIC photo is for saving and opening with another program."""
        return self.kind != HEIC


def read_picture(content: bytes) -> Picture:
    """What the bytes are. Raises PictureFault for anything but a JPEG, PNG, GIF, WebP or HEIC picture."""
    for signature, place, kind, ending in SIGNATURES:
        is_riff = ending != "webp" or content.startswith(b"RIFF")
        if content[place : place + len(signature)] == signature and is_riff:
            return Picture(content, kind, ending)
    if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS:
        return Picture(content, HEIC, "heic")
    raise PictureFault("This attachment is no picture that can be shown safely. Ask the patient what it is.")


def find_reply(session: Session, sight: Sight, reply_id: str, place: int) -> Reply | None:
    """The reply when it is in sight and has a picture in that place."""
    reply = reply_in_sight(session, sight, reply_id)
    return reply if reply is not None and 0 <= place < len(reply.media or ()) else None


def open_picture(
    runtime: Runtime,
    *,
    now: datetime,
    sight: Sight,
    reply_id: str,
    place: int,
    actor: str,
    address: str | None,
) -> Picture:
    """Write into the audit trail who opens it, then fetch it. No session is open while the carrier is asked.

    Commits. Raises LookupError for a picture that does not exist, PictureFault when it cannot be shown.
    """
    with reading(runtime.engine) as session:
        reply = find_reply(session, sight, reply_id, place)
        if reply is None:
            raise LookupError("There is no such picture.")
    with session_on(runtime.engine) as session:
        audit.record(
            session, now=now, actor=actor, action="open picture", subject_kind="patient",
            subject_id=reply.patient_id, address=address, detail={"reply": reply_id, "place": place},
        )  # fmt: skip
        session.commit()
    reference = (reply.media or [])[place].get("url")
    try:
        content = runtime.carrier.picture(reply.carrier_sid, place, reference)
    except CarrierError as error:
        said = "The carrier no longer has this picture, or it is too large."
        raise PictureFault(
            said if error.permanent else "The picture could not be fetched. Try again."
        ) from error
    if len(content) > LONGEST_PICTURE:
        raise PictureFault("The carrier no longer has this picture, or it is too large.")
    return read_picture(content)
