"""Care teams: each sees its own patients, no patient is out of everybody's sight, no page goes nowhere."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from messages.urgency import Urgency
from service import escalations, oncall, paging, queries
from service.db import reading, session_on
from service.models import (
    DEFAULT_TEAM,
    AuditEvent,
    BreakGlass,
    Escalation,
    Member,
    OutboundMessage,
    Patient,
    Team,
    TeamMember,
)
from service.runtime import Runtime
from service.safety_figures import safety_board
from service.scoreboard import scoreboard
from service.sight import (
    EVERYTHING,
    Sight,
    audit_in_sight,
    enrollment_in_sight,
    escalation_in_sight,
    patient_in_sight,
    roster,
    sight_of_member,
)
from tests.care_teams import put_in, team_of_patient, two_teams
from tests.clinic import (
    BEN,
    NURSE,
    SECOND,
    STRANGER,
    THIRD,
    enroll,
    member,
    sent_to,
    text,
    the_escalation,
)
from tests.conftest import SetClock

RED = "my left foot is numb"


def sight_of(runtime: Runtime, who: Member) -> Sight:
    with reading(runtime.engine) as session:
        return sight_of_member(session, session.get_one(Member, who.id), runtime.clock())


def names_in(runtime: Runtime, sight: Sight) -> set[str]:
    with reading(runtime.engine) as session:
        return set(session.exec(select(Patient.name).where(sight.of_patients())))


def test_with_one_team_everybody_sees_everything(runtime: Runtime) -> None:
    enroll(runtime)
    for role in ("viewer", "nurse", "admin"):
        kim = member(runtime, f"{role.title()} One", None, None, role=role)
        assert sight_of(runtime, kim) is EVERYTHING


def test_each_team_sees_its_own_and_the_charge_nurse_sees_all(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    assert names_in(runtime, sight_of(runtime, clinic.kim)) == {"Ana Doe"}
    assert names_in(runtime, sight_of(runtime, clinic.lee)) == {"Ben Roe"}
    charge = member(runtime, "Charge Nurse", None, None)
    put_in(runtime, charge, DEFAULT_TEAM, clinic.other.id)
    assert sight_of(runtime, charge).is_whole
    assert names_in(runtime, sight_of(runtime, charge)) == {"Ana Doe", "Ben Roe"}


def test_a_member_in_no_team_works_in_the_one_that_catches_all(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    newcomer = member(runtime, "New Comer", None, None)
    assert names_in(runtime, sight_of(runtime, newcomer)) == {"Ana Doe"}
    assert clinic.other.id in sight_of(runtime, newcomer).hidden


@pytest.mark.parametrize("why", ["disabled", "viewer", "gone", "ended", "unknown"])
def test_a_team_without_people_is_looked_after_by_the_one_that_catches_all(
    runtime: Runtime, why: str
) -> None:
    clinic = two_teams(runtime)
    with session_on(runtime.engine) as session:
        lee = session.get_one(Member, clinic.lee.id)
        if why == "disabled":
            lee.disabled_at = runtime.clock()
        elif why == "viewer":
            lee.role = "viewer"
        elif why == "gone":
            session.delete(session.get_one(TeamMember, (clinic.other.id, lee.id)))
        elif why == "ended":
            session.get_one(Team, clinic.other.id).active = False
        else:
            ben = session.exec(select(Patient).where(Patient.phone == BEN)).one()
            ben.team_id = "f" * 32
            session.add(ben)
        session.add(lee)
        session.commit()
    assert names_in(runtime, sight_of(runtime, clinic.kim)) == {"Ana Doe", "Ben Roe"}


def test_when_nobody_catches_all_everyone_sees_what_is_left(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    with session_on(runtime.engine) as session:
        session.get_one(Member, clinic.kim.id).disabled_at = runtime.clock()
        session.commit()
    assert names_in(runtime, sight_of(runtime, clinic.lee)) == {"Ana Doe", "Ben Roe"}


def test_no_patient_is_ever_out_of_everybodys_sight(runtime: Runtime) -> None:
    """Every way to spread three people over two teams, some of them unable to act."""
    clinic = two_teams(runtime)
    third = member(runtime, "Third Person", None, None)
    people = [clinic.kim, clinic.lee, third]
    tried = 0
    for mask in range(4**3):
        choice = [(mask >> (2 * place)) & 3 for place in range(3)]
        for off in range(2**3 - 1):  # somebody is always left
            with session_on(runtime.engine) as session:
                for place, who in enumerate(people):
                    _spread(session, runtime, who, clinic.other.id, choice[place], bool(off >> place & 1))
                session.flush()
                found = roster(session)
                for team_id in (DEFAULT_TEAM, clinic.other.id, "e" * 32):
                    assert found.looks_after(team_id), (choice, off, team_id)
                session.rollback()
            tried += 1
    assert tried == 448


def _spread(session: Session, runtime: Runtime, who: Member, other: str, bits: int, off: bool) -> None:
    for row in session.exec(select(TeamMember).where(TeamMember.member_id == who.id)):
        session.delete(row)
    session.flush()
    for bit, team_id in ((1, DEFAULT_TEAM), (2, other)):
        if bits & bit:
            session.add(TeamMember(team_id=team_id, member_id=who.id))
    session.get_one(Member, who.id).disabled_at = runtime.clock() if off else None


def test_an_escalation_belongs_to_its_patients_team_and_a_strangers_to_all_that_is_left(
    runtime: Runtime,
) -> None:
    clinic = two_teams(runtime)
    text(runtime, BEN, RED)
    text(runtime, STRANGER, RED)
    bens, stranger = (
        the_escalation(runtime, patient_id=clinic.ben.patient_id),
        the_escalation(runtime, phone=STRANGER),
    )
    assert (bens.team_id, stranger.team_id) == (clinic.other.id, DEFAULT_TEAM)
    with reading(runtime.engine) as session:
        for who, mine, not_mine in ((clinic.lee, bens, stranger), (clinic.kim, stranger, bens)):
            sight = sight_of(runtime, who)
            assert escalation_in_sight(session, sight, mine.id) is not None
            assert escalation_in_sight(session, sight, not_mine.id) is None
            listed = queries.escalations(session, sight, now=runtime.clock(), limit=50).items
            assert [item["id"] for item in listed] == [mine.id]


def test_rows_of_another_team_are_as_if_they_were_not_there(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    text(runtime, BEN, RED)
    row = the_escalation(runtime, phone=BEN)
    kim, lee = sight_of(runtime, clinic.kim), sight_of(runtime, clinic.lee)
    with reading(runtime.engine) as session:
        assert patient_in_sight(session, kim, clinic.ben.patient_id) is None
        assert enrollment_in_sight(session, kim, clinic.ben.id) is None
        assert patient_in_sight(session, lee, clinic.ben.patient_id) is not None
        assert enrollment_in_sight(session, lee, clinic.ben.id) is not None
        assert queries.messages_of(session, kim, clinic.ben.patient_id, limit=50).items == []
        assert queries.messages_of(session, lee, clinic.ben.patient_id, limit=50).items
        now = clock()
        boards = [
            safety_board(session, one, runtime.site, now, now - timedelta(days=2)) for one in (kim, lee)
        ]
        assert [board.by_urgency[1].cases + board.by_urgency[0].cases for board in boards] == [0, 1]
        scores = [scoreboard(session, one, runtime.site, now) for one in (kim, lee, EVERYTHING)]
        assert [score.replies for score in scores] == [0, 1, 1]
        assert [score.enrolled for score in scores] == [1, 1, 2]
        about = select(AuditEvent.subject_id).where(AuditEvent.subject_kind == "enrollment")
        seen = {
            name: set(session.exec(about.where(audit_in_sight(sight, "nobody"))))
            for name, sight in (("kim", kim), ("lee", lee))
        }
        assert seen == {"kim": {clinic.ana.id}, "lee": {clinic.ben.id}}
    assert row.team_id == clinic.other.id


def test_whoever_is_paged_sees_the_patient_until_it_is_resolved(runtime: Runtime, clock: SetClock) -> None:
    """The other team has no shift of its own: the site's on-call is paged, and can open the link."""
    clinic = two_teams(runtime)
    member(runtime, "Nora Nurse", NURSE, 1)
    nora = next(iter(on_call_now(runtime, clinic.other.id)))
    assert names_in(runtime, sight_of(runtime, nora)) == {"Ana Doe"}
    text(runtime, BEN, RED)
    row = the_escalation(runtime, phone=BEN)
    assert sent_to(runtime, NURSE, "page")
    assert names_in(runtime, sight_of(runtime, nora)) == {"Ana Doe", "Ben Roe"}
    with session_on(runtime.engine) as session:
        escalations.acknowledge(
            session, now=clock(), site=runtime.site, escalation_id=row.id, actor=nora.email
        )
        escalations.resolve(
            session, now=clock(), site=runtime.site, escalation_id=row.id, actor=nora.email,
            disposition="false_alarm", note="read wrongly",
        )  # fmt: skip
    assert names_in(runtime, sight_of(runtime, nora)) == {"Ana Doe"}


def on_call_now(runtime: Runtime, team_id: str, tier: int = 1) -> list[Member]:
    with reading(runtime.engine) as session:
        return oncall.to_page(session, tier, runtime.clock(), team_id)


def shift(runtime: Runtime, who: Member, team_id: str | None, tier: int = 1, **values: Any) -> None:
    with session_on(runtime.engine) as session:
        now = runtime.clock()
        oncall.add_shift(
            session, now=now, actor="test", member_id=who.id, tier=tier, starts_at=now, team_id=team_id,
            **values,
        )  # fmt: skip


def test_a_teams_own_shift_comes_first_and_the_sites_stands_in(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime, phone=SECOND)
    nora = member(runtime, "Nora Nurse", NURSE, 1)
    assert [one.id for one in on_call_now(runtime, clinic.other.id)] == [nora.id]
    shift(runtime, clinic.lee, clinic.other.id)
    assert [one.id for one in on_call_now(runtime, clinic.other.id)] == [clinic.lee.id]
    assert [one.id for one in on_call_now(runtime, DEFAULT_TEAM)] == [nora.id]
    with session_on(runtime.engine) as session:
        session.get_one(Member, clinic.lee.id).pages_blocked_at = clock()
        session.commit()
    assert [one.id for one in on_call_now(runtime, clinic.other.id)] == [nora.id], "cannot be paged: stand in"


def test_nobody_holds_a_shift_of_a_team_they_do_not_work_in(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    nora = member(runtime, "Nora Nurse", NURSE, None)
    with pytest.raises(oncall.ShiftError, match="does not work in that team"):
        shift(runtime, nora, clinic.other.id)


def test_gaps_of_a_team_are_those_that_the_site_does_not_fill(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime, phone=SECOND)
    shift(runtime, clinic.lee, clinic.other.id, ends_at=clock() + timedelta(hours=8))

    def gaps(team_id: str | None) -> list[tuple[float, float]]:
        with reading(runtime.engine) as session:
            found = oncall.gaps(session, runtime.site, clock(), clock() + timedelta(hours=24), team_id)
        hour = timedelta(hours=1)
        return [((gap.starts_at - clock()) / hour, (gap.ends_at - clock()) / hour) for gap in found]

    assert gaps(None) == gaps(DEFAULT_TEAM) == [(0, 24)]
    assert gaps(clinic.other.id) == [(8, 24)]
    member(runtime, "Nora Nurse", NURSE, 1)
    assert gaps(clinic.other.id) == gaps(None) == []


@pytest.mark.parametrize("broken", ["no shifts", "ended", "unknown", "blocked"])
def test_a_misconfigured_team_never_keeps_a_page_from_going_out(
    runtime: Runtime, clock: SetClock, broken: str
) -> None:
    clinic = two_teams(runtime, phone=SECOND)
    member(runtime, "Thea Third", THIRD, None)
    with session_on(runtime.engine) as session:
        if broken == "ended":
            session.get_one(Team, clinic.other.id).active = False
        elif broken == "unknown":
            session.get_one(Patient, clinic.ben.patient_id).team_id = "9" * 32
        elif broken == "blocked":
            session.get_one(Member, clinic.lee.id).pages_blocked_at = clock()
        session.commit()
    text(runtime, BEN, RED)
    for _ in range(60):
        clock.advance(minutes=1)
        with session_on(runtime.engine) as session:
            row = session.exec(select(Escalation).where(Escalation.phone == BEN)).one()
            paging.advance(session, runtime, row, clock())
            session.commit()
    told = [len(sent_to(runtime, phone, "page")) for phone in (SECOND, THIRD)]
    assert any(told), broken
    if broken == "no shifts":
        assert told[0] and not told[1], "first the team itself, whoever can be paged of it"


def test_a_code_of_another_teams_escalation_is_a_wrong_code(runtime: Runtime) -> None:
    two_teams(runtime, phone=SECOND)
    nora = member(runtime, "Nora Nurse", NURSE, None)
    text(runtime, BEN, RED)
    row = the_escalation(runtime, phone=BEN)
    text(runtime, nora.phone or "", f"ACK {row.code}")
    assert the_escalation(runtime, phone=BEN).status == "open"
    assert "No open alert" in sent_to(runtime, NURSE, "notice")[-1].body
    text(runtime, SECOND, f"ACK {row.code}")
    assert the_escalation(runtime, phone=BEN).status == "acknowledged"


def test_an_escalation_is_handed_only_to_who_sees_the_patient(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    text(runtime, BEN, RED)
    row = the_escalation(runtime, phone=BEN)
    given: dict[str, Any] = {"now": clock(), "site": runtime.site, "escalation_id": row.id}
    with session_on(runtime.engine) as session:
        escalations.acknowledge(session, **given, actor=clinic.lee.email)
        with pytest.raises(escalations.InvalidAct, match="another team"):
            escalations.hand_over(session, **given, actor=clinic.lee.email, to=clinic.kim.email)


def test_glass_opens_one_patient_for_a_time_and_never_for_a_viewer(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    with session_on(runtime.engine) as session:
        session.add(
            BreakGlass(
                member_id=clinic.kim.id, patient_id=clinic.ben.patient_id, reason="she phoned us",
                opened_at=clock(), until=clock() + timedelta(hours=4),
            )
        )  # fmt: skip
        session.commit()
    assert names_in(runtime, sight_of(runtime, clinic.kim)) == {"Ana Doe", "Ben Roe"}
    clock.advance(hours=4)
    assert names_in(runtime, sight_of(runtime, clinic.kim)) == {"Ana Doe"}
    clock.advance(hours=-1)
    with session_on(runtime.engine) as session:
        session.get_one(Member, clinic.kim.id).role = "viewer"
        session.commit()
    member(runtime, "Still Here", None, None)
    assert names_in(runtime, sight_of(runtime, clinic.kim)) == {"Ana Doe"}


def test_what_a_stranger_was_sent_is_not_what_a_patient_of_another_team_is_sent(runtime: Runtime) -> None:
    """A number of nobody's, enrolled later by another team: the old one shows nothing of the course."""
    from service.web import talk

    clinic = two_teams(runtime)
    text(runtime, STRANGER, RED)
    later = enroll(runtime, STRANGER, "Cal Now", team=clinic.other.name)
    with session_on(runtime.engine) as session:
        for message in session.exec(select(OutboundMessage).where(OutboundMessage.to_phone == STRANGER)):
            message.status = "delivered"
            session.add(message)
        session.commit()
        lines = talk.conversation(session, patient_id=None, phone=STRANGER)
        theirs = talk.conversation(session, patient_id=later.patient_id, phone=None)
    assert [line.direction for line in lines] == ["in", "out"]
    assert theirs and not {line.id for line in theirs} & {line.id for line in lines}
    assert team_of_patient(runtime, later.patient_id) == clinic.other.id
    assert Urgency(the_escalation(runtime, phone=STRANGER).urgency) >= Urgency.URGENT
