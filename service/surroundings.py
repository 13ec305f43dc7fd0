"""What stands around a reply: who wrote, what was asked, what we said, what is open already.

Read for a handful of replies at once, one query per table, so that a reply costs the same few statements
whether it comes alone or in a crowd. Enrollments and open escalations are locked first and everything else is
read behind those locks, so that two processes never decide about one patient at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, col, or_, select

from service.db import among
from service.escalation_rows import UNRESOLVED
from service.keyring import Hashed
from service.models import Enrollment, Escalation, Member, Patient, PhoneState, PlanItem, Reply, metadata

RUNNING = ("active", "paused")
RECENT = timedelta(hours=24)
LAST_QUESTION = timedelta(hours=72)
SKEW = timedelta(minutes=2)  # the carrier's clock and ours: a reply read late answers nothing put after it
OWN_TEXTS_FOR = timedelta(days=14)
OWN_ANSWERS_FOR = timedelta(hours=2)
MOST_OWN_TEXTS = 20
JOINED_WITHIN = timedelta(seconds=15)
MOST_PIECES = 4
TEXTS, REPLIES = metadata.tables["outbound_messages"], metadata.tables["replies"]


@dataclass(frozen=True, slots=True)
class Sender:
    """One patient a text may be from or about. ``enrollment``: the running course (the latest one when
    several run), else the last one; ``running``: all that run. ``caregiver``: written on the caregiver's
    phone. ``asked``: the questions put to the patient in the last days, newest first."""

    patient: Patient
    enrollment: Enrollment | None
    running: tuple[Enrollment, ...]
    caregiver: bool
    asked: tuple[PlanItem, ...] = ()


@dataclass(slots=True)
class Around:
    """One reply's surroundings. ``nobody``: the subject of an escalation about the phone itself. ``senders``
    is empty for an unknown number; ``member``: whoever of the team has this phone. ``state`` is not in the
    session when nothing was known: whoever changes it adds it. ``own_texts``: what we sent to the phone
    lately, newest first. ``answered``: keys and times of the answers it was given within the last two hours.
    ``before``: what the phone sent in the seconds before, oldest first. ``unresolved``: clinical escalations
    by subject, locked."""

    reply: Reply
    nobody: str
    senders: list[Sender]
    member: Member | None
    state: PhoneState
    own_texts: tuple[str, ...] = ()
    answered: tuple[tuple[str, str, datetime], ...] = ()
    before: tuple[str, ...] = ()
    unresolved: dict[str, Escalation] = field(default_factory=dict)

    @property
    def subjects(self) -> set[str]:
        """Whom an escalation of this reply would be about."""
        return {sender.patient.id for sender in self.senders} or {self.nobody}

    def subject_of(self, sender: Sender | None) -> str:
        """Whom an escalation of one reading is about."""
        return sender.patient.id if sender else self.nobody


def look_around(session: Session, replies: Sequence[Reply], now: datetime) -> list[Around]:
    """The surroundings of each reply, in order. Locks what a decision about its senders depends on.

    People are told apart by the keyed hashes of their phones, as the database finds them: a process that
    lacks a key cannot read the phone of a patient, and must know them all the same.
    """
    phones = sorted({str(reply.from_phone_hash) for reply in replies})
    wanted = [Hashed(phone) for phone in phones]
    patients = _patients(session, wanted)
    courses = _courses(session, patients)
    unresolved = _unresolved(session, [*wanted, *(patient.id for patient in patients)])
    states = _states(session, wanted)
    members = _members(session, wanted)
    questions = _questions(session, courses, min(reply.received_at for reply in replies))
    sent = _texts_to(session, wanted, now)
    earlier = _earlier(session, replies, wanted)
    found = []
    for reply in replies:
        phone = str(reply.from_phone_hash)
        around = Around(
            reply=reply,
            nobody=Hashed(phone),
            senders=[
                _sender(patient, courses, questions, phone)
                for patient in patients
                if phone in (patient.phone_hash, patient.caregiver_phone_hash)
            ],
            member=members.get(phone),
            state=states.get(phone) or PhoneState(phone=reply.from_phone),
            own_texts=_latest(sent, phone),
            answered=tuple((row.kind, row.key, row.created_at) for row in sent if _is_answer(row, phone)),
            before=_just_before(earlier, reply),
        )
        around.unresolved = {
            str(row.subject): row for row in unresolved if str(row.subject) in around.subjects
        }
        found.append(around)
    return found


def _patients(session: Session, wanted: Sequence[Hashed]) -> Sequence[Patient]:
    return session.exec(
        select(Patient)
        .where(
            or_(
                among(session, col(Patient.phone_hash), wanted),
                among(session, col(Patient.caregiver_phone_hash), wanted),
            )
        )
        .order_by(col(Patient.created_at), col(Patient.id))
        .with_for_update(read=True)  # nobody moves them to another team meanwhile
    ).all()


def _unresolved(session: Session, subjects: Sequence[str]) -> Sequence[Escalation]:
    return session.exec(
        select(Escalation)
        .where(among(session, col(Escalation.subject), subjects), Escalation.kind == "clinical", UNRESOLVED)
        .order_by(Escalation.id)
        .with_for_update()
    ).all()


def _states(session: Session, wanted: Sequence[Hashed]) -> dict[str, PhoneState]:
    known = session.exec(
        select(PhoneState)
        .where(among(session, col(PhoneState.phone_hash), wanted))
        .order_by(PhoneState.phone_hash)
        .with_for_update()
    )
    return {str(state.phone_hash): state for state in known}


def _courses(session: Session, patients: Sequence[Patient]) -> Sequence[Enrollment]:
    if not patients:
        return ()
    return session.exec(
        select(Enrollment)
        .where(among(session, col(Enrollment.patient_id), [patient.id for patient in patients]))
        .order_by(Enrollment.id)
        .with_for_update()
    ).all()


def _sender(
    patient: Patient, courses: Sequence[Enrollment], questions: Sequence[PlanItem], phone: str
) -> Sender:
    mine = sorted(
        (row for row in courses if row.patient_id == patient.id), key=lambda row: (row.procedure_at, row.id)
    )
    running = tuple(row for row in mine if row.status in RUNNING)
    chosen = running[-1] if running else mine[-1] if mine else None
    asking = {row.id for row in running} or ({chosen.id} if chosen else set())
    asked = tuple(item for item in questions if item.enrollment_id in asking)
    return Sender(patient, chosen, running, caregiver=patient.phone_hash != phone, asked=asked)


def _members(session: Session, wanted: Sequence[Hashed]) -> dict[str, Member]:
    """By hash of the phone: the longest-serving member who can still sign in."""
    rows = session.exec(
        select(Member)
        .where(among(session, col(Member.phone_hash), wanted), col(Member.disabled_at).is_(None))
        .order_by(col(Member.created_at).desc())
    )
    return {str(member.phone_hash): member for member in rows}


def _questions(session: Session, courses: Sequence[Enrollment], first: datetime) -> Sequence[PlanItem]:
    """Questions put to these patients since 72 h before the first reply, newest first."""
    if not courses:
        return ()
    return session.exec(
        select(PlanItem)
        .where(
            among(session, col(PlanItem.enrollment_id), [course.id for course in courses]),
            col(PlanItem.asks).is_not(None),
            col(PlanItem.sent_at) > first - LAST_QUESTION,
        )
        .order_by(col(PlanItem.sent_at).desc(), col(PlanItem.id).desc())
    ).all()


def _texts_to(session: Session, wanted: Sequence[Hashed], now: datetime) -> Sequence[Any]:
    """Texts to these phones that went out lately, whenever they were planned, and those planned just now."""
    columns = [
        TEXTS.c[name] for name in ("to_phone_hash", "kind", "key", "body", "created_at", "dispatched_at")
    ]
    return session.execute(
        select_columns(*columns).where(
            among(session, TEXTS.c.to_phone_hash, wanted),
            or_(TEXTS.c.dispatched_at > now - OWN_TEXTS_FOR, TEXTS.c.created_at > now - OWN_ANSWERS_FOR),
        )
    ).all()


def _latest(sent: Sequence[Any], phone: str) -> tuple[str, ...]:
    """The words of our own latest texts to a phone: quoted back, they are nobody's symptom."""
    mine = sorted(
        (row for row in sent if row.to_phone_hash == phone and row.dispatched_at is not None),
        key=lambda row: row.dispatched_at,
        reverse=True,
    )
    return tuple(dict.fromkeys(row.body for row in mine[:MOST_OWN_TEXTS]))


def _is_answer(row: Any, phone: str) -> bool:
    return row.to_phone_hash == phone and row.kind in ("safety", "notice")


def _earlier(session: Session, replies: Sequence[Reply], wanted: Sequence[Hashed]) -> Sequence[Any]:
    """What these phones sent shortly before: long texts arrive in pieces."""
    first = min(reply.received_at for reply in replies)
    last = max(reply.received_at for reply in replies)
    columns = [REPLIES.c[name] for name in ("id", "from_phone_hash", "body", "received_at", "stored_at")]
    return session.execute(
        select_columns(*columns).where(
            among(session, REPLIES.c.from_phone_hash, wanted),
            REPLIES.c.received_at >= first - JOINED_WITHIN,
            REPLIES.c.received_at <= last,
        )
    ).all()


def _just_before(earlier: Sequence[Any], reply: Reply) -> tuple[str, ...]:
    at = reply.received_at
    mine = sorted(
        (
            row
            for row in earlier
            if row.from_phone_hash == reply.from_phone_hash
            and row.id != reply.id
            and at - JOINED_WITHIN <= row.received_at <= at
        ),
        key=lambda row: (row.received_at, row.stored_at),
    )[-MOST_PIECES:]
    return tuple(row.body for row in mine if row.body.strip() and row.body != reply.body)


def _put_within(sender: Sender, span: timedelta, at: datetime) -> list[PlanItem]:
    """Questions put to this patient within ``span`` before ``at``, newest first."""
    return [item for item in sender.asked if item.sent_at and at - span < item.sent_at <= at + SKEW]


def recent_questions(sender: Sender, at: datetime) -> list[PlanItem]:
    """Questions of the last 24 h, newest first: a bare yes or no counts for each of them."""
    return _put_within(sender, RECENT, at)


def last_question(sender: Sender, at: datetime) -> PlanItem | None:
    """The last question put to this patient (answered or not), which a reply is read against."""
    return next(iter(_put_within(sender, LAST_QUESTION, at)), None)
