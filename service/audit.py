"""The audit trail: every look at and act on patient data. Rows are only ever added."""

from datetime import datetime
from typing import Any

from sqlmodel import Session

from service.models import AuditEvent

SYSTEM = "aftercare"


def made(
    *,
    now: datetime,
    actor: str,
    action: str,
    subject_kind: str | None = None,
    subject_id: str | None = None,
    address: str | None = None,
    detail: dict[str, Any] | None = None,
) -> AuditEvent:
    """One row that is not stored yet.

    ``actor`` is a member's e-mail, a token's name or ``aftercare``; ``action`` a verb with its noun such as
    ``view patient``. ``detail`` holds ids and words of our own, never what a patient wrote.
    """
    return AuditEvent(
        at=now,
        actor=actor,
        action=action,
        subject_kind=subject_kind,
        subject_id=subject_id,
        address=address,
        detail=detail,
    )


def record(session: Session, **act: Any) -> AuditEvent:
    """Add one row (see ``made``) to the caller's transaction; the caller commits."""
    event = made(**act)
    session.add(event)
    return event
