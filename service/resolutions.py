"""How an escalation ends: resolved with disposition and note, called a false alarm, or opened again."""

from datetime import datetime

from sqlmodel import Session, col, select

from messages.escalation import clocks
from messages.site import Site
from messages.urgency import Urgency
from service import audit, planning
from service.escalation_acts import done
from service.escalation_rows import (
    ContactNeeded,
    InvalidAct,
    WrongState,
    free_codes,
    locked,
    restart_ladder,
    set_clocks,
    with_public_holidays,
)
from service.models import Enrollment, Escalation, LabelledCase, StoredAssessment

DISPOSITIONS = (
    "sent_to_ed",
    "seen_today",
    "advice_given",
    "expected_recovery",
    "false_alarm",
    "could_not_reach",
    "deceased",
    "other",
)
WITHOUT_CONTACT = ("false_alarm", "sent_to_ed", "deceased")
TRIES_ENOUGH = 3


def resolve(
    session: Session,
    *,
    now: datetime,
    site: Site,
    escalation_id: str,
    actor: str,
    disposition: str,
    note: str,
    withdraw_reason: str | None = None,
) -> Escalation:
    """End an escalation with what became of the patient and a note. Commits.

    Check-ins that an emergency held back go on by themselves; with ``withdraw_reason`` the patient's courses
    end instead. A patient who has died is never texted again.
    Urgent and emergency ones need a recorded contact, unless the disposition stands without one (false
    alarm, sent to the ED, deceased, not reached in three tries). Raises InvalidAct, WrongState,
    ContactNeeded.
    """
    if disposition not in DISPOSITIONS:
        raise InvalidAct("disposition", f"disposition must be one of {', '.join(DISPOSITIONS)}.")
    if not note or not note.strip():
        raise InvalidAct("note", "A note is needed: one sentence on what was found or done.")
    row = locked(session, escalation_id)
    if row.status == "resolved":
        raise WrongState("It is resolved already.")
    if Urgency(row.urgency) >= Urgency.URGENT and row.contacted_at is None:
        if disposition == "could_not_reach" and row.contact_tries < TRIES_ENOUGH:
            raise ContactNeeded(
                f"{row.contact_tries} of {TRIES_ENOUGH} tries to reach the patient are recorded; "
                "record each try as a contact first."
            )
        if disposition not in (*WITHOUT_CONTACT, "could_not_reach"):
            raise ContactNeeded("Record how the patient was reached first: no contact is on this escalation.")
    row.status = "resolved"
    row.resolved_by, row.resolved_at, row.disposition, row.note = actor, now, disposition, note.strip()
    row.acknowledgement_expires_at = row.next_event_at = None
    if disposition == "deceased" or withdraw_reason:
        _withdraw_courses(session, row, now, actor, withdraw_reason or "deceased")
    return done(session, row, now, "resolved", actor, disposition=disposition)


def _withdraw_courses(session: Session, row: Escalation, now: datetime, actor: str, reason: str) -> None:
    courses = session.exec(
        select(Enrollment)
        .where(Enrollment.patient_id == row.patient_id, col(Enrollment.status).in_(("active", "paused")))
        .order_by(Enrollment.id)
        .with_for_update()
    ).all()
    for course in courses:
        course.status, course.withdrawn_at, course.withdrawn_reason = "withdrawn", now, reason
        planning.cancel(session, course, "withdrawn", now)
        session.add(course)
        audit.record(
            session,
            now=now,
            actor=actor,
            action="withdraw enrollment",
            subject_kind="enrollment",
            subject_id=course.id,
        )


def reopen(
    session: Session, *, now: datetime, site: Site, escalation_id: str, actor: str, reason: str | None = None
) -> Escalation:
    """Open a resolved escalation again, with fresh clocks and ladder. Commits.

    Raises WrongState when it is not resolved, or when the same patient has an unresolved one by now.
    """
    row = locked(session, escalation_id)
    if row.status != "resolved":
        raise WrongState("Only a resolved escalation can be reopened.")
    other = session.exec(
        select(Escalation).where(
            Escalation.subject == row.subject, Escalation.kind == row.kind, Escalation.status != "resolved"
        )
    ).one_or_none()
    if other is not None:
        raise WrongState(f"Escalation {other.code} of the same patient is open already; go on with that one.")
    row.code = free_codes(session, 1)[0]
    row.status = "open"
    row.acknowledged_by = row.acknowledged_at = None
    row.contacted_by = row.contacted_at = row.contact_method = None
    row.resolved_by = row.resolved_at = row.disposition = row.note = None
    restart_ladder(row, site)
    set_clocks(row, clocks(with_public_holidays(site, now), Urgency(row.urgency), now))
    return done(session, row, now, "reopened", actor, reason=reason)


def false_alarm(
    session: Session,
    *,
    now: datetime,
    site: Site,
    escalation_id: str,
    actor: str,
    should_be: str = "none",
    note: str | None = None,
) -> Escalation:
    """One click: the text was read wrongly. Keeps a labelled case for the bank and resolves. Commits.

    ``should_be`` is the urgency a person gives the text. Raises InvalidAct, WrongState.
    """
    if should_be not in tuple(Urgency):
        raise InvalidAct("should_be", f"should_be must be one of {', '.join(Urgency)}.")
    row = locked(session, escalation_id)
    if row.status == "resolved":
        raise WrongState("It is resolved already.")
    if row.reply_id is not None:
        read = session.exec(select(StoredAssessment).where(StoredAssessment.reply_id == row.reply_id)).first()
        session.add(
            LabelledCase(
                reply_id=row.reply_id,
                escalation_id=row.id,
                asked=read.asked if read else None,
                read_as=row.urgency,
                should_be=should_be,
                note=note,
                member=actor,
                at=now,
            )
        )
    words = note or f"Read as {row.urgency}; a person reads it as {should_be}."
    return resolve(
        session,
        now=now,
        site=site,
        escalation_id=escalation_id,
        actor=actor,
        disposition="false_alarm",
        note=words,
    )
