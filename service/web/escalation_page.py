"""One escalation: why it is here, what was said, whom to call, and every act on it (no JavaScript needed)."""

from collections.abc import Callable
from secrets import token_hex
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException
from fastapi.responses import RedirectResponse, Response
from sqlmodel import col, select

from messages.sms import sanitise, segments
from service import escalations, member_texts, presence
from service.db import session_on
from service.models import Enrollment, Escalation, Member, Patient, StoredAssessment
from service.oncall import team
from service.sight import enrollment_in_sight, escalation_in_sight, patient_in_sight
from service.web import guidance, queue_rows, talk
from service.web.clock_words import ago
from service.web.doors import Caring, Desk, PageRoute, SignedIn
from service.web.live import version_of
from service.web.patient_facts import course_texts, in_quiet_hours
from service.web.team_sight import team_badges
from service.web.trends import Trends, trends

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/escalations/{escalation_id}")
def escalation(desk: SignedIn, escalation_id: str, done: str = "") -> Response:
    return _page(desk, escalation_id, done=done)


def _page(
    desk: Desk, escalation_id: str, *, status: int = 200, fault: Any = None, done: str = ""
) -> Response:
    session = desk.session
    version = version_of(session, desk.sight, f"escalation:{escalation_id}")
    item = desk.escalation(escalation_id)
    patient = patient_in_sight(session, desk.sight, item.patient_id)
    enrollment = enrollment_in_sight(session, desk.sight, item.enrollment_id)
    desk.looked("view escalation", "escalation", item.id)
    lines = talk.conversation(session, patient_id=item.patient_id, phone=item.phone)
    assessments = _assessments(desk, item)
    events = escalations.timeline(session, item.id)
    actors = {event.actor for event in events} | {item.acknowledged_by, item.contacted_by, item.resolved_by}
    actors |= {line.author for line in lines} | {str((event.detail or {}).get("to", "")) for event in events}
    return desk.page(
        "escalation.html",
        status=status,
        item=item,
        patient=patient,
        enrollment=enrollment,
        day=_day(desk, patient, enrollment),
        lines=lines,
        cause=next((line for line in lines if line.id == item.reply_id), None),
        assessments=assessments,
        findings=_distinct(assessments, item),
        events=events,
        names=queue_rows.member_names(session, actors),
        plot=_plot(desk, enrollment),
        upcoming=_upcoming(desk, enrollment),
        script=guidance.call_script(_concepts(assessments, item), item.reason, desk.language),
        answers=_answers(desk, patient),
        is_quiet=bool(patient) and in_quiet_hours(desk.runtime, desk.now, patient.timezone),
        colleagues=[other for other in team(session, item.team_id) if other.id != desk.member.id],
        dispositions=escalations.DISPOSITIONS,
        methods=escalations.METHODS,
        send_key=token_hex(8),
        version=version,
        badges=team_badges(desk),
        fault=fault,
        done=DONE.get(done, ""),
        typed=desk.form,
    )


DONE = {
    "acknowledge": "You have this now.",
    "take_over": "You have this now.",
    "contact": "The contact is recorded.",
    "hand_over": "It is handed over.",
    "note": "The note is kept.",
    "text": "The text is on its way.",
    "resolve": "Resolved.",
    "reopen": "It is open again.",
    "false_alarm": "Marked as read wrongly and resolved. The text is kept to make triage better.",
}


def _day(desk: Desk, patient: Patient | None, enrollment: Enrollment | None) -> int | None:
    if patient is None or enrollment is None:
        return None
    return queue_rows.day_after(enrollment.procedure_at, desk.now, patient.timezone)


def _assessments(desk: Desk, item: Escalation) -> list[StoredAssessment]:
    """Readings that belong to this escalation: those of its reply and of what was said since."""
    if item.reply_id is None:
        return []
    found = desk.session.exec(
        select(StoredAssessment)
        .where(StoredAssessment.reply_id == item.reply_id)
        .order_by(col(StoredAssessment.at))
    ).all()
    return [row for row in found if row.patient_id in (None, item.patient_id)] or list(found)


def _distinct(assessments: list[StoredAssessment], item: Escalation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for finding in [*(one for row in assessments for one in row.findings), *item.findings]:
        key = (finding.get("concept"), finding.get("status"), finding.get("words"))
        if all(key != (one.get("concept"), one.get("status"), one.get("words")) for one in found):
            found.append(finding)
    return found


def _concepts(assessments: list[StoredAssessment], item: Escalation) -> list[str]:
    return [
        str(finding.get("concept"))
        for finding in _distinct(assessments, item)
        if finding.get("status", "present") in ("present", "resolved", "past")
    ]


def _plot(desk: Desk, enrollment: Enrollment | None) -> Trends | None:
    return trends(desk.session, enrollment, desk.now, narrow=True) if enrollment is not None else None


def _upcoming(desk: Desk, enrollment: Enrollment | None) -> list[talk.PlanLine]:
    if enrollment is None:
        return []
    texts = course_texts(desk.session, desk.runtime, enrollment)
    lines = talk.plan_lines(desk.session, enrollment, texts)
    return [line for line in lines if line.item.status == "planned"][:3]


def _answers(desk: Desk, patient: Patient | None) -> Any:
    language = patient.language if patient else "en"
    return guidance.answer_texts(desk.runtime.site, language, desk.language)


def _act(desk: Desk, escalation_id: str, name: str, act: Callable[[Any], object]) -> Response:
    """Do one act and show the page again; what cannot be done is said in place, and nothing typed is lost."""
    with session_on(desk.runtime.engine) as session:
        desk.escalation(escalation_id, session)
        try:
            act(session)
        except escalations.HeldByOther as error:
            session.rollback()
            holder = queue_rows.member_names(desk.session, {error.holder})[error.holder]
            when = ago(error.at, desk.now, desk.language)
            fault = desk.t("{name} acknowledged this {when}.", name=holder, when=when)
            return _page(desk, escalation_id, status=409, fault={"text": fault, "held": True})
        except (escalations.EscalationError, member_texts.TextRefused) as error:
            session.rollback()
            status = 409 if isinstance(error, escalations.WrongState) else 422
            return _page(desk, escalation_id, status=status, fault={"text": desk.t(str(error)), "act": name})
    desk.runtime.wake.set()
    if desk.text("back", 10) == "queue":
        given = (("view", desk.text("view", 20)), ("q", desk.text("q", 80)), ("team", desk.text("team", 32)))
        kept = {key: value for key, value in given if value and (key, value) != ("view", "open")}
        return RedirectResponse(f"/?{urlencode(kept)}" if kept else "/", 303)
    return RedirectResponse(f"/escalations/{escalation_id}?done={name}", 303)


def _given(desk: Desk, escalation_id: str) -> dict[str, Any]:
    return {
        "now": desk.now,
        "site": desk.runtime.site,
        "escalation_id": escalation_id,
        "actor": desk.member.email,
    }


@router.post("/escalations/{escalation_id}/acknowledge")
def acknowledge(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    return _act(desk, escalation_id, "acknowledge", lambda session: escalations.acknowledge(session, **given))


@router.post("/escalations/{escalation_id}/take-over")
def take_over(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    return _act(desk, escalation_id, "take_over", lambda session: escalations.take_over(session, **given))


@router.post("/escalations/{escalation_id}/contact")
def contact(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    method, note = desk.text("method", 20), desk.text("note") or None
    return _act(
        desk, escalation_id, "contact",
        lambda session: escalations.contact(session, **given, method=method, note=note),
    )  # fmt: skip


@router.post("/escalations/{escalation_id}/resolve")
def resolve(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    disposition, note = desk.text("disposition", 30), desk.text("note")
    return _act(
        desk, escalation_id, "resolve",
        lambda session: escalations.resolve(session, **given, disposition=disposition, note=note),
    )  # fmt: skip


@router.post("/escalations/{escalation_id}/false-alarm")
def false_alarm(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    should_be, note = desk.text("should_be", 12) or "none", desk.text("note") or None
    return _act(
        desk, escalation_id, "false_alarm",
        lambda session: escalations.false_alarm(session, **given, should_be=should_be, note=note),
    )  # fmt: skip


@router.post("/escalations/{escalation_id}/reopen")
def reopen(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    reason = desk.text("reason", 500) or None
    return _act(
        desk, escalation_id, "reopen", lambda session: escalations.reopen(session, **given, reason=reason)
    )


@router.post("/escalations/{escalation_id}/hand-over")
def hand_over(desk: Caring, escalation_id: str) -> Response:
    given = _given(desk, escalation_id)
    colleague = desk.session.get(Member, desk.text("to", 32))
    to = colleague.email if colleague else ""
    return _act(
        desk, escalation_id, "hand_over", lambda session: escalations.hand_over(session, **given, to=to)
    )


@router.post("/escalations/{escalation_id}/note")
def note(desk: Caring, escalation_id: str) -> Response:
    text = desk.text("note")
    return _act(
        desk, escalation_id, "note",
        lambda session: escalations.note(
            session, now=desk.now, escalation_id=escalation_id, actor=desk.member.email, text=text
        ),
    )  # fmt: skip


@router.post("/escalations/{escalation_id}/text")
def text(desk: Caring, escalation_id: str) -> Response:
    """A text to the patient; a second click with the same form sends nothing twice."""
    item = desk.escalation(escalation_id)
    if item.patient_id is None:
        raise HTTPException(422, desk.t("Nobody we know has this number: phone instead."))
    body, key = desk.text("body", 4000), desk.text("key", 32) or token_hex(8)
    patient_id = item.patient_id
    return _act(
        desk, escalation_id, "text",
        lambda session: member_texts.write_to_patient(
            session, desk.runtime, now=desk.now, patient_id=patient_id, body=body, actor=desk.member.email,
            key=key, member_id=desk.member.id, escalation_id=escalation_id,
        ),
    )  # fmt: skip


@router.post("/segments")
def count_segments(desk: Caring) -> Response:
    """How a text would travel, for the line under the answer field."""
    body, about = sanitise(desk.text("body", 4000)), desk.text("about", 32)
    if about and escalation_in_sight(desk.session, desk.sight, about) is not None:
        with session_on(desk.runtime.engine) as session:
            presence.note_presence(
                session, now=desk.now, escalation_id=about, member_id=desk.member.id, is_typing=True
            )
    return desk.page("segments.html", parts=segments(body), signs=len(body), most=member_texts.MOST_SEGMENTS)
