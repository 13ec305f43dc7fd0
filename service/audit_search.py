"""Finding rows of the audit trail, and handing them out; whoever takes them is in it too."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, true
from sqlmodel import Session, col, select

from service import audit, harmless
from service.db import reading, session_on
from service.instants import zulu
from service.models import AuditEvent, Enrollment, Escalation, OutboundMessage, Reply
from service.runtime import Runtime

FORMATS = ("csv", "jsonl")
COLUMNS = "at actor action subject_kind subject_id address detail seal_number seal".split()
BATCH = 1000


@dataclass(frozen=True)
class Wanted:
    """What to look for; empty: anything. ``who``, ``what``: part of the actor or action. ``about``: the id of
    a patient (with everything that is theirs) or of any other row. Times aware UTC, ``until`` left out."""

    who: str = ""
    what: str = ""
    kind: str = ""
    about: str = ""
    words: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def named(self) -> dict[str, str]:
        """Which of these were given: for the audit trail, which repeats no words."""
        return {
            name: zulu(value) if isinstance(value, datetime) else "given"
            for name in self.__dataclass_fields__
            if (value := getattr(self, name))
        }


def condition(wanted: Wanted) -> ColumnElement[bool]:
    """The condition on ``AuditEvent``."""
    parts: list[ColumnElement[bool]] = [true()]
    if wanted.who:
        parts.append(_like(AuditEvent.actor, wanted.who))
    if wanted.what:
        parts.append(_like(AuditEvent.action, wanted.what))
    if wanted.kind:
        parts.append(col(AuditEvent.subject_kind) == wanted.kind)
    if wanted.about:
        parts.append(_about(wanted.about))
    if wanted.words:
        near = (_like(AuditEvent.actor, wanted.words), _like(AuditEvent.action, wanted.words))
        parts.append(or_(*near, col(AuditEvent.subject_id) == wanted.words))
    if wanted.since:
        parts.append(col(AuditEvent.at) >= wanted.since)
    if wanted.until:
        parts.append(col(AuditEvent.at) < wanted.until)
    return and_(*parts)


def _like(column: Any, words: str) -> ColumnElement[bool]:
    likeness = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return col(column).ilike(f"%{likeness}%", escape="\\")


def _about(row_id: str) -> ColumnElement[bool]:
    subject = col(AuditEvent.subject_id)
    theirs = [
        subject.in_(select(model.id).where(col(model.patient_id) == row_id))
        for model in (Enrollment, Escalation, Reply, OutboundMessage)
    ]
    return or_(subject == row_id, *theirs)


def newest(
    session: Session, where: ColumnElement[bool], limit: int, before: tuple[datetime, str] | None = None
) -> list[AuditEvent]:
    """Rows before a place, newest first."""
    query = select(AuditEvent).where(where)
    if before is not None:
        at, event_id = before
        earlier = (col(AuditEvent.at) == at) & (col(AuditEvent.id) < event_id)
        query = query.where(or_(col(AuditEvent.at) < at, earlier))
    return list(
        session.exec(query.order_by(col(AuditEvent.at).desc(), col(AuditEvent.id).desc()).limit(limit))
    )


def note_export(
    runtime: Runtime, wanted: Wanted, *, now: datetime, actor: str, fmt: str, address: str | None = None
) -> None:
    """Write down that somebody takes a part of the trail. Commits."""
    with session_on(runtime.engine) as session:
        audit.record(
            session, now=now, actor=actor, action="export audit trail", subject_kind="audit",
            address=address, detail={"format": fmt, **wanted.named},
        )  # fmt: skip
        session.commit()


def export(runtime: Runtime, where: ColumnElement[bool], fmt: str) -> Iterator[str]:
    """The rows, oldest first, as CSV (guarded against formulas) or one JSON object a line; batch by batch."""
    if fmt == "csv":
        yield harmless.table(COLUMNS, [])
    place: tuple[datetime, str] | None = None
    while True:
        query = select(AuditEvent).where(where).order_by(col(AuditEvent.at), col(AuditEvent.id)).limit(BATCH)
        if place is not None:
            later = (col(AuditEvent.at) == place[0]) & (col(AuditEvent.id) > place[1])
            query = query.where(or_(col(AuditEvent.at) > place[0], later))
        with reading(runtime.engine) as session:
            rows = session.exec(query).all()
        if rows:
            yield "".join(_line(row, fmt) for row in rows)
            place = (rows[-1].at, rows[-1].id)
        if len(rows) < BATCH:
            return


def _line(row: AuditEvent, fmt: str) -> str:
    values = {name: getattr(row, name) for name in COLUMNS}
    if fmt == "csv":
        detail = json.dumps(row.detail) if row.detail else None
        return harmless.rows([[*(values | {"detail": detail}).values()]])
    return json.dumps({"id": row.id, **values, "at": zulu(row.at)}, ensure_ascii=True) + "\n"
