"""Whose patients somebody sees: the one place where care teams decide what a query may find.

Every query about patients made for a member or a program takes a ``Sight`` and puts its condition into the
statement, so that a patient of another team is found exactly as one that does not exist. What time makes
happen (jobs) and the command line see everything.

1. A member sees the patients of their teams; a member in no team works in the one that catches all.
2. A team that has nobody who could act, is not active or is not known is looked after by the team that
   catches all; if that has nobody either, by everyone. So no patient is ever out of everybody's sight.
3. Whoever was paged about an unresolved escalation sees its patient until it is resolved, and whoever broke
   the glass sees that patient until the time is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, true
from sqlmodel import Session, col, exists, or_, select

from service.models import (
    ANSWERING_ROLES,
    DEFAULT_TEAM,
    ApiToken,
    AuditEvent,
    BreakGlass,
    Enrollment,
    Escalation,
    Member,
    OutboundMessage,
    Patient,
    Reply,
    StoredAssessment,
    Team,
    TeamMember,
)

# What in the audit trail is about no patient; a kind that is not named here is taken to be about one.
NO_PATIENT = ("member", "shift", "token", "team", "audit", "session", "site", "protocol")


@dataclass(frozen=True, slots=True)
class Sight:
    """``teams``: only these, None for all but ``hidden``. ``patients`` and ``escalations`` are seen besides:
    by a page about them, or because the glass was broken."""

    teams: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    escalations: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is out of sight."""
        return self.teams is None and not self.hidden

    def sees_team(self, team_id: str) -> bool:
        """Whether all patients of a team are in sight."""
        return team_id not in self.hidden if self.teams is None else team_id in self.teams

    def of_team(self, column: Any) -> ColumnElement[bool]:
        """The condition on a column that holds a team's id."""
        if self.teams is not None:
            return column.in_(sorted(self.teams)) if self.teams else false()
        return column.not_in(sorted(self.hidden)) if self.hidden else true()

    def of_patients(self) -> ColumnElement[bool]:
        """The condition on ``Patient``."""
        mine = self.of_team(col(Patient.team_id))
        return or_(mine, col(Patient.id).in_(sorted(self.patients))) if self.patients else mine

    def of_escalations(self) -> ColumnElement[bool]:
        """The condition on ``Escalation``."""
        ways = [self.of_team(col(Escalation.team_id))]
        if self.patients:
            ways.append(col(Escalation.patient_id).in_(sorted(self.patients)))
        if self.escalations:
            ways.append(col(Escalation.id).in_(sorted(self.escalations)))
        return or_(*ways) if len(ways) > 1 else ways[0]

    def of_patient_id(self, column: Any) -> ColumnElement[bool]:
        """The condition on a column that holds a patient's id, in any table."""
        return true() if self.is_whole else column.in_(select(Patient.id).where(self.of_patients()))

    def has_patient(self, column: Any) -> ColumnElement[bool]:
        """The same, looked up row by row: for conditions that meet few rows."""
        return true() if self.is_whole else exists().where(col(Patient.id) == column, self.of_patients())

    def of_enrollment_id(self, column: Any) -> ColumnElement[bool]:
        """The condition on a column that holds an enrollment's id, in any table."""
        if self.is_whole:
            return true()
        mine = select(Enrollment.id).where(self.of_patient_id(col(Enrollment.patient_id)))
        return column.in_(mine)

    def of_one_team(self, team_id: str) -> "Sight | None":
        """The same, looking at one team only; None when that team is out of sight."""
        return Sight(frozenset((team_id,))) if self.sees_team(team_id) else None


EVERYTHING = Sight()


def patient_in_sight(
    session: Session, sight: Sight, patient_id: str | None, hold: bool = False
) -> Patient | None:
    """A patient; None for an unknown id and for one out of sight, with the same query. ``hold``: nobody moves
    them to another team before this transaction ends."""
    wanted = select(Patient).where(Patient.id == patient_id, sight.of_patients())
    return session.exec(wanted.with_for_update(read=True) if hold else wanted).one_or_none()


def enrollment_in_sight(
    session: Session, sight: Sight, enrollment_id: str | None, hold: bool = False
) -> Enrollment | None:
    """An enrollment; None for an unknown id and for one out of sight."""
    wanted = select(Enrollment, Patient).join(Patient, col(Patient.id) == Enrollment.patient_id)
    wanted = wanted.where(Enrollment.id == enrollment_id, sight.of_patients())
    found = session.exec(wanted.with_for_update(read=True, of=Patient) if hold else wanted).one_or_none()
    return found[0] if found else None


def escalation_in_sight(
    session: Session, sight: Sight, escalation_id: str | None, hold: bool = False
) -> Escalation | None:
    """An escalation; None for an unknown id and for one out of sight."""
    wanted = select(Escalation).where(Escalation.id == escalation_id, sight.of_escalations())
    return session.exec(wanted.with_for_update() if hold else wanted).one_or_none()


def reply_in_sight(session: Session, sight: Sight, reply_id: str) -> Reply | None:
    """A reply; None for an unknown id and for one out of sight.

    A phone that patients of two teams share is in the sight of both; a text from an unknown number in that of
    whoever sees an escalation of that number.
    """
    read_for = exists().where(
        col(StoredAssessment.reply_id) == Reply.id, sight.has_patient(col(StoredAssessment.patient_id))
    )
    strangers = exists().where(
        col(Escalation.patient_id).is_(None),
        col(Escalation.subject) == Reply.from_phone,
        sight.of_escalations(),
    )
    unknown = and_(col(Reply.patient_id).is_(None), strangers)
    seen = true() if sight.is_whole else or_(sight.has_patient(col(Reply.patient_id)), read_for, unknown)
    return session.exec(select(Reply).where(Reply.id == reply_id, seen)).one_or_none()


def message_in_sight(session: Session, sight: Sight, message_id: str) -> OutboundMessage | None:
    """A text of ours to a patient (no page); None for an unknown id and for one out of sight."""
    about = exists().where(col(Escalation.id) == OutboundMessage.escalation_id, sight.of_escalations())
    strangers = and_(col(OutboundMessage.patient_id).is_(None), about)
    seen = true() if sight.is_whole else or_(sight.has_patient(col(OutboundMessage.patient_id)), strangers)
    wanted = select(OutboundMessage).where(OutboundMessage.id == message_id, OutboundMessage.kind != "page")
    return session.exec(wanted.where(seen)).one_or_none()


def phone_in_sight(session: Session, sight: Sight, phone: str) -> bool:
    """Whether a number is nobody's, or that of a patient in sight."""
    if sight.is_whole:
        return True
    theirs = or_(col(Patient.phone) == phone, col(Patient.caregiver_phone) == phone)
    if session.exec(select(Patient.id).where(theirs, sight.of_patients()).limit(1)).first():
        return True
    return session.exec(select(Patient.id).where(theirs).limit(1)).first() is None


def audit_in_sight(sight: Sight, reader: str) -> ColumnElement[bool]:
    """The condition on ``AuditEvent``: what is about patients in sight, about no patient, or the reader's
    own."""
    if sight.is_whole:
        return true()
    about, subject = col(AuditEvent.subject_kind), col(AuditEvent.subject_id)
    theirs = {
        "patient": sight.has_patient(subject),
        "enrollment": exists().where(
            col(Enrollment.id) == subject, sight.has_patient(col(Enrollment.patient_id))
        ),
        "escalation": exists().where(col(Escalation.id) == subject, sight.of_escalations()),
        "reply": exists().where(col(Reply.id) == subject, sight.has_patient(col(Reply.patient_id))),
        "message": exists().where(
            col(OutboundMessage.id) == subject, sight.has_patient(col(OutboundMessage.patient_id))
        ),
    }
    return or_(
        col(AuditEvent.actor) == reader,
        about.is_(None),
        about.in_(NO_PATIENT),
        *(and_(about == kind, seen) for kind, seen in theirs.items()),
    )


@dataclass(frozen=True, slots=True)
class Roster:
    """Teams by id, and who works where: member id to teams. Only who can sign in is in it."""

    teams: dict[str, Team]
    works_in: dict[str, frozenset[str]]
    acts: frozenset[str]

    @property
    def manned(self) -> frozenset[str]:
        """The active teams that have somebody who may act."""
        held = {team for member, teams in self.works_in.items() if member in self.acts for team in teams}
        return frozenset(team for team in held if team in self.teams and self.teams[team].active)

    def sight_of(self, member_id: str) -> Sight:
        """What a member sees by the teams alone."""
        mine = {team for team in self.works_in.get(member_id, ()) if self.is_active(team)}
        manned = self.manned
        if DEFAULT_TEAM in mine or DEFAULT_TEAM not in manned:
            return Sight(None, hidden=manned - mine)
        return Sight(frozenset(mine))

    def is_active(self, team_id: str) -> bool:
        return team_id in self.teams and self.teams[team_id].active

    def looks_after(self, team_id: str) -> set[str]:
        """The members who may act and see this team's patients."""
        return {member for member in self.acts if self.sight_of(member).sees_team(team_id)}


def roster(session: Session) -> Roster:
    """Who works where now."""
    teams = {team.id: team for team in session.exec(select(Team))}
    rows = session.exec(
        select(Member.id, Member.role, TeamMember.team_id)
        .outerjoin(TeamMember, col(TeamMember.member_id) == Member.id)
        .where(col(Member.disabled_at).is_(None))
    ).all()
    found: dict[str, set[str]] = {}
    for member_id, _role, team_id in rows:
        found.setdefault(member_id, set()).add(team_id or DEFAULT_TEAM)
    works_in = {member_id: frozenset(mine) for member_id, mine in found.items()}
    acts = frozenset(member_id for member_id, role, _ in rows if role in ANSWERING_ROLES)
    return Roster(teams, works_in, acts)


def sight_of_member(session: Session, member: Member, now: datetime) -> Sight:
    """What a signed-in member sees now. A site with one team costs one small query."""
    if has_one_team(session):
        return EVERYTHING
    sight = roster(session).sight_of(member.id)
    if sight.is_whole:
        return EVERYTHING
    paged = session.exec(
        select(Escalation.id, Escalation.patient_id)
        .join(OutboundMessage, col(OutboundMessage.escalation_id) == Escalation.id)
        .where(
            OutboundMessage.member_id == member.id,
            OutboundMessage.kind == "page",
            col(Escalation.status) != "resolved",
            or_(col(Escalation.moved_at).is_(None), col(OutboundMessage.created_at) >= Escalation.moved_at),
        )
        .distinct()
    ).all()
    opened: Iterable[str] = ()
    if member.role in ANSWERING_ROLES:
        opened = session.exec(
            select(BreakGlass.patient_id).where(BreakGlass.member_id == member.id, is_open(now))
        ).all()
    patients = {patient_id for _, patient_id in paged if patient_id} | set(opened)
    return Sight(
        sight.teams, sight.hidden, frozenset(patients), frozenset(escalation_id for escalation_id, _ in paged)
    )


def sight_of_token(token: ApiToken) -> Sight:
    """What a program sees: everything unless its token names teams."""
    return EVERYTHING if token.teams is None else Sight(frozenset(token.teams))


def looks_after(session: Session, member: Member, team_id: str) -> bool:
    """Whether a member sees all patients of a team."""
    return has_one_team(session) or roster(session).sight_of(member.id).sees_team(team_id)


def is_open(now: datetime) -> ColumnElement[bool]:
    """The condition on ``BreakGlass``: still open at that time."""
    return and_(col(BreakGlass.ended_at).is_(None), col(BreakGlass.until) > now)


def has_one_team(session: Session) -> bool:
    """Whether this site never made a second team: then no page speaks of teams."""
    return len(session.exec(select(Team.id).limit(2)).all()) < 2


def teams_in_sight(session: Session, sight: Sight) -> list[Team]:
    """The active teams whose patients are in sight, by name."""
    found = session.exec(select(Team).where(col(Team.active), sight.of_team(col(Team.id))))
    return sorted(found, key=lambda team: (team.name.casefold(), team.id))
