"""Taking the words out of a text that should not be here: sent by or to the wrong person.

What stays: that there was a text, when, from which row, how urgent it was read, what was done about it. What
goes: its words, pictures and scores, and every place that repeats the words.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session, col, or_, select

from service import audit, carrier_redaction, legal_holds, second_tries
from service.models import Escalation, LabelledCase, OutboundMessage, Redaction, Reply, StoredAssessment
from service.redacted_words import (
    MARKER,
    cleaned,
    clear_answers_kept,
    clear_assessments,
    clear_findings,
    clear_notes,
)
from service.runtime import Runtime

REASONS = ("wrong_person", "wrong_number", "someone_elses_data", "asked_by_patient", "other")
DONE_STATES = ("accepted", "sent", "delivered", "undelivered", "failed", "expired", "cancelled")
PHRASE = 3  # words; a shorter finding ("numb") stands in notes about other texts too


class RedactionRefused(Exception):
    """The text cannot be redacted now; the message says why."""


def redact_reply(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    reply_id: str,
    why: str,
    actor: str,
    address: str | None = None,
) -> Redaction:
    """Redact a text from a phone and commit. Again: nothing changes.

    Raises LookupError for an unknown text, ValueError for an unknown reason, RedactionRefused when it is not
    read yet or a legal hold stands.
    """
    _refuse_unknown(why)
    reply = session.get(Reply, reply_id, with_for_update=True)
    if reply is None:
        raise LookupError("There is no such text.")
    done = session.exec(select(Redaction).where(Redaction.reply_id == reply_id)).one_or_none()
    if done is not None:
        return done
    if reply.triaged_at is None:
        raise RedactionRefused("This text is not read yet: it must reach a person first.")
    owners = _owners(session, reply)
    _refuse_held(session, owners)
    body, had_media = reply.body, bool(reply.media)
    reply.body, reply.media = MARKER, None
    session.add(reply)
    cleared = clear_assessments(session, reply, body)
    phrases = {finding[-1] for finding in cleared if len(finding[-1].split()) >= PHRASE}
    gone = sorted({body, *phrases}, key=len, reverse=True)
    wanted = [Escalation.reply_id == reply.id]
    wanted.append(
        col(Escalation.patient_id).in_(owners) if owners else col(Escalation.subject) == reply.from_phone
    )
    rows = session.exec(select(Escalation).where(or_(*wanted))).all()
    clear_findings(session, rows, cleared)
    clear_notes(session, rows, gone)
    _clear_cases(session, reply, rows, gone)
    made = Redaction(reply_id=reply.id, why=why, by=actor, at=now)
    subject = ("patient", reply.patient_id) if reply.patient_id else ("reply", reply.id)
    return _finish(
        session, runtime, made, reply.carrier_sid, had_media, subject, {"reply": reply.id}, gone, address
    )


def redact_message(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    message_id: str,
    why: str,
    actor: str,
    address: str | None = None,
) -> Redaction:
    """Redact a text of ours and commit. The same errors; one that is still on its way cannot be redacted."""
    _refuse_unknown(why)
    message = session.get(OutboundMessage, message_id, with_for_update=True)
    if message is None or message.kind == "page":
        raise LookupError("There is no such text.")
    done = session.exec(select(Redaction).where(Redaction.message_id == message_id)).one_or_none()
    if done is not None:
        return done
    if message.status not in DONE_STATES and not (message.status == "unknown" and message.settled_at):
        raise RedactionRefused("This text is still on its way: redact it when it has arrived or failed.")
    if not second_tries.withhold(session, message, MARKER, now):
        raise RedactionRefused("This text is being sent once more: redact both when that is done.")
    owners = {message.patient_id} if message.patient_id else set()
    _refuse_held(session, owners)
    gone, message.body = [message.body], MARKER
    session.add(message)
    wanted = [Escalation.id == message.escalation_id, col(Escalation.patient_id).in_(owners)]
    clear_notes(session, session.exec(select(Escalation).where(or_(*wanted))).all(), gone)
    made = Redaction(message_id=message.id, why=why, by=actor, at=now)
    subject = ("patient", message.patient_id) if message.patient_id else ("message", message.id)
    return _finish(
        session, runtime, made, message.carrier_sid, False, subject, {"message": message.id}, gone, address
    )


def _refuse_unknown(why: str) -> None:
    if why not in REASONS:
        raise ValueError(f"why must be one of {', '.join(REASONS)}")


def _owners(session: Session, reply: Reply) -> set[str]:
    """Every patient this reply was read for: two may share a phone."""
    read_for = session.exec(select(StoredAssessment.patient_id).where(StoredAssessment.reply_id == reply.id))
    return {owner for owner in (*read_for, reply.patient_id) if owner}


def _refuse_held(session: Session, patients: Iterable[str]) -> None:
    if any(legal_holds.standing(session, patient) for patient in patients):
        raise RedactionRefused("This record is on legal hold: nothing in it may be redacted.")


def _clear_cases(session: Session, reply: Reply, rows: Iterable[Escalation], gone: list[str]) -> None:
    """Notes of texts that were marked as read wrongly."""
    about = col(LabelledCase.escalation_id).in_([row.id for row in rows])
    for case in session.exec(select(LabelledCase).where(or_(LabelledCase.reply_id == reply.id, about))):
        case.note = cleaned(case.note, gone)
        session.add(case)


def _finish(
    session: Session,
    runtime: Runtime,
    made: Redaction,
    carrier_sid: str | None,
    had_media: bool,
    subject: tuple[str, str | None],
    text: dict[str, str],
    gone: list[str],
    address: str | None,
) -> Redaction:
    """The row that says so, answers kept for repeats, the carrier's copy, the audit trail; and commit."""
    session.add(made)
    clear_answers_kept(session, gone)
    if carrier_sid:
        carrier_redaction.queue_texts(session, runtime, [(carrier_sid, had_media)], made.at)
    audit.record(
        session, now=made.at, actor=made.by, action="redact text", subject_kind=subject[0],
        subject_id=subject[1], address=address, detail={**text, "why": made.why},
    )  # fmt: skip
    session.commit()
    return made
