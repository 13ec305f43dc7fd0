"""A carrier without a network: phones that live in a table, seen by every process.

It keeps the real carrier's contract: it obeys STOP and START by itself, refuses some numbers with the real
codes, has a log, and gives receipts later. Numbers +1 500 555 0001, 0004, 0006 and 0009 refuse as the real
carrier's test numbers do.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from secrets import token_hex
from typing import Literal

from sqlalchemy import Engine, func
from sqlmodel import Session, col, delete, select

from service.carriers import Accepted, CarrierError, LoggedMessage, Sending
from service.carriers.twilio_codes import lookup
from service.db import reading, session_on
from service.models import SimulatedPicture, SimulatedText

SENDER = "+15005550000"
REFUSING = {
    "+15005550001": "21211",
    "+15005550004": "21610",
    "+15005550006": "30003",
    "+15005550009": "21614",
}
LATER_FAILURES = ("30003",)  # accepted first, reported as undelivered afterwards
STOP_WORDS = ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout")
START_WORDS = ("start", "yes", "unstop")


class SimulatorCarrier:
    """The simulated carrier on one database. ``clock`` gives its own times."""

    name = "simulator"
    sender = SENDER

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def send(self, sending: Sending) -> Accepted:
        """Put the text on its phone. Raises CarrierError for refusing and opted-out phones."""
        code = REFUSING.get(sending.to_phone, "")
        if code and code not in LATER_FAILURES:
            raise CarrierError(lookup(code).meaning, outcome="rejected", code=code)
        sid = "SM" + token_hex(16)
        with session_on(self._engine) as session:
            if _opted_out(session, sending.to_phone):
                raise CarrierError(lookup("21610").meaning, outcome="rejected", code="21610")
            session.add(
                SimulatedText(
                    carrier_sid=sid,
                    direction="out",
                    phone=sending.to_phone,
                    body=sending.body,
                    status="undelivered" if code else "delivered",
                    message_id=sending.message_id,
                    created_at=self._clock(),
                )
            )
            session.commit()
        return Accepted(sid)

    def log(self, *, to_phone: str | None = None, since: datetime, direction: str) -> list[LoggedMessage]:
        """Texts of one direction since a time, newest first."""
        wanted = select(SimulatedText).where(
            SimulatedText.direction == direction, col(SimulatedText.created_at) >= since
        )
        if to_phone is not None and direction == "out":
            wanted = wanted.where(SimulatedText.phone == to_phone)
        with reading(self._engine) as session:
            rows = session.exec(wanted.order_by(col(SimulatedText.created_at).desc())).all()
            media = picture_counts(session, [row.carrier_sid for row in rows if row.direction == "in"])
        return [replace(_logged(row), media=media.get(row.carrier_sid, 0)) for row in rows]

    def redact(self, carrier_sid: str, *, has_media: bool) -> bool:
        """Empty a text on its simulated phone; False when there is none such."""
        with session_on(self._engine) as session:
            row = session.get(SimulatedText, carrier_sid)
            if row is not None:
                row.body = ""
                session.add(row)
                session.exec(delete(SimulatedPicture).where(col(SimulatedPicture.carrier_sid) == carrier_sid))
                gone = col(SimulatedPicture.carrier_sid) == carrier_sid
                session.exec(delete(SimulatedPicture).where(gone))
            session.commit()
        return row is not None

    def close(self) -> None:
        """Nothing to let go of: the engine belongs to the process."""

    def picture(self, carrier_sid: str, place: int, reference: str | None) -> bytes:
        """A picture as its phone sent it. Raises CarrierError when there is none."""
        with reading(self._engine) as session:
            row = session.get(SimulatedPicture, (carrier_sid, place))
        if row is None:
            raise CarrierError("the carrier no longer has this picture", outcome="rejected")
        return row.content

    def receive(self, from_phone: str, body: str, pictures: Sequence[bytes] = ()) -> LoggedMessage:
        """A text written on a simulated phone reaches the carrier; the caller hands it on to the inbox."""
        row = SimulatedText(
            carrier_sid="SM" + token_hex(16),
            direction="in",
            phone=from_phone,
            body=body,
            status="received",
            reported="received",
            created_at=self._clock(),
        )
        with session_on(self._engine) as session:
            session.add(row)
            for place, content in enumerate(pictures):
                session.add(SimulatedPicture(carrier_sid=row.carrier_sid, place=place, content=content))
            session.commit()
        return replace(_logged(row), media=len(pictures))

    def receipts(self, limit: int = 200) -> list[tuple[SimulatedText, str | None]]:
        """Receipts not given yet, oldest first, each with its error code; each is given once."""
        with session_on(self._engine) as session:
            rows = session.exec(
                select(SimulatedText)
                .where(SimulatedText.direction == "out", col(SimulatedText.reported) != "delivered")
                .order_by(col(SimulatedText.created_at))
                .limit(limit)
                .with_for_update(skip_locked=True)
            ).all()
            given = [(row, REFUSING.get(row.phone) if row.status == "undelivered" else None) for row in rows]
            for row in rows:
                row.reported = "delivered"  # there is nothing more to report
            session.commit()
        return given


def texts_on(session: Session, phone: str, limit: int = 200) -> Sequence[SimulatedText]:
    """What one simulated phone shows, oldest first: ``direction`` out is what we sent, in what it wrote."""
    newest = session.exec(
        select(SimulatedText)
        .where(SimulatedText.phone == phone)
        .order_by(col(SimulatedText.created_at).desc(), col(SimulatedText.carrier_sid))
        .limit(limit)
    ).all()
    return list(reversed(newest))


def picture_counts(session: Session, carrier_sids: Sequence[str]) -> dict[str, int]:
    """How many pictures came with each of these texts; those without are left out."""
    counts: dict[str, int] = {}
    sid = col(SimulatedPicture.carrier_sid)
    for start in range(0, len(carrier_sids), 500):
        part = select(sid, func.count()).where(sid.in_(carrier_sids[start : start + 500])).group_by(sid)
        counts |= {found: count for found, count in session.exec(part)}
    return counts


def phones(session: Session, limit: int = 200) -> list[tuple[str, datetime]]:
    """Simulated phones that have texts, with the time of their last one, newest first."""
    last = func.max(SimulatedText.created_at)
    mine = select(SimulatedText.phone_hash, last.label("at")).group_by(col(SimulatedText.phone_hash))
    newest = mine.order_by(last.desc()).limit(limit).subquery()
    is_newest = (newest.c.phone_hash == SimulatedText.phone_hash) & (newest.c.at == SimulatedText.created_at)
    rows = session.exec(select(SimulatedText.phone, SimulatedText.created_at).join(newest, is_newest)).all()
    found = dict(rows)  # two texts of one instant are one phone
    return sorted(found.items(), key=lambda each: each[1], reverse=True)


def _opted_out(session: Session, phone: str) -> bool:
    """The last carrier word this phone wrote was one of STOP. Read here: the database may hold it sealed."""
    written = session.exec(
        select(SimulatedText.body)
        .where(SimulatedText.phone == phone, SimulatedText.direction == "in")
        .order_by(col(SimulatedText.created_at).desc())
    )
    words = (body.strip().lower() for body in written)
    return next((word for word in words if word in (*STOP_WORDS, *START_WORDS)), "") in STOP_WORDS


def _logged(row: SimulatedText) -> LoggedMessage:
    outgoing = row.direction == "out"
    direction: Literal["in", "out"] = "out" if outgoing else "in"
    return LoggedMessage(
        carrier_sid=row.carrier_sid,
        direction=direction,
        from_phone=SENDER if outgoing else row.phone,
        to_phone=row.phone if outgoing else SENDER,
        body=row.body,
        status=row.status,
        created_at=row.created_at,
        error_code=REFUSING.get(row.phone) if row.status == "undelivered" else None,
    )
