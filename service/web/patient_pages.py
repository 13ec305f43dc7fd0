"""Patients: the list, one recovery at a glance, and what members change in a course."""

from collections.abc import Callable
from datetime import datetime
from secrets import token_hex
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import ColumnElement, true
from sqlmodel import Session, col, or_, select

from service import cursors, enrollments, legal_holds, member_texts, patient_search
from service.db import session_on
from service.enrollment_request import EnrollmentFaults, moment
from service.models import Enrollment, Escalation, Patient, PhoneState
from service.scoreboard import silent_courses
from service.sight import Sight
from service.web import guidance, queue_rows, talk
from service.web.doors import Caring, Desk, PageRoute, SignedIn
from service.web.live import version_of
from service.web.patient_facts import course_texts, in_quiet_hours
from service.web.team_sight import glass_on, narrowed, other_teams, team_badges, teams_to_choose
from service.web.trends import Trends, trends

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PER_PAGE = 50
SILENCES = ("ignored", "undelivered", "landline", "opted_out", "unconfirmed", "our_fault")
DONE = {
    "text": "The text is on its way.",
    "pause": "Check-ins wait until they are resumed.",
    "resume": "Check-ins go on.",
    "withdraw": "Withdrawn: nothing more is sent. Replies are still read.",
    "move": "The plan is moved: what is still to come has new times.",
    "enroll": "Enrolled. The welcome text is on its way.",
    "hold": "On legal hold: nothing of this record is deleted or redacted.",
    "lift": "The legal hold is lifted.",
    "team": "The patient is with the other team now.",
}


@router.get("/patients")
def patients(
    desk: SignedIn,
    q: Annotated[str, Query(max_length=80)] = "",
    status: Annotated[str, Query(max_length=12)] = "active",
    cursor: Annotated[str, Query(max_length=300)] = "",
    team: Annotated[str, Query(max_length=32)] = "",
    silent: Annotated[str, Query(max_length=12)] = "",
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Patients, those who came last first, with their newest course and whether something is open.

    ``silent``: only those with a question of the last thirty days that stayed silent for this cause."""
    if silent and silent not in SILENCES:
        raise HTTPException(404)
    seen = silent_courses(silent, desk.now) if silent else true()
    found = _listed(desk.session, narrowed(desk, team), q, status, cursor, seen)
    last = found[PER_PAGE - 1][0] if len(found) > PER_PAGE else None
    more = cursors.make(last.created_at, last.id) if last else None
    found = found[:PER_PAGE]
    ids = [patient.id for patient, _ in found]
    worst: dict[str, Escalation] = {}
    waiting = select(Escalation).where(
        col(Escalation.patient_id).in_(ids), col(Escalation.status) != "resolved", desk.sight.of_escalations()
    )
    for item in desk.session.exec(waiting.order_by(col(Escalation.urgency_rank))):
        worst[item.patient_id or ""] = item
    if found:
        desk.looked("list patients", "patient", rows=len(found))
    days = {
        patient.id: queue_rows.day_after(course.procedure_at, desk.now, patient.timezone)
        for patient, course in found
        if course
    }
    return desk.page(
        "patients.html", found=found, worst=worst, days=days, q=q, state=status, more=more, cursor=cursor,
        silent=silent, team=team, teams=teams_to_choose(desk), badges=team_badges(desk),
        done=DONE.get(done, ""),
    )  # fmt: skip


def _listed(
    session: Session, sight: Sight, q: str, status: str, cursor: str, fitting: ColumnElement[bool]
) -> list[Any]:
    query = select(Patient, Enrollment).outerjoin(Enrollment, col(Enrollment.patient_id) == Patient.id)
    query = query.where(sight.of_patients(), fitting)
    if status == "active":
        query = query.where(col(Enrollment.status).in_(("active", "paused")))
    elif status in ("completed", "withdrawn", "paused"):
        query = query.where(Enrollment.status == status)
    elif status != "all":
        raise HTTPException(404)
    if q.strip():
        query = query.where(patient_search.fitting(session, q))
    if cursor:
        try:
            at, patient_id = cursors.read(cursor, (datetime, str))
        except cursors.CursorError as error:
            raise HTTPException(404) from error
        created_at = col(Patient.created_at)
        earlier = or_(created_at < at, col(Patient.id) < patient_id)
        query = query.where(created_at <= at, earlier)
    newest_first = (col(Patient.created_at).desc(), col(Patient.id).desc())
    return list(session.exec(query.order_by(*newest_first).limit(PER_PAGE + 1)).all())


@router.get("/patients/{patient_id}")
def patient(desk: SignedIn, patient_id: str, done: str = "") -> Response:
    return show_patient(desk, patient_id, done=DONE.get(done, ""))


def show_patient(
    desk: Desk, patient_id: str, *, status: int = 200, done: str = "", fault: str = "", faults: Any = None
) -> Response:
    session = desk.session
    version = version_of(session, desk.sight, f"patient:{patient_id}")
    found = desk.patient(patient_id)
    desk.looked("view patient", "patient", found.id)
    courses = session.exec(
        select(Enrollment)
        .where(Enrollment.patient_id == found.id)
        .order_by(col(Enrollment.procedure_at).desc(), col(Enrollment.enrolled_at).desc())
    ).all()
    course = courses[0] if courses else None
    waiting = session.exec(
        select(Escalation)
        .where(Escalation.patient_id == found.id)
        .order_by(col(Escalation.opened_at).desc())
        .limit(20)
    ).all()
    lines = talk.conversation(session, patient_id=found.id, phone=None)
    return desk.page(
        "patient.html",
        status=status,
        patient=found,
        courses=courses,
        course=course,
        day=queue_rows.day_after(course.procedure_at, desk.now, found.timezone) if course else None,
        plan=_plan(desk, course),
        plot=_plot(desk, course),
        lines=lines,
        names=queue_rows.member_names(session, {line.author for line in lines}),
        waiting=[item for item in waiting if item.status != "resolved"],
        past=[item for item in waiting if item.status == "resolved"],
        phone_state=session.get(PhoneState, found.phone),
        holds=legal_holds.holds_of(session, found.id) if desk.may_decide else [],
        badges=team_badges(desk),
        other_teams=other_teams(desk, found),
        glass=glass_on(desk, found),
        answers=guidance.answer_texts(desk.runtime.site, found.language, desk.language),
        is_quiet=in_quiet_hours(desk.runtime, desk.now, found.timezone),
        send_key=token_hex(8),
        version=version,
        done=done,
        fault=fault,
        faults=faults or {},
        typed=desk.form,
        local=lambda at: at.astimezone(ZoneInfo(found.timezone)).strftime("%Y-%m-%dT%H:%M") if at else "",
    )


def _plan(desk: Desk, course: Enrollment | None) -> list[talk.PlanLine]:
    if course is None:
        return []
    return talk.plan_lines(desk.session, course, course_texts(desk.session, desk.runtime, course))


def _plot(desk: Desk, course: Enrollment | None) -> Trends | None:
    return trends(desk.session, course, desk.now) if course is not None else None


@router.get("/patients/{patient_id}/summary")
def summary(desk: SignedIn, patient_id: str) -> Response:
    """One page for the chart: made for printing."""
    found = desk.patient(patient_id)
    desk.looked("print patient summary", "patient", found.id)
    course = desk.session.exec(
        select(Enrollment)
        .where(Enrollment.patient_id == found.id)
        .order_by(col(Enrollment.procedure_at).desc())
    ).first()
    items = desk.session.exec(
        select(Escalation).where(Escalation.patient_id == found.id).order_by(col(Escalation.opened_at))
    ).all()
    emails = {item.acknowledged_by for item in items} | {item.contacted_by for item in items}
    return desk.page(
        "summary.html",
        patient=found,
        course=course,
        day=queue_rows.day_after(course.procedure_at, desk.now, found.timezone) if course else None,
        plot=_plot(desk, course),
        items=items,
        names=queue_rows.member_names(desk.session, emails | {item.resolved_by for item in items}),
        plan=_plan(desk, course),
        said_words=_said_words,
    )


def _said_words(item: Escalation) -> list[str]:
    """The patient's own words that an escalation is about; none that stand within others."""
    found = dict.fromkeys(
        str(finding.get("words") or "")
        for finding in item.findings
        if finding.get("status", "present") == "present"
    )
    return [words for words in found if words and not any(words != one and words in one for one in found)]


@router.post("/patients/{patient_id}/text")
def text(desk: Caring, patient_id: str) -> Response:
    """A member's own text; a second click with the same form sends nothing twice."""
    body, key = desk.text("body", 4000), desk.text("key", 32) or token_hex(8)
    with session_on(desk.runtime.engine) as session:
        desk.patient(patient_id, session)
        try:
            member_texts.write_to_patient(
                session, desk.runtime, now=desk.now, patient_id=patient_id, body=body,
                actor=desk.member.email, key=key, member_id=desk.member.id,
            )  # fmt: skip
        except member_texts.TextRefused as error:
            session.rollback()
            return show_patient(desk, patient_id, status=422, fault=desk.t(str(error)))
    return RedirectResponse(f"/patients/{patient_id}?done=text", 303)


def _change(desk: Desk, enrollment_id: str, done: str, act: Callable[[Session], object]) -> Response:
    with session_on(desk.runtime.engine) as session:
        patient_id = desk.enrollment(enrollment_id, session).patient_id
        try:
            act(session)
        except EnrollmentFaults as error:
            session.rollback()
            return show_patient(desk, patient_id, status=422, faults=error.faults)
        except enrollments.EnrollmentOver as error:
            session.rollback()
            return show_patient(desk, patient_id, status=409, fault=desk.t(str(error)))
    return RedirectResponse(f"/patients/{patient_id}?done={done}", 303)


@router.post("/enrollments/{enrollment_id}/pause")
def pause(desk: Caring, enrollment_id: str) -> Response:
    given = {"now": desk.now, "actor": desk.member.email, "reason": desk.text("reason", 200) or "by the team"}
    return _change(
        desk, enrollment_id, "pause", lambda session: enrollments.pause(session, enrollment_id, **given)
    )


@router.post("/enrollments/{enrollment_id}/resume")
def resume(desk: Caring, enrollment_id: str) -> Response:
    given = {"now": desk.now, "actor": desk.member.email}
    return _change(
        desk, enrollment_id, "resume", lambda session: enrollments.resume(session, enrollment_id, **given)
    )


@router.post("/enrollments/{enrollment_id}/withdraw")
def withdraw(desk: Caring, enrollment_id: str) -> Response:
    given = {"now": desk.now, "actor": desk.member.email, "reason": desk.text("reason", 200) or None}
    return _change(
        desk, enrollment_id, "withdraw", lambda session: enrollments.withdraw(session, enrollment_id, **given)
    )


@router.post("/enrollments/{enrollment_id}/move")
def move(desk: Caring, enrollment_id: str) -> Response:
    """New procedure or discharge time, local to the patient: what is still to come is planned again."""
    owner = desk.patient(desk.enrollment(enrollment_id).patient_id)
    read = moment(ZoneInfo(owner.timezone))
    values: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    for name in ("procedure_at", "discharged_at"):
        given = desk.text(name, 40)
        try:
            if given:
                values[name] = read(given)
        except ValueError as error:
            faults[name] = [str(error)]
    if faults:
        return show_patient(desk, owner.id, status=422, faults=faults)
    change = enrollments.Change(**values)
    return _change(
        desk, enrollment_id, "move",
        lambda session: enrollments.change(
            session, desk.runtime, enrollment_id, change, now=desk.now, actor=desk.member.email
        ),
    )  # fmt: skip
