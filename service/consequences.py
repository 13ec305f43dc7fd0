"""What follows from replies: assessments, escalations, the answers sent back, the plan, the audit row.

Everything is written in the caller's transaction, so that a reply is either triaged with all of it or not at
all.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from messages.reply import carrier_word
from messages.urgency import Urgency, worst
from service import answers, audit, fates, opt_outs, outbox, page_answers, plan
from service.escalation_opening import Opening, event_of, fresh_row, join, open_escalation
from service.escalation_rows import free_codes
from service.models import (
    DEFAULT_TEAM,
    AuditEvent,
    Escalation,
    PhoneState,
    PlanItem,
    Reply,
    StoredAssessment,
)
from service.needs import Need, need_of
from service.reading import Reading, read
from service.rows import Row
from service.runtime import Runtime
from service.surroundings import Around, Sender, recent_questions
from service.together import write_together

YES_NO_QUESTIONS = frozenset({"symptoms", "bandage", "blood_thinner", "follow_up"})
FREE_QUESTIONS = frozenset({"welcome", "change", "general"})

Pair = tuple[Sender | None, Reading]


@dataclass(slots=True)
class Weighed:
    """One reply, read for everybody it may be from; ``needs`` and ``opened`` go with ``pairs``.

    ``rows``: new rows for the database, to be stored with those of the other replies.
    """

    around: Around
    pairs: list[Pair]
    wish: str | None
    needs: list[Need | None]
    opened: list[Escalation | None] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row | None) -> None:
        """One more row, if there is one."""
        if row is not None:
            self.rows.append(row)

    @property
    def most_new(self) -> int:
        """How many new escalations it may need."""
        subjects = [self.around.subject_of(sender) for sender, _ in self.pairs]
        known = self.around.unresolved
        return sum(
            need is not None and subject not in known
            for subject, need in zip(subjects, self.needs, strict=True)
        )


def draw(session: Session, runtime: Runtime, arounds: Sequence[Around], now: datetime) -> None:
    """Read locked replies about different people and write what follows from each. Workers are told to look
    at once when somebody is to be paged or answered.

    1. A member's code is obeyed and needs no triage; any other text is read like a patient's.
    2. Each patient behind the number gets an escalation where a person is needed. 3. Each gets an assessment;
    one safety answer goes back for all; then opt-outs are obeyed; then the plan moves on. 4. What that makes
    of all the replies is written together.
    """
    weighed = [one for around in arounds if (one := _weigh(session, runtime, around, now)) is not None]
    new = sum(one.most_new for one in weighed)
    codes = free_codes(session, new) if new else []
    for one in weighed:
        _open(session, runtime, one, codes, now)
    for one in weighed:
        _follow(session, runtime, one, now)
    for around in arounds:
        around.reply.triaged_at = now
    urgent = any(one.wish is not None or any(one.opened) for one in weighed)
    note = (outbox.WAKE_CHANNEL, arounds[0].reply.id) if urgent else None
    write_together(session, [row for one in weighed for row in one.rows], note)


def _weigh(session: Session, runtime: Runtime, around: Around, now: datetime) -> Weighed | None:
    """None: it was a member's code, and that was all."""
    reply, member = around.reply, around.member
    if member is not None:
        reply.from_member_id = member.id
        if page_answers.obey(session, runtime, around, member, now):
            reply.urgency = str(Urgency.NONE)
            return None
    pairs: list[Pair] = [(sender, read(around, sender)) for sender in around.senders or [None]]
    wish = opt_outs.wish_of(reply)
    needs = [need_of(runtime.site, around, sender, reading, wish, now) for sender, reading in pairs]
    return Weighed(around, pairs, wish, needs)


def _open(session: Session, runtime: Runtime, one: Weighed, codes: list[str], now: datetime) -> None:
    """Open or join an escalation for every need. A clinical one was looked for already, behind locks: should
    another process have opened it all the same, the whole triage fails on its uniqueness and begins again."""
    for (sender, reading), need in zip(one.pairs, one.needs, strict=True):
        if need is None:
            one.opened.append(None)
            continue
        course = sender.enrollment if sender else None
        if course is not None and need.urgency >= Urgency.URGENT:
            course.flagged_at = course.flagged_at or now
        values = _values(runtime, one.around.reply, sender, reading, need, now)
        team_id = sender.patient.team_id if sender else DEFAULT_TEAM
        opening = Opening(**values, subject=one.around.subject_of(sender), team_id=team_id)
        if opening.kind != "clinical":
            one.opened.append(open_escalation(session, **values))
            continue
        row, kind = one.around.unresolved.get(opening.subject), "opened"
        if row is None:
            row = fresh_row(opening, codes.pop())
            one.rows.append(row)
        else:
            kind = join(row, opening)
        one.opened.append(row)
        one.rows.append(event_of(row, kind, opening))


def _values(
    runtime: Runtime, reply: Reply, sender: Sender | None, reading: Reading, need: Need, now: datetime
) -> dict[str, Any]:
    course = sender.enrollment if sender else None
    return {
        "now": now,
        "site": runtime.site,
        "reason": need.reason,
        "urgency": need.urgency,
        "patient_id": sender.patient.id if sender else None,
        "enrollment_id": course.id if course else None,
        "phone": reply.from_phone,
        "reply_id": reply.id,
        "findings": [{**found, "reply_id": reply.id} for found in reading.findings],
        "due_by": need.due_by,
    }


def _follow(session: Session, runtime: Runtime, one: Weighed, now: datetime) -> None:
    """What points to the escalations, and what they do not change: answers, opt-outs, the plan, the audit."""
    reply, state = one.around.reply, one.around.state
    if state.unreachable_at is not None and reply.received_at > state.unreachable_at:
        fates.heard_from(session, state)
    for (sender, reading), row in zip(one.pairs, one.opened, strict=True):
        one.rows.append(_assessment(reply, sender, reading, row, now))
    _answer(session, runtime, one, now)
    if one.wish in ("stop", "stop_sentence"):
        opt_outs.obey_stop(session, runtime, reply, state, one.pairs, now)
    elif one.wish == "start" and state.opted_out_at is not None:
        opt_outs.obey_start(session, runtime, reply, state, one.pairs, now)
    for sender, reading in one.pairs:
        if sender is not None:
            _move_plan_on(session, runtime, sender, reading, now)
    one.rows.append(_finished(reply, one.pairs, now))


def _assessment(
    reply: Reply, sender: Sender | None, reading: Reading, row: Escalation | None, now: datetime
) -> StoredAssessment:
    found = reading.assessment
    return StoredAssessment(
        reply_id=reply.id,
        patient_id=sender.patient.id if sender else None,
        enrollment_id=sender.enrollment.id if sender and sender.enrollment else None,
        plan_item_id=reading.item.id if reading.item else None,
        escalation_id=row.id if row else None,
        asked=reading.asked,
        urgency=str(reading.urgency),
        understood=reading.understood,
        findings=[{**one, "joined": True} if reading.joined else one for one in reading.findings],
        weighed=[asdict(weight) for weight in found.weighed],
        answer=_answer_given(reading),
        catalogue=found.catalogue,
        at=now,
    )


def _answer_given(reading: Reading) -> dict[str, Any] | None:
    answer = reading.assessment.answer
    if answer is None:
        return None
    return {key: value for key, value in asdict(answer).items() if value is not None}


def _answer(session: Session, runtime: Runtime, one: Weighed, now: datetime) -> None:
    """One text back for all patients behind the number: the safety answer first, else at most one notice."""
    reply, state = one.around.reply, one.around.state
    keys: dict[str, tuple[Sender | None, Reading, Escalation | None]] = {}
    for (sender, reading), need, row in zip(one.pairs, one.needs, one.opened, strict=True):
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
    sender, reading, row = keys[key] if key else (*one.pairs[0], None)
    about = {
        "patient_id": sender.patient.id if sender else None,
        "enrollment_id": sender.enrollment.id if sender and sender.enrollment else None,
        "language": reading.language,
    }
    silent = opt_outs.answered_by_carrier(reply)
    warned = key in answers.WEIGHT
    if key is not None and warned:
        if not (silent and carrier_word(reply.body) is not None):
            one.add(
                answers.safety_answer(
                    runtime,
                    now=now,
                    around=one.around,
                    key=key,
                    escalation_id=row.id if row else None,
                    **about,
                )
            )
        key = None
    confirmation = _confirmation(one.wish, state)
    notice = None if warned and confirmation == "help" else confirmation or key
    blocked = state.opted_out_at is not None and one.wish != "start"
    if notice is None or silent or blocked:
        return
    item = reading.item if notice == "not_understood" else None
    one.add(
        answers.notice(
            session,
            runtime,
            now=now,
            around=one.around,
            key=notice,
            plan_item_id=item.id if item else None,
            **about,
        )
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
    item = _question_answered(sender, reading, now)
    if item is not None:
        plan.answered(session, runtime, item, answer or {"kind": "text"}, now)
    elif answer and answer["kind"] == "score" and sender.enrollment is not None:
        sender.enrollment.last_score = float(answer["value"])


def _question_answered(sender: Sender, reading: Reading, now: datetime) -> PlanItem | None:
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
    if not sender.running:
        return None
    recent = recent_questions(sender, now)
    return next((item for item in recent if item.answered_at is None and _fits(kind, item.asks or "")), None)


def _fits(kind: str | None, asks: str) -> bool:
    return (kind == "score" and asks == "pain") or (kind in ("yes", "no") and asks in YES_NO_QUESTIONS)


def _finished(reply: Reply, pairs: Sequence[Pair], now: datetime) -> AuditEvent:
    sender = next((one for one, _ in pairs if one is not None), None)
    reply.patient_id = sender.patient.id if sender else None
    reply.from_caregiver = bool(sender and sender.caregiver)
    reply.urgency = str(worst(*(reading.urgency for _, reading in pairs)))
    return audit.made(
        now=now,
        actor=audit.SYSTEM,
        action="triage reply",
        subject_kind="reply",
        subject_id=reply.id,
        detail={"urgency": reply.urgency, "catalogue": pairs[0][1].assessment.catalogue},
    )
