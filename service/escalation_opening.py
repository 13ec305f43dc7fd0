"""Opening an escalation, or joining the unresolved one of the same subject. Nothing here commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from messages.escalation import Clocks, clocks, sooner
from messages.site import Site
from messages.urgency import Urgency
from service.escalation_rows import free_codes, new_event, restart_ladder, set_clocks, with_public_holidays
from service.keyring import Unreadable
from service.models import DEFAULT_TEAM, Escalation, EscalationEvent, Patient
from service.seals import hashed

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
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Why a person is needed, about whom, how fast.

    ``subject``: the patient's id, or the keyed hash of a phone that is nobody's.
    ``due_by``: when a person must have dealt with it, instead of the targets of its urgency. ``summary``
    holds our own words, never the patient's. ``team_id``: the patient's team, held by the caller.
    """

    subject: str
    now: datetime
    site: Site
    reason: str
    urgency: Urgency
    patient_id: str | None = None
    enrollment_id: str | None = None
    phone: str | None = None
    reply_id: str | None = None
    findings: Sequence[Mapping[str, Any]] = ()
    summary: str | None = None
    due_by: datetime | None = None
    team_id: str = DEFAULT_TEAM
    actor: str = "aftercare"

    @property
    def kind(self) -> str:
        return "clinical" if self.reason in CLINICAL else self.reason

    @property
    def clocks(self) -> Clocks:
        return clocks(with_public_holidays(self.site, self.now), self.urgency, self.now, self.due_by)


def open_escalation(session: Session, **given: Any) -> Escalation:
    """Open an escalation, or join the unresolved one of the same subject and kind. Takes what ``Opening``
    holds but for subject and team, which follow from patient or phone. Does not commit.

    A joined escalation is raised when the urgency is higher, never lowered; its clocks never get longer.
    """
    patient_id, phone = given.get("patient_id"), given.get("phone")
    # A phone that cannot be read (its key is lost) still tells one stranger from another.
    number = phone.stored if isinstance(phone, Unreadable) else phone
    subject = patient_id or (hashed(session, "phone", number) if number else None)
    if subject is None:
        raise ValueError("an escalation needs a patient or a phone")
    opening = Opening(**given, subject=subject, team_id=_team_of(session, patient_id))
    for left in reversed(range(TRIES)):
        row = unresolved(session, opening.subject, opening.kind)
        if row is not None:
            break
        fresh = fresh_row(opening, free_codes(session, 1)[0])
        try:
            with session.begin_nested():
                session.add(fresh)
                session.flush()
        except IntegrityError:  # between our look and our insert another process opened it, or took the code
            if not left:
                raise
        else:
            session.add(event_of(fresh, "opened", opening))
            session.flush()
            return fresh
    assert row is not None
    session.add_all([row, event_of(row, join(row, opening), opening)])
    session.flush()
    return row


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


def fresh_row(opening: Opening, code: str) -> Escalation:
    """A new escalation as a row that is not stored yet; its line in the timeline is ``event_of``."""
    times = opening.clocks
    row = Escalation(
        code=code,
        subject=opening.subject,
        kind=opening.kind,
        team_id=opening.team_id,
        patient_id=opening.patient_id,
        enrollment_id=opening.enrollment_id,
        phone=opening.phone,
        reply_id=opening.reply_id,
        urgency=str(opening.urgency),
        urgency_rank=opening.urgency.rank,
        reason=opening.reason,
        summary=opening.summary,
        findings=[dict(finding) for finding in opening.findings][:MOST_FINDINGS],
        opened_at=opening.now,
        raised_at=opening.now,
        acknowledge_by=times.acknowledge_by,
        contact_by=times.contact_by,
        ladder_started_at=times.page_at,
        next_event_at=times.page_at,
    )
    restart_ladder(row, opening.site)
    return row


def join(row: Escalation, opening: Opening) -> str:
    """More of the same, written into the locked row; what to call it in the timeline: raised or joined.

    A higher urgency, or a red flag after somebody spoke with the patient, opens it anew.
    """
    urgency, times = opening.urgency, opening.clocks
    raised = urgency > Urgency(row.urgency)
    again = row.status == "contacted" and urgency >= Urgency.URGENT
    is_red_flag = opening.reason == "red_flag"
    if opening.reply_id is not None and (
        raised or row.reply_id is None or (is_red_flag and row.reason != "red_flag")
    ):
        row.reply_id = opening.reply_id
    if is_red_flag:
        row.reason = opening.reason
    row.findings = [*row.findings, *(dict(finding) for finding in opening.findings)][:MOST_FINDINGS]
    row.summary = row.summary or opening.summary
    if raised:
        row.urgency, row.urgency_rank, row.raised_at = str(urgency), urgency.rank, opening.now
    if raised or again:
        _tell_anew(row, opening.site, times)
    elif row.status == "open":
        standing = Clocks(row.ladder_started_at, row.acknowledge_by, row.contact_by)
        stricter = sooner(standing, times)
        row.acknowledge_by, row.contact_by = stricter.acknowledge_by, stricter.contact_by
        if stricter.page_at < row.ladder_started_at:
            row.ladder_started_at = stricter.page_at
            row.next_event_at = min(row.next_event_at or opening.now, stricter.page_at)
    return "raised" if raised else "joined"


def _tell_anew(row: Escalation, site: Site, times: Clocks) -> None:
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
    row.contacted_by = row.contacted_at = row.contact_method = None
    restart_ladder(row, site, also)
    set_clocks(row, times)


def event_of(row: Escalation, kind: str, opening: Opening) -> EscalationEvent:
    """The line in the timeline of an escalation that was opened, raised or joined, to be stored after it."""
    return new_event(
        row,
        now=opening.now,
        kind=kind,
        actor=opening.actor,
        reason=opening.reason,
        urgency=str(opening.urgency),
        reply_id=opening.reply_id,
    )
