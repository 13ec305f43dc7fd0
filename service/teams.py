"""Care teams of one site: who works in which, and moving a patient from one to another. Acts commit.

A team is never removed: it is ended when it has no patients, so that nobody's patients are without people.
"""

import logging
from datetime import datetime

from sqlmodel import Session, col, delete, func, select, update

from messages.escalation import clocks
from messages.urgency import Urgency
from messages.wording import standard_text
from service import audit, oncall, outbox, paging
from service.db import session_on
from service.escalation_rows import locked, restart_ladder, with_public_holidays, write_event
from service.models import DEFAULT_TEAM, Enrollment, Escalation, Member, Patient, Team, TeamMember
from service.page_answers import NOTICE_USEFUL
from service.runtime import Runtime
from service.sight import EVERYTHING, Roster, Sight, roster, teams_in_sight

log = logging.getLogger(__name__)
LONGEST_NAME = 40


class TeamError(ValueError):
    """What cannot be done with a team; the message says what to do instead."""


def add_team(session: Session, *, now: datetime, name: str, actor: str = audit.SYSTEM) -> Team:
    """A new team without people: until somebody works in it, the team that catches all looks after it.

    Raises TeamError.
    """
    team = Team(name=_free_name(session, name), created_at=now)
    session.add(team)
    session.flush()
    _recorded(session, now, actor, "add team", team.id)
    return team


def rename(session: Session, *, now: datetime, team_id: str, name: str, actor: str) -> Team:
    """Give a team another name. Raises TeamError."""
    team = _known(session, team_id)
    team.name = _free_name(session, name, but=team.id)
    session.add(team)
    _recorded(session, now, actor, "rename team", team.id)
    return team


def set_active(session: Session, *, now: datetime, team_id: str, active: bool, actor: str) -> Team:
    """End a team, or take it up again. Raises TeamError while it has patients or is somebody's only team."""
    team = _known(session, team_id)
    if not active:
        if team.id == DEFAULT_TEAM:
            raise TeamError("This team catches what belongs to no other: it cannot be ended.")
        if session.exec(select(Patient.id).where(Patient.team_id == team.id).limit(1)).first():
            raise TeamError(f"{team.name} has patients: move them to another team first.")
        found = roster(session)
        only = {member for member, mine in found.works_in.items() if mine == {team.id}}
        if only:
            names = session.exec(select(Member.name).where(col(Member.id).in_(only)).order_by(Member.name))
            raise TeamError(f"It is the only team of {', '.join(names)}: give them another one first.")
    team.active = active
    session.add(team)
    _recorded(session, now, actor, "take up team" if active else "end team", team.id)
    return team


def set_members(
    session: Session, *, now: datetime, team_id: str, member_ids: set[str], actor: str
) -> list[Member]:
    """Let exactly these members work in a team; who can no longer sign in stays as they are. Returns who came
    or went. Raises TeamError for whoever would be left without a team."""
    team = _known(session, team_id)
    if not team.active:
        raise TeamError(f"{team.name} has ended: take it up again first.")
    found = roster(session)
    changed = {
        member for member, mine in found.works_in.items() if (member in member_ids) != (team_id in mine)
    }
    people = session.exec(select(Member).where(col(Member.id).in_(changed)).order_by(Member.name)).all()
    for member in people:
        mine = found.works_in[member.id] ^ {team_id}
        if not any(found.is_active(one) for one in mine):
            raise TeamError(f"{member.name} would work in no team: add them to another one first.")
        _write(session, member.id, mine)
    _recorded(session, now, actor, "change team", team.id, members=[member.id for member in people])
    return list(people)


def _write(session: Session, member_id: str, team_ids: set[str] | frozenset[str]) -> None:
    session.exec(delete(TeamMember).where(col(TeamMember.member_id) == member_id))
    session.add_all(TeamMember(team_id=team_id, member_id=member_id) for team_id in sorted(team_ids))


def team_named(session: Session, given: str, sight: Sight = EVERYTHING) -> Team:
    """The active team of this name or id whose patients are in sight. Raises TeamError naming those there
    are."""
    teams = teams_in_sight(session, sight)
    wanted = " ".join(given.split()).casefold()
    for team in teams:
        if wanted in (team.name.casefold(), team.id):
            return team
    raise TeamError(f"is not one of the teams: {', '.join(team.name for team in teams)}")


def move_patient(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    sight: Sight,
    patient_id: str,
    team_id: str,
    actor: str,
) -> bool:
    """Give a patient, with all escalations, to another team. False: they are in it already. Raises TeamError,
    LookupError for a patient out of sight.

    1. The patient's row is held, so that whoever acts on them now has finished, and what is opened next
       belongs to the new team.
    2. Whoever holds an escalation and does not work in the new team is told that it is no longer theirs; it
       is open again and the new team is paged. A deadline nobody has met yet stays as it was.
    """
    team = session.exec(select(Team).where(Team.id == team_id).with_for_update(read=True)).one_or_none()
    if team is None or not team.active:
        raise TeamError("There is no such team.")
    patient = session.exec(
        select(Patient)
        .where(Patient.id == patient_id, sight.of_patients())
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if patient is None:
        raise LookupError("There is no such patient.")
    before = patient.team_id
    if before == team_id:
        session.rollback()
        return False
    patient.team_id = team_id
    session.add(patient)
    theirs = col(Escalation.patient_id) == patient_id
    waiting = session.exec(
        select(Escalation.id).where(theirs, Escalation.status != "resolved").order_by(Escalation.id)
    ).all()
    session.exec(update(Escalation).where(theirs).values(team_id=team_id))
    people = roster(session)
    for escalation_id in waiting:
        _move_escalation(session, runtime, people, locked(session, escalation_id), before, team, now, actor)
    audit.record(
        session, now=now, actor=actor, action="move patient to team", subject_kind="patient",
        subject_id=patient_id, detail={"from": before, "to": team_id},
    )  # fmt: skip
    session.commit()
    runtime.wake.set()
    return True


def _move_escalation(
    session: Session,
    runtime: Runtime,
    people: Roster,
    row: Escalation,
    before: str,
    team: Team,
    now: datetime,
    actor: str,
) -> None:
    if row.status == "resolved":
        return
    holder = session.exec(select(Member).where(Member.email == row.acknowledged_by)).one_or_none()
    row.moved_at = now
    write_event(
        session, row, now=now, kind="moved", actor=actor,
        source=people.teams[before].name if before in people.teams else None, team=team.name,
    )  # fmt: skip
    if holder is not None and people.sight_of(holder.id).sees_team(team.id):
        return
    if row.status != "open":
        times = clocks(with_public_holidays(runtime.site, now), Urgency(row.urgency), now)
        row.acknowledge_by = times.acknowledge_by
        row.contact_by = times.contact_by if row.status == "contacted" else row.contact_by
        row.status = "open"
    row.acknowledged_by = row.acknowledged_at = row.acknowledgement_expires_at = None
    restart_ladder(row, runtime.site)
    row.ladder_started_at = row.next_event_at = max(now, row.ladder_started_at)
    session.add(row)
    if holder is not None:
        _tell(session, runtime, row, holder, team, now)


def _tell(
    session: Session, runtime: Runtime, row: Escalation, holder: Member, team: Team, now: datetime
) -> None:
    for member in oncall.pageable(session, [holder]):
        outbox.queue(
            session, now=now, key=f"member:page_moved:{row.id}:{row.version}", kind="notice",
            to_phone=str(member.phone),
            body=standard_text(
                "page_moved", member.language, code=row.code, name=team.name,
                link=paging.link_to(runtime, row),
            ),
            language=member.language, priority=outbox.PERSON_WAITS, expires_at=now + NOTICE_USEFUL,
            member_id=member.id, escalation_id=row.id,
        )  # fmt: skip


def faults(session: Session) -> list[str]:
    """What is wrong with the teams, one sentence each with how to mend it."""
    people = roster(session)
    said = []
    with_patients = session.exec(select(Patient.team_id).distinct())
    for team_id in sorted(with_patients, key=lambda one: (one not in people.teams, one)):  # known teams first
        team = people.teams.get(team_id)
        if team_id in people.manned:
            continue
        if team is None:
            said.append("Patients belong to a team that does not exist: move them on their pages.")
        elif not team.active:
            said.append(f"The team {team.name} has ended and has patients: move them or take it up again.")
        else:
            who = "everyone" if team_id == DEFAULT_TEAM else "the team that catches all"
            mend = "put a nurse, clinician or admin into it on the page Care teams."
            said.append(f"In the team {team.name} nobody may act, {who} looks after its patients: {mend}")
    return said


def bring_home(runtime: Runtime, now: datetime, limit: int = 200) -> int:
    """Unresolved escalations that are not with their patient's team go there; how many. It should be none."""
    with session_on(runtime.engine) as session:
        strays = session.exec(
            select(Escalation.id, Patient.team_id)
            .join(Patient, col(Patient.id) == Escalation.patient_id)
            .where(Escalation.status != "resolved", Escalation.team_id != Patient.team_id)
            .limit(limit)
        ).all()
        for escalation_id, team_id in strays:
            log.error("auditor: escalation %s was not with its patient's team; moved there", escalation_id)
            row = locked(session, escalation_id)
            row.team_id, row.moved_at = team_id, now
            row.next_event_at = min(row.next_event_at or now, now)
            write_event(session, row, now=now, kind="repaired", actor="auditor")
        session.commit()
    return len(strays)


def patients_by_team(session: Session) -> dict[str, int]:
    """How many patients with a running course each team has."""
    rows = session.exec(
        select(Patient.team_id, func.count(func.distinct(Patient.id)))
        .join(Enrollment, col(Enrollment.patient_id) == Patient.id)
        .where(col(Enrollment.status).in_(("active", "paused")))
        .group_by(Patient.team_id)
    ).all()
    return {team_id: count for team_id, count in rows}


def _known(session: Session, team_id: str) -> Team:
    team = session.get(Team, team_id, with_for_update=True)
    if team is None:
        raise TeamError("There is no such team.")
    return team


def _free_name(session: Session, name: str, but: str | None = None) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise TeamError(f"Write a name of 1 to {LONGEST_NAME} characters.")
    for team in session.exec(select(Team)):
        if team.name.casefold() == name.casefold() and team.id != but:
            raise TeamError("There is a team of this name already.")
    return name


def _recorded(
    session: Session, now: datetime, actor: str, action: str, team_id: str, **detail: object
) -> None:
    audit.record(
        session, now=now, actor=actor, action=action, subject_kind="team", subject_id=team_id,
        detail=detail or None,
    )  # fmt: skip
    session.commit()
