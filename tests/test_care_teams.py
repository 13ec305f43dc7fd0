"""Making teams, working in them, enrolling into them, and moving a patient while others act."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlmodel import Session, select
from typer.testing import CliRunner

from jobs import watch_escalations
from service import escalations, oncall, teams
from service.checkup import _people
from service.db import reading, session_on
from service.enrollment_csv import COLUMNS, enroll_csv
from service.enrollment_request import EnrollmentFaults
from service.models import DEFAULT_TEAM, AuditEvent, Enrollment, Escalation, Member, Patient, Team
from service.runtime import Runtime
from service.sight import EVERYTHING, Sight, escalation_in_sight, roster, sight_of_member
from tests.api_client import bearer, client_of, enrollment_body, problem, token_for
from tests.care_teams import make_team, put_in, team_of_patient, two_teams
from tests.clinic import (
    ANA,
    BEN,
    NURSE,
    SECOND,
    enroll,
    in_session,
    kinds,
    member,
    rows,
    sent_to,
    text,
    the_escalation,
)
from tests.conftest import SetClock
from tests.web_clinic import browser_of, words_of

RED = "my left foot is numb"


def works_in(runtime: Runtime, who: Member) -> set[str]:
    with reading(runtime.engine) as session:
        return set(roster(session).works_in[who.id])


def test_teams_are_made_named_and_filled_by_an_admin(runtime: Runtime) -> None:
    ada = browser_of(runtime, "Ada Admin", role="admin")
    kim = member(runtime, "Kim Nurse", None, None)
    assert ada.post("/teams", name="  Pain   Clinic ").status_code == 303
    (team,) = rows(runtime, Team, Team.name == "Pain Clinic")
    for name in ("pain clinic", "", "x" * 41, "bell\x07"):
        assert ada.post("/teams", name=name).status_code == 422, name
    assert ada.post(f"/teams/{team.id}/members", member=[kim.id]).status_code == 303
    assert works_in(runtime, kim) == {DEFAULT_TEAM, team.id}, (
        "who was in no team keeps the one that catches all"
    )
    assert ada.post(f"/teams/{DEFAULT_TEAM}/members", member=[ada.member.id]).status_code == 303
    assert works_in(runtime, kim) == {team.id}
    refused = ada.post(f"/teams/{team.id}/members")
    assert refused.status_code == 422 and "Kim Nurse would work in no team" in refused.text
    assert ada.post(f"/teams/{team.id}", name="Pain North").status_code == 303
    assert ada.post(f"/teams/{'0' * 32}", name="Nowhere").status_code == 404
    seen = words_of(ada.text("/teams"))
    assert "Pain North" in seen and "catches all" in seen
    done = {event.action for event in rows(runtime, AuditEvent, AuditEvent.subject_kind == "team")}
    assert done == {"add team", "change team", "rename team"}


def test_an_admin_invites_into_a_team(runtime: Runtime) -> None:
    ada = browser_of(runtime, "Ada Admin", role="admin")
    new = {"name": "Nia New", "email": "nia@clinic.example", "role": "nurse"}
    assert "Care team" not in words_of(ada.text("/members")), "a site with one team never speaks of teams"
    assert ada.post("/teams", name="Pain Clinic").status_code == 303
    (team,) = rows(runtime, Team, Team.name == "Pain Clinic")
    refused = ada.post("/members", **new, team="f" * 32)
    assert refused.status_code == 422 and "is not one of the teams" in words_of(refused.text)
    assert not rows(runtime, Member, Member.name == "Nia New")
    assert "/sign-in/new/" in ada.post("/members", **new, team=team.id).text
    (nia,) = rows(runtime, Member, Member.name == "Nia New")
    assert works_in(runtime, nia) == {team.id}, "never, not for a moment, in the team that sees the rest"
    seen = words_of(ada.text("/members"))
    assert "nia@clinic.example Nurse Pain Clinic" in seen, seen


def test_a_team_is_ended_only_when_nobody_depends_on_it(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    ada = browser_of(runtime, "Ada Admin", role="admin")
    refusals = [
        (DEFAULT_TEAM, "cannot be ended"),
        (clinic.other.id, "has patients: move them"),
    ]
    for team_id, why in refusals:
        refused = ada.post(f"/teams/{team_id}", active="no")
        assert refused.status_code == 422 and why in words_of(refused.text)
    move(runtime, clinic.ben.patient_id, DEFAULT_TEAM)
    refused = ada.post(f"/teams/{clinic.other.id}", active="no")
    assert refused.status_code == 422 and "only team of Lee North" in words_of(refused.text)
    put_in(runtime, clinic.lee, DEFAULT_TEAM)
    assert ada.post(f"/teams/{clinic.other.id}", active="no").status_code == 303
    with pytest.raises(EnrollmentFaults):
        enroll(runtime, "+13125550114", "Dee New", team="Spine North")
    with pytest.raises(teams.TeamError):
        move(runtime, clinic.ana.patient_id, clinic.other.id)
    assert ada.post(f"/teams/{clinic.other.id}", active="yes").status_code == 303
    enroll(runtime, "+13125550114", "Dee New", team="Spine North")


def move(runtime: Runtime, patient_id: str, team_id: str, sight: Sight = EVERYTHING) -> bool:
    with session_on(runtime.engine) as session:
        return teams.move_patient(
            session, runtime, now=runtime.clock(), sight=sight, patient_id=patient_id, team_id=team_id,
            actor="ada@clinic.example",
        )  # fmt: skip


def act(runtime: Runtime, what: Any, row: Escalation, who: Member, **values: Any) -> None:
    in_session(runtime, what, site=runtime.site, escalation_id=row.id, actor=who.email, **values)


def test_moving_takes_escalations_along_tells_the_owner_and_pages_the_new_team(
    runtime: Runtime, clock: SetClock
) -> None:
    clinic = two_teams(runtime, phone=SECOND)
    nora = member(runtime, "Nora Nurse", NURSE, None)
    in_session(
        runtime, oncall.add_shift, actor="t", member_id=clinic.lee.id, tier=1, starts_at=clock(),
        team_id=clinic.other.id,
    )  # fmt: skip
    in_session(runtime, oncall.add_shift, actor="t", member_id=nora.id, tier=1, starts_at=clock())
    text(runtime, ANA, RED)
    row = the_escalation(runtime, phone=ANA)
    act(runtime, escalations.acknowledge, row, nora)
    before = the_escalation(runtime, phone=ANA)
    clock.advance(minutes=2)
    assert move(runtime, clinic.ana.patient_id, clinic.other.id) is True
    assert move(runtime, clinic.ana.patient_id, clinic.other.id) is False, "again: nothing to do"
    after = the_escalation(runtime, phone=ANA)
    assert (after.team_id, after.status, after.acknowledged_by) == (clinic.other.id, "open", None)
    assert after.contact_by == before.contact_by, "a deadline that nobody met stays"
    assert kinds(runtime, after).count("moved") == 1
    told = sent_to(runtime, NURSE, "notice")[-1].body
    assert row.code in told and "Spine North" in told and "no longer yours" in told
    assert not any(name in told for name in ("Ana", "Doe"))
    advance(runtime, clock)
    assert [page.escalation_id for page in sent_to(runtime, SECOND, "page")] == [row.id]
    with reading(runtime.engine) as session:
        seen = sight_of_member(session, session.get_one(Member, nora.id), clock())
    assert clinic.ana.patient_id not in seen.patients, "whoever was paged before the move sees it no more"
    (event,) = rows(runtime, AuditEvent, AuditEvent.action == "move patient to team")
    assert event.detail == {"from": DEFAULT_TEAM, "to": clinic.other.id}


def advance(runtime: Runtime, clock: SetClock) -> None:
    from jobs import page_on_call

    page_on_call.run(runtime, clock())


def test_an_owner_who_works_in_both_teams_keeps_it(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    put_in(runtime, clinic.kim, clinic.other.id)
    text(runtime, ANA, RED)
    row = the_escalation(runtime, phone=ANA)
    act(runtime, escalations.acknowledge, row, clinic.kim)
    move(runtime, clinic.ana.patient_id, clinic.other.id)
    after = the_escalation(runtime, phone=ANA)
    assert (after.status, after.acknowledged_by) == ("acknowledged", clinic.kim.email)


def test_what_was_contacted_is_open_again_and_keeps_its_contact(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    text(runtime, ANA, RED)
    row = the_escalation(runtime, phone=ANA)
    act(runtime, escalations.contact, row, clinic.kim, method="phone")
    clock.advance(hours=5)
    move(runtime, clinic.ana.patient_id, clinic.other.id)
    after = the_escalation(runtime, phone=ANA)
    assert after.status == "open" and after.contacted_at is not None and after.acknowledge_by > clock()
    act(runtime, escalations.resolve, after, clinic.lee, disposition="advice_given", note="taken over")


def test_only_whoever_sees_a_patient_moves_them(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    with reading(runtime.engine) as session:
        kims = roster(session).sight_of(clinic.kim.id)
    for patient_id in (clinic.ben.patient_id, "0" * 32):
        with pytest.raises(LookupError):
            move(runtime, patient_id, DEFAULT_TEAM, kims)
    assert team_of_patient(runtime, clinic.ben.patient_id) == clinic.other.id


def test_moving_on_the_page_leads_to_where_the_member_still_sees_something(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    nia = browser_of(runtime, "Nia Own")
    answer = nia.post(f"/patients/{clinic.ana.patient_id}/team", team=clinic.other.id)
    assert answer.headers["location"] == "/patients?done=team"
    assert "with the other team now" in nia.text("/patients?done=team")
    assert nia.get(f"/patients/{clinic.ana.patient_id}").status_code == 404
    charge = browser_of(runtime, "Charge Nurse")
    put_in(runtime, charge.member, DEFAULT_TEAM, clinic.other.id)
    back = charge.post(f"/patients/{clinic.ana.patient_id}/team", team=DEFAULT_TEAM)
    assert back.headers["location"] == f"/patients/{clinic.ana.patient_id}?done=team"
    assert charge.post(f"/patients/{clinic.ana.patient_id}/team", team="f" * 32).status_code == 422


def test_moving_while_somebody_acts_and_texts_leaves_one_truth(runtime: Runtime, clock: SetClock) -> None:
    """Moves back and forth, red flags and acts of the old team at once: what is open is always the patient's
    team's."""
    clinic = two_teams(runtime)
    patient_id = clinic.ana.patient_id
    for turn in range(4):
        there, here = (clinic.other.id, DEFAULT_TEAM) if turn % 2 == 0 else (DEFAULT_TEAM, clinic.other.id)
        acts = [
            partial(move, runtime, patient_id, there),
            partial(text, runtime, ANA, RED),
            partial(note_what_is_seen, runtime, Sight(frozenset((here,)))),
        ]
        with ThreadPoolExecutor(3) as pool:
            start = Barrier(3)
            for done in [pool.submit(act_at_once, start, one) for one in acts]:
                done.result(timeout=30)
        assert team_of_patient(runtime, patient_id) == there
        mine = rows(runtime, Escalation, Escalation.patient_id == patient_id)
        assert mine and {row.team_id for row in mine} == {there}
        for row in mine:
            if row.status != "resolved":
                act(runtime, escalations.resolve, row, clinic.kim, disposition="false_alarm", note="next")
        clock.advance(minutes=1)


def act_at_once(start: Barrier, what: Any) -> None:
    start.wait(timeout=20)
    what()


def note_what_is_seen(runtime: Runtime, sight: Sight) -> None:
    with session_on(runtime.engine) as session:
        for row_id in session.exec(select(Escalation.id).where(Escalation.status != "resolved")).all():
            if escalation_in_sight(session, sight, row_id, hold=True) is not None:
                escalations.note(session, now=runtime.clock(), escalation_id=row_id, actor="x", text="mine")


def test_enrolling_by_api_into_a_team(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    client = client_of(runtime)
    whole = bearer(token_for(runtime, "whole"))
    north = bearer(token_for(runtime, "north", teams=[clinic.other.id]))

    def post(headers: dict[str, str], phone: str, **values: Any) -> Any:
        body = enrollment_body(clock(), patient__phone=phone, **values)
        return client.post("/api/v1/enrollments", json=body, headers=headers)

    plain = post(whole, "+13125550120").json()
    assert plain["team"] == "Care team" and team_of_patient(runtime, plain["patient_id"]) == DEFAULT_TEAM
    named = post(whole, "+13125550121", team="spine  NORTH").json()
    by_id = post(whole, "+13125550122", team=clinic.other.id).json()
    own = post(north, "+13125550123").json()
    assert {named["team"], by_id["team"], own["team"]} == {"Spine North"}
    wrong = problem(post(whole, "+13125550124", team="South"), 422)
    assert wrong["errors"] == {"team": ["is not one of the teams: Care team, Spine North"]}
    hidden = problem(post(north, "+13125550124", team="Care team"), 422)
    assert hidden["errors"] == {"team": ["is not one of the teams: Spine North"]}, "others are not named"
    moved = problem(post(whole, "+13125550121", team="Care team"), 422)
    assert "move them first" in moved["errors"]["team"][0]


def test_a_person_in_another_teams_care_is_not_told_of(runtime: Runtime, clock: SetClock) -> None:
    """Same phone, name and record number: the other team's program gets its own patient, never a 409."""
    clinic = two_teams(runtime)
    client = client_of(runtime)
    catch = bearer(token_for(runtime, "catch", teams=[DEFAULT_TEAM]))
    north = bearer(token_for(runtime, "north", teams=[clinic.other.id]))
    body = enrollment_body(clock(), patient__external_id="MRN-9")
    first = client.post("/api/v1/enrollments", json=body, headers=catch)
    second = client.post("/api/v1/enrollments", json=body, headers=north)
    assert first.status_code == second.status_code == 201
    assert first.json()["patient_id"] != second.json()["patient_id"]
    again = client.post("/api/v1/enrollments", json=body, headers=north)
    assert again.status_code == 409 and again.json()["enrollment_id"] == second.json()["id"]
    text(runtime, "+13125550142", RED)
    both = rows(runtime, Escalation, Escalation.reason == "red_flag")
    assert {row.team_id for row in both} == {DEFAULT_TEAM, clinic.other.id}, "both teams are told"
    for token, answer in ((catch, first), (north, second)):
        listed = client.get(f"/api/v1/patients/{answer.json()['patient_id']}/messages", headers=token).json()
        assert [item["body"] for item in listed["items"] if item["direction"] == "in"] == [RED]


def csv_of(runtime: Runtime, *people: tuple[str, str, str]) -> bytes:
    day = runtime.clock().date()
    lines = [",".join((*COLUMNS, "team"))]
    for name, phone, team in people:
        lines.append(
            f"{name},{phone},America/Chicago,en,,,,vertebroplasty,{day} 02:00,,no,6,L1,local,,written,"
            f"{day} 01:00,{team}"
        )
    return ("\n".join(lines) + "\n").encode()


def test_a_csv_may_name_teams_and_one_wrong_name_enrolls_nobody(runtime: Runtime) -> None:
    clinic = two_teams(runtime)

    def upload(*people: tuple[str, str, str], sight: Sight = EVERYTHING) -> Any:
        content = csv_of(runtime, *people)
        with session_on(runtime.engine) as session:
            return enroll_csv(session, runtime, content, now=runtime.clock(), actor="t", sight=sight)

    bad = upload(("Al Fa", "+13125550131", "Spine North"), ("Be Ta", "+13125550132", "South"))
    assert [(fault.row, fault.column) for fault in bad.faults] == [(3, "team")] and bad.enrolled == 0
    assert len(rows(runtime, Enrollment)) == 2
    good = upload(("Al Fa", "+13125550131", "Spine North"), ("Be Ta", "+13125550132", ""))
    assert good.enrolled == 2
    found = {patient.name: patient.team_id for patient in rows(runtime, Patient)}
    assert (found["Al Fa"], found["Be Ta"]) == (clinic.other.id, DEFAULT_TEAM)
    only = Sight(frozenset((clinic.other.id,)))
    assert upload(("Ce Ro", "+13125550133", "Care team"), sight=only).faults
    assert upload(("Ce Ro", "+13125550133", ""), sight=only).enrolled == 1


def test_the_form_asks_for_a_team_only_where_there_is_a_choice(runtime: Runtime) -> None:
    nia = browser_of(runtime, "Nia Own")
    assert 'name="team"' not in nia.text("/enroll")
    clinic = two_teams(runtime)
    assert 'name="team"' not in nia.text("/enroll"), "one team in sight is no choice"
    put_in(runtime, nia.member, DEFAULT_TEAM, clinic.other.id)
    assert 'name="team"' in nia.text("/enroll")


def test_the_filter_stays_in_the_address_and_knows_only_teams_in_sight(runtime: Runtime) -> None:
    clinic = two_teams(runtime)
    text(runtime, ANA, RED), text(runtime, BEN, RED)
    charge, nia = browser_of(runtime, "Charge Nurse"), browser_of(runtime, "Nia Own")
    put_in(runtime, charge.member, DEFAULT_TEAM, clinic.other.id)
    whole = charge.text("/")
    assert "Ana Doe" in whole and "Ben Roe" in whole and f"team={clinic.other.id}" in whole
    for path in (f"/?team={clinic.other.id}", f"/patients?team={clinic.other.id}"):
        page = charge.text(path)
        assert "Ben Roe" in page and "Ana Doe" not in page, path
        assert page.count(f"team={clinic.other.id}") >= 5, "views keep the filter"
    assert charge.get(f"/scoreboard?team={clinic.other.id}").status_code == 200
    for path in ("/", "/patients", "/scoreboard"):
        hidden, unknown = nia.get(f"{path}?team={clinic.other.id}"), nia.get(f"{path}?team={'f' * 32}")
        assert hidden.status_code == unknown.status_code == 404
    assert "All teams" not in nia.text("/") and "Spine North" not in nia.text("/")


def test_numbers_of_another_team_are_nowhere_on_the_queue(runtime: Runtime) -> None:
    two_teams(runtime)
    text(runtime, BEN, RED)
    nia = browser_of(runtime, "Nia Own")
    assert "0 open, 0 overdue" in words_of(nia.text("/"))
    for words in ("Ben", "5550112", the_escalation(runtime, phone=BEN).code):
        assert "Nothing found" in nia.text(f"/?q={words}")
        assert "Ben Roe" not in nia.text(f"/patients?status=all&q={words}")


def test_a_shift_of_a_team_is_entered_on_the_page(runtime: Runtime) -> None:
    clinic = two_teams(runtime, phone=SECOND)
    nia = browser_of(runtime, "Nia Own")
    assert 'name="team"' in nia.text("/on-call")
    given = {"member_id": clinic.lee.id, "tier": "1", "team": clinic.other.id}
    assert nia.post("/on-call", **given).status_code == 303
    refused = nia.post("/on-call", **(given | {"team": DEFAULT_TEAM}))
    assert refused.status_code == 422 and "does not work in that team" in refused.text


def test_the_command_line_knows_teams(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.__main__ import app
    from tests.conftest import SECRET

    monkeypatch.setenv("AFTERCARE_DATABASE_URL", runtime.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("AFTERCARE_SECRET_KEY", SECRET)
    run = CliRunner()

    def said(*words: str, status: int = 0, given: str | None = None) -> str:
        result = run.invoke(app, list(words), input=given)
        assert result.exit_code == status, result.output
        return result.output

    assert "Added the team Pain Clinic." in said("team", "add", "Pain Clinic")
    assert "already" in said("team", "add", "pain clinic", status=1)
    person = ("member", "add", "pat@clinic.example", "--name", "Pat", "--role", "nurse", "--password-stdin")
    assert "is not one of the teams" in said(
        *person, "--team", "Nope", status=1, given="a long pass phrase 7\n"
    )
    said(*person, "--team", "pain clinic", given="a long pass phrase 7\n")
    listed = said("team", "list")
    assert "Pain Clinic: 1 members, 0 patients in follow-up" in listed
    assert "Care team: 0 members, 0 patients in follow-up, catches all" in listed
    token = said("token", "add", "pain system", "--team", "Pain Clinic").strip()
    assert token.startswith("aftercare_")
    pain = rows(runtime, Team, Team.name == "Pain Clinic")[0]
    with reading(runtime.engine) as session:
        from service.models import ApiToken

        assert session.exec(select(ApiToken.teams)).one() == [pain.id]
    assert make_team(runtime, "Third").name == "Third"


def test_the_check_names_teams_nobody_works_in_and_hours_nobody_fills(runtime: Runtime) -> None:
    clinic = two_teams(runtime, phone=SECOND)

    def faults() -> list[str]:
        with reading(runtime.engine) as session:  # not the whole check: it compares the database's own clock
            return [one.said for one in _people(session, runtime) if one.is_fault]

    gaps = faults()
    assert len(gaps) == 2 and all("nobody can be paged from" in said for said in gaps)
    for who, team_id in ((clinic.lee, clinic.other.id), (clinic.kim, DEFAULT_TEAM)):
        in_session(runtime, set_phone, who=who)
        in_session(
            runtime, oncall.add_shift, actor="t", member_id=who.id, tier=1, starts_at=runtime.clock(),
            team_id=team_id,
        )  # fmt: skip
    assert faults() == []
    in_session(runtime, set_phone, who=clinic.lee, disabled_at=runtime.clock())
    assert "In the team Spine North nobody may act, the team that catches all looks after" in faults()[0]
    with session_on(runtime.engine) as session:
        session.get_one(Team, clinic.other.id).active = False
        session.get_one(Patient, clinic.ana.patient_id).team_id = "e" * 32
        session.commit()
    said = faults()
    assert "The team Spine North has ended and has patients" in said[0]
    assert "Patients belong to a team that does not exist" in said[1]


def set_phone(session: Session, now: datetime, who: Member, **values: Any) -> None:
    row = session.get_one(Member, who.id)
    row.phone = row.phone or NURSE
    for name, value in values.items():
        setattr(row, name, value)
    session.add(row)
    session.commit()


def test_the_auditor_brings_a_stray_escalation_home(runtime: Runtime, clock: SetClock) -> None:
    clinic = two_teams(runtime)
    text(runtime, BEN, RED)
    with session_on(runtime.engine) as session:
        row = session.exec(select(Escalation)).one()
        row.team_id = DEFAULT_TEAM
        session.add(row)
        session.commit()
    assert watch_escalations.run(runtime, clock())["strays"] == 1
    assert the_escalation(runtime, phone=BEN).team_id == clinic.other.id
    assert watch_escalations.run(runtime, clock())["strays"] == 0
