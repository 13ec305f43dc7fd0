"""Finding every place that repeats the words of a redacted text, and taking them out there. No commits."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlmodel import Session, col, select

from service.models import (
    Enrollment,
    Escalation,
    EscalationEvent,
    IdempotencyKey,
    PlanItem,
    Reply,
    StoredAssessment,
)
from service.surroundings import JOINED_WITHIN

MARKER = "[redacted]"
SHORTEST = 4  # characters; shorter words say nothing by themselves and stand in every note
OWN_WORDS = ("reason", "urgency", "reply_id", "to", "method", "disposition", "code")  # never a patient's

Cleared = tuple[Any, Any, Any, Any, str]  # concept, rule, start, end, words


def clear_assessments(session: Session, reply: Reply, body: str) -> set[Cleared]:
    """Take words, weights and scores out of the readings of this reply, and its words out of readings of
    texts that came within seconds (they are read together). Returns the findings as they were."""
    near = select(Reply.id).where(
        Reply.from_phone == reply.from_phone,
        Reply.received_at >= reply.received_at - JOINED_WITHIN,
        Reply.received_at <= reply.received_at + JOINED_WITHIN,
    )
    _lock_courses(session, reply)
    rows = session.exec(select(StoredAssessment).where(col(StoredAssessment.reply_id).in_(near))).all()
    cleared: set[Cleared] = set()
    for row in rows:
        mine = row.reply_id == reply.id
        found = [
            _key(finding)
            for finding in row.findings
            if finding.get("words") not in (None, "", MARKER) and (mine or _overlap(finding["words"], body))
        ]
        cleared |= set(found)
        row.findings = _without(row.findings, found)
        row.weighed = [one for one in row.weighed if not mine and not _overlap(str(one.get("words")), body)]
        score = (row.answer or {}).get("kind") == "score"
        if mine:
            row.answer = None
            _clear_answer(session, row.plan_item_id)
        session.add(row)
        if mine and score:
            _score_before(session, row.enrollment_id)
    return cleared


def _lock_courses(session: Session, reply: Reply) -> None:
    """Before anything else of them: a reply that is triaged meanwhile writes answer and score behind this
    lock too, and neither is to be overwritten with what was true before it."""
    read_for = select(StoredAssessment.enrollment_id).where(StoredAssessment.reply_id == reply.id)
    session.exec(
        select(Enrollment)
        .where(col(Enrollment.id).in_(read_for))
        .order_by(Enrollment.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _clear_answer(session: Session, plan_item_id: str | None) -> None:
    item = session.get(PlanItem, plan_item_id) if plan_item_id else None
    if item is not None:
        item.answer = None
        session.add(item)


def _score_before(session: Session, enrollment_id: str | None) -> None:
    """The last pain score again is the last one that stands: a rise is not measured from a stranger's."""
    course = session.get(Enrollment, enrollment_id) if enrollment_id else None
    if course is None:
        return
    session.flush()
    newest_first = (
        select(StoredAssessment.answer)
        .where(StoredAssessment.enrollment_id == course.id, col(StoredAssessment.answer).is_not(None))
        .order_by(col(StoredAssessment.at).desc(), col(StoredAssessment.id).desc())
    )
    answers = (answer for answer in session.exec(newest_first) if answer and answer.get("kind") == "score")
    last = next(answers, None)
    course.last_score = float(last["value"]) if last else None
    session.add(course)


def _key(finding: dict[str, Any]) -> Cleared:
    places = (finding.get("concept"), finding.get("rule"), finding.get("start"), finding.get("end"))
    return (*places, str(finding.get("words")))


def _overlap(words: str, body: str) -> bool:
    one, other = _plain(words), _plain(body)
    return bool(one and other) and (one in other or other in one)


def _plain(words: str) -> str:
    return " ".join(words.casefold().split())


def _without(findings: Sequence[dict[str, Any]], gone: Iterable[Cleared]) -> list[dict[str, Any]]:
    """Concept, status, rule and urgency stay; words and their place go."""
    keys = set(gone)
    return [
        finding | {"words": MARKER, "start": 0, "end": 0} if _key(finding) in keys else finding
        for finding in findings
    ]


def clear_findings(session: Session, rows: Iterable[Escalation], gone: set[Cleared]) -> None:
    """The same findings where escalations carry them."""
    for row in rows:
        kept = _without(row.findings, gone)
        if kept != row.findings:
            row.findings, row.version = kept, row.version + 1
            session.add(row)


def clear_notes(session: Session, rows: Iterable[Escalation], gone: Sequence[str]) -> None:
    """Notes and timelines of escalations, wherever they repeat the words."""
    for row in rows:
        note = cleaned(row.note, gone)
        if note != row.note:
            row.note, row.version = note, row.version + 1
            session.add(row)
        events = session.exec(select(EscalationEvent).where(EscalationEvent.escalation_id == row.id))
        for event in events:
            before = event.detail or {}
            after = {
                key: cleaned(value, gone) if isinstance(value, str) and key not in OWN_WORDS else value
                for key, value in before.items()
            }
            if after != before:
                event.detail = after
                session.add(event)


def clear_answers_kept(session: Session, gone: Sequence[str]) -> None:
    """Answers kept for repeated requests hold texts too; the keys stay, so that nothing is done twice."""
    for kept in session.exec(select(IdempotencyKey).where(col(IdempotencyKey.body).is_not(None))):
        try:
            before = json.loads(kept.body or "")
        except ValueError:
            continue
        after = _cleaned_json(before, gone)
        if after != before:
            kept.body = json.dumps(after, ensure_ascii=False)
            session.add(kept)


def _cleaned_json(value: Any, gone: Sequence[str]) -> Any:
    if isinstance(value, str):
        return MARKER if value in gone else cleaned(value, gone)
    if isinstance(value, list):
        return [_cleaned_json(one, gone) for one in value]
    if isinstance(value, dict):
        return {key: _cleaned_json(one, gone) for key, one in value.items()}
    return value


def cleaned(text: str | None, gone: Sequence[str]) -> str | None:
    """``text`` with every repetition of the words replaced, whatever its spaces and letters' case."""
    if not text:
        return text
    for words in gone:
        if len(words.strip()) >= SHORTEST:
            pattern = r"\s+".join(re.escape(word) for word in words.split())
            text = re.sub(rf"(?<!\w){pattern}(?!\w)", MARKER, text, flags=re.IGNORECASE)
    return text
