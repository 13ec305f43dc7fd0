"""Asking us to stop, and to start again: obeyed at once, and always left with the team as well."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from messages.escalation import morning_after
from messages.reply import carrier_word, free_text_opt_out
from messages.urgency import Urgency
from service import audit, escalations, planning
from service.models import Escalation, PhoneState, Reply
from service.reading import FIRST_DAYS, Reading
from service.runtime import Runtime
from service.surroundings import Sender

# The carrier answers these by itself, in English; anything we sent besides would be a second answer.
ANSWERED_BY_CARRIER = frozenset(
    """stop stopall unsubscribe end quit cancel revoke optout start unstop help info""".split()
)


def wish_of(reply: Reply) -> str | None:
    """``stop``, ``start``, ``help``, or ``stop_sentence`` (asked in the person's own words); None: neither.

    The carrier's own verdict counts only where the text is no answer to anything (YES may be START to a
    carrier).
    """
    word = carrier_word(reply.body)
    if word is not None:
        return word
    given = (reply.opt_out_type or "").lower()
    if given in ("stop", "help"):
        return given
    return "stop_sentence" if free_text_opt_out(reply.body) else None


def answered_by_carrier(reply: Reply) -> bool:
    """Whether the carrier has sent its own answer to this keyword."""
    word = reply.body.strip().strip(".!\"'").lower()
    return reply.opt_out_type is not None or word in ANSWERED_BY_CARRIER


def obey_stop(
    session: Session,
    runtime: Runtime,
    reply: Reply,
    state: PhoneState,
    readings: Sequence[tuple[Sender | None, Reading]],
    now: datetime,
) -> list[Escalation]:
    """No more check-ins to this phone from now on; the team is asked to phone each patient. Does not commit.

    Planned check-ins are cancelled at once; START plans those again that are still to come. On days 0-3 the
    call is due by the next morning, weekends too.
    """
    state.opted_out_at = state.opted_out_at or now
    session.add(state)
    planning.fall_silent(session, reply.from_phone, now)
    opened = []
    for sender, reading in readings:
        if sender is None or not sender.running:
            continue
        early = reading.day is not None and reading.day <= FIRST_DAYS
        opened.append(
            escalations.open_escalation(
                session,
                now=now,
                site=runtime.site,
                reason="opt_out",
                urgency=Urgency.URGENT if early else Urgency.ROUTINE,
                due_by=morning_after(now, runtime.site, sender.patient.timezone) if early else None,
                patient_id=sender.patient.id,
                enrollment_id=sender.enrollment.id if sender.enrollment else None,
                reply_id=reply.id,
                summary="The carer asked for no more texts."
                if sender.caregiver
                else "Asked for no more texts. Phone the patient: texts no longer reach them.",
            )
        )
    _record(session, reply, "opt out", now)
    return opened


def obey_start(
    session: Session,
    runtime: Runtime,
    reply: Reply,
    state: PhoneState,
    readings: Sequence[tuple[Sender | None, Reading]],
    now: datetime,
) -> list[Escalation]:
    """Texts may reach this phone again; check-ins stay paused until the team has confirmed. Does not
    commit."""
    state.opted_out_at = None
    session.add(state)
    opened = []
    for sender, _ in readings:
        if sender is None or not sender.running or sender.caregiver:
            continue
        for course in sender.running:
            course.status, course.paused_at = "paused", now
            course.paused_reason = "started again after opting out: the team confirms first"
            session.add(course)
            planning.speak_again(session, runtime, course, sender.patient, now)
        opened.append(
            escalations.open_escalation(
                session,
                now=now,
                site=runtime.site,
                reason="opt_in",
                urgency=Urgency.ROUTINE,
                patient_id=sender.patient.id,
                enrollment_id=sender.enrollment.id if sender.enrollment else None,
                reply_id=reply.id,
                summary="Wants check-ins again. Confirm with the patient, then resume.",
            )
        )
    _record(session, reply, "opt in", now)
    return opened


def _record(session: Session, reply: Reply, action: str, now: datetime) -> None:
    audit.record(
        session, now=now, actor=audit.SYSTEM, action=action, subject_kind="reply", subject_id=reply.id
    )
