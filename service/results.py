"""Writing down what the carrier said about claimed texts.

Everything but one needs the claim to hold still (``fence``): that the carrier accepted a text is a fact that
no lost claim may undo.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CursorResult, Update, bindparam, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import Session, col, select

from service import fates, marks, plan
from service.carriers.twilio_codes import lookup
from service.claims import Claimed
from service.db import session_on
from service.models import OutboundMessage, metadata
from service.runtime import Runtime

log = logging.getLogger("aftercare.delivery")


def write_accepted(runtime: Runtime, accepted: Sequence[tuple[Claimed, str]], now: datetime) -> None:
    """The carrier has these texts: the one fact no lost claim may undo. Commits.

    Only a text that another copy was already accepted for is left alone, loudly.
    """
    if not accepted:
        return
    try:
        with session_on(runtime.engine) as session:
            written = _accept(session, accepted, now)
            items = [claimed.plan_item_id for claimed, _ in accepted if claimed.plan_item_id]
            if written != len(accepted):
                _note_second_copies(session, accepted, now)
                items = _arriving(session, items)
            open_questions(session, runtime, items, now)
            session.commit()
    except IntegrityError:
        if len(accepted) > 1:
            for one in accepted:
                write_accepted(runtime, [one], now)
            return
        _accept_without_sid(runtime, accepted[0][0], now)


_AT = metadata.tables["outbound_messages"].c.accepted_at.type
_SET = "UPDATE outbound_messages SET status = 'accepted', accepted_at = :now, lease_until = NULL, "
_SET += "claimed_by = NULL, error_code = NULL, why = NULL, carrier_sid = "
_OPEN = "outbound_messages.carrier_sid IS NULL AND outbound_messages.accepted_at IS NULL"
_EACH = text(f"{_SET} :sid WHERE id = :id AND {_OPEN}").bindparams(bindparam("now", type_=_AT))
# PostgreSQL: one statement for all of them; hundreds of single ones cost it as much as the sending itself.
_TOGETHER = text(
    f"{_SET} given.sid FROM unnest(CAST(:ids AS text[]), CAST(:sids AS text[])) AS given(id, sid) "
    f"WHERE outbound_messages.id = given.id AND {_OPEN}"
).bindparams(bindparam("now", type_=_AT))


def _accept(session: Session, accepted: Sequence[tuple[Claimed, str]], now: datetime) -> int:
    """Set ``accepted`` for many rows at once; returns how many rows it changed."""
    ids, sids = [claimed.id for claimed, _ in accepted], [sid for _, sid in accepted]
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        return connection.execute(_TOGETHER, {"ids": ids, "sids": sids, "now": now}).rowcount
    each = [{"id": message_id, "sid": sid, "now": now} for message_id, sid in zip(ids, sids, strict=True)]
    return connection.execute(_EACH, each).rowcount


def _note_second_copies(session: Session, accepted: Sequence[tuple[Claimed, str]], now: datetime) -> None:
    """Rows that had an id already: mostly the same one, from a receipt that overtook us."""
    sids = {claimed.id: sid for claimed, sid in accepted}
    rows = session.exec(
        select(OutboundMessage.id, OutboundMessage.carrier_sid).where(col(OutboundMessage.id).in_(sids))
    ).all()
    for message_id, sid in rows:
        if sid not in (None, sids[message_id]):
            log.error("text %s was accepted twice by the carrier", message_id)
            marks.set_mark(session, "texts:accepted_twice", now, add=1)


def _arriving(session: Session, plan_item_ids: Sequence[str]) -> list[str]:
    """Those whose text was not reported as undelivered before we could write that it was accepted."""
    found = session.exec(
        select(OutboundMessage.plan_item_id).where(
            col(OutboundMessage.plan_item_id).in_(plan_item_ids),
            OutboundMessage.kind == "check_in",
            col(OutboundMessage.status).in_(("accepted", "sent", "delivered")),
        )
    )
    return [item_id for item_id in found if item_id]


def open_questions(session: Session, runtime: Runtime, plan_item_ids: Sequence[str], now: datetime) -> None:
    """A fault in the plan must not undo the fact that the carrier has the texts."""
    if not plan_item_ids:
        return
    try:
        with session.begin_nested():
            plan.texts_sent(session, runtime, plan_item_ids, now)
            session.flush()
    except SQLAlchemyError:
        raise
    except Exception as error:
        log.error("%d questions could not be opened: %s", len(plan_item_ids), type(error).__name__)


def _accept_without_sid(runtime: Runtime, claimed: Claimed, now: datetime) -> None:
    """The carrier gave an id that another text has: the text is with it all the same."""
    log.error("the carrier gave text %s an id that another text has", claimed.id)
    with session_on(runtime.engine) as session:
        row = session.get(OutboundMessage, claimed.id, with_for_update=True)
        if row is not None and row.accepted_at is None:
            row.status, row.accepted_at, row.why = "accepted", now, "the carrier repeated an id"
            row.lease_until, row.claimed_by = None, None
            session.add(row)
            if claimed.plan_item_id:
                open_questions(session, runtime, [claimed.plan_item_id], now)
        session.commit()


def write_refused(runtime: Runtime, claimed: Claimed, code: str, now: datetime) -> bool:
    """The carrier will never take this text: fate and task in one transaction. Commits."""
    with session_on(runtime.engine) as session:
        row = held(session, claimed)
        if row is not None:
            fates.fail(session, runtime, row, code, now)
        session.commit()
    return row is not None


def held(session: Session, claimed: Claimed) -> OutboundMessage | None:
    """The row, locked, if this claim still holds it."""
    return session.exec(
        select(OutboundMessage)
        .where(
            OutboundMessage.id == claimed.id,
            OutboundMessage.fence == claimed.fence,
            OutboundMessage.status == "claimed",
        )
        .with_for_update()
    ).first()


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A claimed text that was surely not processed: due again at ``due_at``, with the carrier's code."""

    claimed: Claimed
    due_at: datetime
    code: str | None = None
    why: str | None = None
    offered: bool = True


def write_given_back(session: Session, runtime: Runtime, given: Sequence[GivenBack], now: datetime) -> None:
    """Put texts back into the queue as far as the claims still hold. No commit.

    A text that waits for our own settings to be mended tells the team with its first refusal.
    """
    for back in given:
        if back.claimed.attempts == 1 and lookup(back.code).lasting == "setting":
            row = held(session, back.claimed)
            if row is not None:
                fates.delay(session, runtime, row, back.code or "", now)
        session.execute(
            _while_held(back.claimed).values(
                status="planned",
                claimed_by=None,
                lease_until=None,
                dispatched_at=None,
                due_at=back.due_at,
                attempts=back.claimed.attempts if back.offered else back.claimed.attempts - 1,
                error_code=back.code or None,
                why=back.why,
            )
        )


def write_unknown(session: Session, claimed: Claimed, why: str, look_at: datetime) -> bool:
    """Nobody knows what became of it: look it up at ``look_at``, repeat nothing before. No commit."""
    result = session.execute(
        _while_held(claimed).values(status="unknown", claimed_by=None, lease_until=look_at, why=why)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _while_held(claimed: Claimed) -> Update:
    return (
        update(OutboundMessage)
        .where(
            col(OutboundMessage.id) == claimed.id,
            col(OutboundMessage.fence) == claimed.fence,
            col(OutboundMessage.status) == "claimed",
        )
        .execution_options(synchronize_session=False)
    )
