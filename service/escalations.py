"""Escalations: opening one, joining what else the same patient says, and what an open one stops.

What members do with them is in ``service.escalation_acts`` and offered here too, under one name.
Building blocks do not commit; acts do.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from messages.escalation import Clocks, clocks, sooner
from messages.site import Site
from messages.urgency import Urgency
from service.escalation_acts import (
    METHODS,
    acknowledge,
    contact,
    expire_acknowledgement,
    hand_over,
    note,
    take_over,
)
from service.escalation_rows import (
    ContactNeeded,
    EscalationError,
    HeldByOther,
    InvalidAct,
    UnknownEscalation,
    WrongState,
    free_code,
    locked,
    restart_ladder,
    set_clocks,
    timeline,
    with_public_holidays,
    write_event,
)
from service.keyring import Unreadable
from service.models import DEFAULT_TEAM, Enrollment, Escalation, OutboundMessage, Patient
from service.resolutions import DISPOSITIONS, false_alarm, reopen, resolve
from service.seals import hashed

__all__ = [
    "DISPOSITIONS",
    "METHODS",
    "ContactNeeded",
    "EscalationError",
    "HeldByOther",
    "InvalidAct",
    "UnknownEscalation",
    "WrongState",
    "acknowledge",
    "cannot_be_texted",
    "contact",
    "expire_acknowledgement",
    "false_alarm",
    "hand_over",
    "locked",
    "note",
    "open_escalation",
    "pauses_check_ins",
    "reopen",
    "resolve",
    "take_over",
    "timeline",
    "unresolved",
]

# What a patient said is one conversation and one escalation; every other reason has its own.
CLINICAL = frozenset(
    {
        "red_flag",
        "not_understood",
        "question",
        "triage_failed",
        "unknown_number",
        "answer",
        "ended_enrollment",
        "opted_out_reply",
    }
)
MOST_FINDINGS = 60
CHAT_LASTS = timedelta(minutes=60)


def open_escalation(
    session: Session,
    *,
    now: datetime,
    site: Site,
    reason: str,
    urgency: Urgency,
    patient_id: str | None = None,
    enrollment_id: str | None = None,
    phone: str | None = None,
    reply_id: str | None = None,
    findings: Sequence[Mapping[str, Any]] = (),
    summary: str | None = None,
    due_by: datetime | None = None,
    actor: str = "aftercare",
) -> Escalation:
    """Open an escalation, or join the unresolved one of the same subject and kind. Does not commit.

    The subject is the patient, or the phone of somebody unknown (its keyed hash). A joined escalation is
    raised when ``urgency`` is higher, never lowered; its clocks never get longer. ``due_by``: when a person
    must have dealt with it, instead of the targets of its urgency. ``summary`` holds our own words, never
    the patient's.
    """
    # A phone that cannot be read (its key is lost) still tells one stranger from another.
    number = phone.stored if isinstance(phone, Unreadable) else phone
    subject = patient_id or (hashed(session, "phone", number) if number else None)
    if subject is None:
        raise ValueError("an escalation needs a patient or a phone")
    kind = "clinical" if reason in CLINICAL else reason
    team_id = _team_of(session, patient_id)
    times = clocks(with_public_holidays(site, now), urgency, now, due_by)
    existing = unresolved(session, subject, kind)
    if existing is None:
        fresh = Escalation(
            code=free_code(session),
            subject=subject,
            kind=kind,
            team_id=team_id,
            patient_id=patient_id,
            enrollment_id=enrollment_id,
            phone=phone,
            reply_id=reply_id,
            urgency=str(urgency),
            urgency_rank=urgency.rank,
            reason=reason,
            summary=summary,
            findings=[dict(finding) for finding in findings][:MOST_FINDINGS],
            opened_at=now,
            raised_at=now,
            acknowledge_by=times.acknowledge_by,
            contact_by=times.contact_by,
            ladder_started_at=times.page_at,
            next_event_at=times.page_at,
        )
        restart_ladder(fresh, site)
        try:
            with session.begin_nested():
                session.add(fresh)
                session.flush()
        except IntegrityError:  # another process opened it between our look and our insert
            existing = unresolved(session, subject, kind)
            if existing is None:
                raise
        else:
            write_event(
                session,
                fresh,
                now=now,
                kind="opened",
                actor=actor,
                reason=reason,
                urgency=str(urgency),
                reply_id=reply_id,
            )
            session.flush()
            return fresh
    _join(session, existing, now, site, reason, urgency, times, reply_id, findings, summary, actor)
    return existing


def _team_of(session: Session, patient_id: str | None) -> str:
    """The patient's team, held so that nobody moves the patient before this transaction ends."""
    if patient_id is None:
        return DEFAULT_TEAM
    team_id = select(Patient.team_id).where(Patient.id == patient_id).with_for_update(read=True)
    return session.exec(team_id).one_or_none() or DEFAULT_TEAM


def unresolved(session: Session, subject: str, kind: str) -> Escalation | None:
    """The one unresolved escalation of a subject (patient id or phone) and kind, locked; None if there is
    none."""
    return session.exec(
        select(Escalation)
        .where(Escalation.subject == subject, Escalation.kind == kind, Escalation.status != "resolved")
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def _join(
    session: Session,
    row: Escalation,
    now: datetime,
    site: Site,
    reason: str,
    urgency: Urgency,
    times: Clocks,
    reply_id: str | None,
    findings: Sequence[Mapping[str, Any]],
    summary: str | None,
    actor: str,
) -> None:
    """More of the same. A higher urgency, or a red flag after somebody spoke with the patient, opens it
    anew."""
    raised = urgency > Urgency(row.urgency)
    again = row.status == "contacted" and urgency >= Urgency.URGENT
    if reply_id is not None and (raised or row.reply_id is None or reason == "red_flag" != row.reason):
        row.reply_id = reply_id
    if reason == "red_flag":
        row.reason = reason
    row.findings = [*row.findings, *(dict(finding) for finding in findings)][:MOST_FINDINGS]
    row.summary = row.summary or summary
    if raised:
        row.urgency, row.urgency_rank, row.raised_at = str(urgency), urgency.rank, now
    if raised or again:
        _tell_anew(row, site, times, keep_contact=False)
    elif row.status == "open":
        standing = Clocks(row.ladder_started_at, row.acknowledge_by, row.contact_by)
        stricter = sooner(standing, times)
        row.acknowledge_by, row.contact_by = stricter.acknowledge_by, stricter.contact_by
        if stricter.page_at < row.ladder_started_at:
            row.ladder_started_at = stricter.page_at
            row.next_event_at = min(row.next_event_at or now, stricter.page_at)
    write_event(
        session,
        row,
        now=now,
        kind="raised" if raised else "joined",
        actor=actor,
        reason=reason,
        urgency=str(urgency),
        reply_id=reply_id,
    )
    session.flush()


def _tell_anew(row: Escalation, site: Site, times: Clocks, keep_contact: bool) -> None:
    """Open again for whoever is on call, and for the one who held it."""
    also = [row.acknowledged_by] if row.acknowledged_by else []
    if row.status == "open":  # an earlier deadline that is already running stays
        times = Clocks(
            times.page_at,
            min(times.acknowledge_by, row.acknowledge_by),
            min(times.contact_by, row.contact_by),
        )
    row.status = "open"
    row.acknowledged_by = row.acknowledged_at = row.acknowledgement_expires_at = None
    if not keep_contact:
        row.contacted_by = row.contacted_at = row.contact_method = None
    restart_ladder(row, site, also)
    set_clocks(row, times)


def cannot_be_texted(session: Session, *, now: datetime, escalation_id: str, code: str | None = None) -> None:
    """The carrier refused our answer (opted out, no such phone): note on the escalation that only a call
    helps.

    Opens nothing new. Does not commit.
    """
    row = session.get(Escalation, escalation_id, with_for_update=True)
    if row is None or row.cannot_be_texted:
        return
    row.cannot_be_texted = True
    write_event(session, row, now=now, kind="cannot_be_texted", actor="aftercare", code=code)


def pauses_check_ins(
    session: Session, enrollment_ids: Collection[str], now: datetime | None = None
) -> set[str]:
    """The enrollments among these whose routine check-ins wait: an emergency of their patient is unresolved,
    or a member wrote to them within the last hour (only when ``now`` is given). Safety answers and the
    welcome never wait."""
    if not enrollment_ids:
        return set()
    wanted = col(Enrollment.id).in_(enrollment_ids)
    emergencies = session.exec(
        select(Enrollment.id)
        .join(Escalation, col(Escalation.patient_id) == Enrollment.patient_id)
        .where(wanted, Escalation.status != "resolved", Escalation.urgency == str(Urgency.EMERGENCY))
    )
    paused = set(emergencies)
    if now is not None:
        chatting = session.exec(
            select(Enrollment.id)
            .join(OutboundMessage, col(OutboundMessage.patient_id) == Enrollment.patient_id)
            .where(
                wanted,
                OutboundMessage.kind == "member",
                OutboundMessage.created_at > now - CHAT_LASTS,
                OutboundMessage.created_at <= now,
            )
        )
        paused.update(chatting)
    return paused
