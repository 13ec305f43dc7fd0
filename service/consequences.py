"""What follows from one reply: assessments, escalations, the answers sent back, the plan, the audit row.

Everything is written in the caller's transaction, so that a reply is either triaged with all of it or not at
all.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlmodel import Session

from messages.escalation import hour_or_morning
from messages.reply import carrier_word
from messages.site import same_day_deadline
from messages.urgency import Urgency, worst
from service import answers, audit, escalations, opt_outs, page_answers, plan
from service.models import Escalation, PhoneState, PlanItem, Reply, StoredAssessment
from service.reading import Reading, read
from service.runtime import Runtime
from service.senders import Sender, member_of, phone_state, senders_of

YES_NO_QUESTIONS = frozenset({"symptoms", "bandage", "blood_thinner", "follow_up"})
FREE_QUESTIONS = frozenset({"welcome", "change", "general"})

Pair = tuple[Sender | None, Reading]


def draw(session: Session, runtime: Runtime, reply: Reply, now: datetime) -> list[Escalation]:
    """Read one locked reply and write what follows. Returns the escalations it opened or joined.

    1. A member's code is obeyed and needs no triage; any other text is read like a patient's.
    2. Each patient behind the number gets an assessment, and an escalation where a person is needed.
    3. One safety answer goes back for all of them; then opt-outs are obeyed; then the plan moves on.
    """
    senders = senders_of(session, reply.from_phone)
    member = member_of(session, reply.from_phone)
    if member is not None:
        reply.from_member_id = member.id
        if page_answers.obey(session, runtime, reply, member, bool(senders), now):
            reply.urgency = str(Urgency.NONE)
            return []
    pairs: list[Pair] = [(sender, read(session, reply, sender)) for sender in senders]
    pairs = pairs or [(None, read(session, reply, None))]
    state = phone_state(session, reply.from_phone)
    wish = opt_outs.wish_of(reply)
    needs = [_need(runtime, reply, sender, reading, state, wish, now) for sender, reading in pairs]
    opened: list[Escalation | None] = []
    for (sender, reading), need in zip(pairs, needs, strict=True):
        _store(session, reply, sender, reading, now)
        opened.append(_escalate(session, runtime, reply, sender, reading, need, now) if need else None)
    _answer(session, runtime, reply, pairs, needs, opened, state, wish, now)
    rows = [row for row in opened if row is not None]
    if wish in ("stop", "stop_sentence"):
        rows += opt_outs.obey_stop(session, runtime, reply, state, pairs, now)
    elif wish == "start" and state.opted_out_at is not None:
        rows += opt_outs.obey_start(session, runtime, reply, state, pairs, now)
    for sender, reading in pairs:
        if sender is not None:
            _move_plan_on(session, runtime, sender, reading, now)
    _finish(session, reply, pairs, now)
    return rows


class _Need:
    """That a person must look: why, how fast, and by when if not by the targets."""

    def __init__(self, reason: str, urgency: Urgency, due_by: datetime | None = None) -> None:
        self.reason, self.urgency, self.due_by = reason, urgency, due_by


def _need(
    runtime: Runtime,
    reply: Reply,
    sender: Sender | None,
    reading: Reading,
    state: PhoneState,
    wish: str | None,
    now: datetime,
) -> _Need | None:
    """Whether and why a person must look at one reading. A known keyword alone needs nobody but its own
    task."""
    urgency = reading.urgency
    if urgency >= Urgency.URGENT:
        return _Need("red_flag" if reading.understood else "not_understood", urgency)
    plain_wish = wish in ("stop", "start", "stop_sentence") and not reading.findings
    if plain_wish and (urgency is Urgency.NONE or wish == "stop_sentence"):
        return None
    if sender is None:
        return _Need("unknown_number", Urgency.ROUTINE)
    if _about_thinner(reading) and urgency is Urgency.ROUTINE:
        return _Need("blood_thinner", urgency, same_day_deadline(now, runtime.site))
    if urgency is Urgency.ROUTINE and not reading.understood:
        soon = reading.unclear and bool(sender.running)
        return _Need(
            "not_understood",
            urgency,
            hour_or_morning(now, runtime.site, sender.patient.timezone) if soon else None,
        )
    if urgency is Urgency.ROUTINE:
        asks = "?" in reply.body or any(found["status"] == "asked" for found in reading.findings)
        return _Need("question" if asks else "answer", urgency)
    if not sender.running or state.opted_out_at is not None:
        return _Need("ended_enrollment" if not sender.running else "opted_out_reply", Urgency.ROUTINE)
    return None


def _about_thinner(reading: Reading) -> bool:
    answer = reading.assessment.answer
    said_no = reading.counts_for == "blood_thinner" and answer is not None and answer.kind == "no"
    return said_no or any("thinner" in found["rule"] for found in reading.findings)


def _escalate(
    session: Session,
    runtime: Runtime,
    reply: Reply,
    sender: Sender | None,
    reading: Reading,
    need: _Need,
    now: datetime,
) -> Escalation:
    course = sender.enrollment if sender else None
    if course is not None and need.urgency >= Urgency.URGENT:
        course.flagged_at = course.flagged_at or now
        session.add(course)
    return escalations.open_escalation(
        session,
        now=now,
        site=runtime.site,
        reason=need.reason,
        urgency=need.urgency,
        patient_id=sender.patient.id if sender else None,
        enrollment_id=course.id if course else None,
        phone=reply.from_phone,
        reply_id=reply.id,
        findings=[{**found, "reply_id": reply.id} for found in reading.findings],
        due_by=need.due_by,
    )


def _store(session: Session, reply: Reply, sender: Sender | None, reading: Reading, now: datetime) -> None:
    found = reading.assessment
    session.add(
        StoredAssessment(
            reply_id=reply.id,
            patient_id=sender.patient.id if sender else None,
            enrollment_id=sender.enrollment.id if sender and sender.enrollment else None,
            plan_item_id=reading.item.id if reading.item else None,
            asked=reading.asked,
            urgency=str(reading.urgency),
            understood=reading.understood,
            findings=[{**one, "joined": True} if reading.joined else one for one in reading.findings],
            weighed=[asdict(weight) for weight in found.weighed],
            answer=_answer_given(reading),
            catalogue=found.catalogue,
            at=now,
        )
    )


def _answer_given(reading: Reading) -> dict[str, Any] | None:
    answer = reading.assessment.answer
    if answer is None:
        return None
    return {key: value for key, value in asdict(answer).items() if value is not None}


def _answer(
    session: Session,
    runtime: Runtime,
    reply: Reply,
    pairs: Sequence[Pair],
    needs: Sequence[_Need | None],
    opened: Sequence[Escalation | None],
    state: PhoneState,
    wish: str | None,
    now: datetime,
) -> None:
    """One text back for all patients behind the number: the safety answer first, else at most one notice."""
    keys: dict[str, tuple[Sender | None, Reading, Escalation | None]] = {}
    for (sender, reading), need, row in zip(pairs, needs, opened, strict=True):
        if need is None:
            continue
        key = answers.text_for(
            reading,
            known=sender is not None,
            caregiver=bool(sender and sender.caregiver),
            reason=need.reason,
        )
        if key is not None:
            keys.setdefault(key, (sender, reading, row))
    key = answers.weightiest(list(keys))
    sender, reading, row = keys[key] if key else (pairs[0][0], pairs[0][1], None)
    about = {
        "patient_id": sender.patient.id if sender else None,
        "enrollment_id": sender.enrollment.id if sender and sender.enrollment else None,
    }
    silent = opt_outs.answered_by_carrier(reply)
    bare = carrier_word(reply.body) is not None
    warned = key in answers.WEIGHT
    if key is not None and warned:
        if not (silent and bare):
            answers.send_safety(
                session,
                runtime,
                now=now,
                reply=reply,
                key=key,
                language=reading.language,
                escalation_id=row.id if row else None,
                **about,
            )
        key = None
    confirmation = _confirmation(wish, state)
    notice = None if warned and confirmation == "help" else confirmation or key
    blocked = state.opted_out_at is not None and wish != "start"
    if notice is None or silent or blocked:
        return
    item = reading.item if notice == "not_understood" else None
    answers.send_notice(
        session,
        runtime,
        now=now,
        reply=reply,
        key=notice,
        language=reading.language,
        plan_item_id=item.id if item else None,
        **about,
    )


def _confirmation(wish: str | None, state: PhoneState) -> str | None:
    if wish in ("stop", "stop_sentence"):
        return "opt_out_confirmed"
    if wish == "start" and state.opted_out_at is not None:
        return "start_received"
    return "help" if wish == "help" else None


def _move_plan_on(
    session: Session, runtime: Runtime, sender: Sender, reading: Reading, now: datetime
) -> None:
    """Write the answer to its question. A later answer ("sorry i meant 1") is written too and closes
    nothing."""
    answer = _answer_given(reading)
    item = _question_answered(session, sender, reading, now)
    if item is not None:
        plan.answered(session, runtime, item, answer or {"kind": "text"}, now)
    elif answer and answer["kind"] == "score" and sender.enrollment is not None:
        sender.enrollment.last_score = float(answer["value"])
        session.add(sender.enrollment)


def _question_answered(session: Session, sender: Sender, reading: Reading, now: datetime) -> PlanItem | None:
    """The question this reply answers: the one it was read against, or an earlier one of the last 24 h that
    its kind of answer fits. Words that only raise an alarm answer the question they were written under."""
    answer = reading.assessment.answer
    kind = answer.kind if answer else None
    if reading.item is not None:
        asks = reading.item.asks or ""
        if _fits(kind, asks) or reading.urgency >= Urgency.URGENT:
            return reading.item
        if reading.understood and (asks in FREE_QUESTIONS or (asks != "pain" and reading.findings)):
            return reading.item
    for course in sender.running:
        for item in plan.recent_questions(session, course.id, now):
            if item.answered_at is None and _fits(kind, item.asks or ""):
                return item
    return None


def _fits(kind: str | None, asks: str) -> bool:
    return (kind == "score" and asks == "pain") or (kind in ("yes", "no") and asks in YES_NO_QUESTIONS)


def _finish(session: Session, reply: Reply, pairs: Sequence[Pair], now: datetime) -> None:
    sender = next((one for one, _ in pairs if one is not None), None)
    reply.patient_id = sender.patient.id if sender else None
    reply.from_caregiver = bool(sender and sender.caregiver)
    reply.urgency = str(worst(*(reading.urgency for _, reading in pairs)))
    session.add(reply)
    audit.record(
        session,
        now=now,
        actor=audit.SYSTEM,
        action="triage reply",
        subject_kind="reply",
        subject_id=reply.id,
        detail={"urgency": reply.urgency, "catalogue": pairs[0][1].assessment.catalogue},
    )
