"""Breaking the glass: one patient of another team, with a reason, for four hours, never in silence."""

from sqlmodel import select

from service.db import reading, session_on
from service.models import AuditEvent, BreakGlass, Escalation, Patient
from service.runtime import Runtime
from tests.care_teams import put_in, two_teams
from tests.clinic import BEN, enroll, kinds, rows, the_escalation
from tests.conftest import SetClock
from tests.web_clinic import SignedIn, browser_of, words_of

WHY = "She phoned our desk: cannot feel her leg"


def browsers(runtime: Runtime) -> tuple[SignedIn, SignedIn, str]:
    """Somebody of each team, and the id of the other team's patient."""
    clinic = two_teams(runtime)
    nia, rob = browser_of(runtime, "Nia Own"), browser_of(runtime, "Rob Other")
    put_in(runtime, rob.member, clinic.other.id)
    return nia, rob, clinic.ben.patient_id


def test_the_whole_way(runtime: Runtime) -> None:
    nia, rob, patient_id = browsers(runtime)
    page = f"/patients/{patient_id}"
    assert nia.get(page).status_code == 404
    opened = nia.post("/break-glass", wanted="(312) 555-0112", reason=WHY)
    assert (opened.status_code, opened.headers["location"]) == (303, page)
    seen = words_of(nia.text(page))
    assert "Opened by Nia Own (Care team) until" in seen and WHY in seen
    assert "Opened by Nia Own (Care team) until" in words_of(rob.text(page)), "everyone sees it"
    task = the_escalation(runtime, reason="break_glass")
    assert task.patient_id == patient_id and "break_glass" in kinds(runtime, task)
    assert task.id in rob.text("/"), "the patient's own team reviews it"
    (event,) = rows(runtime, AuditEvent, AuditEvent.action == "break glass")
    assert (event.actor, event.subject_id) == (nia.member.email, patient_id)
    assert WHY not in str(event.detail) and event.detail["use"]


def test_it_ends_by_itself_after_four_hours(runtime: Runtime, clock: SetClock) -> None:
    nia, _rob, patient_id = browsers(runtime)
    nia.post("/break-glass", wanted="+13125550112", reason=WHY)
    for _ in range(20):
        assert nia.get(f"/patients/{patient_id}").status_code == 200
        clock.advance(minutes=12)
    assert nia.get(f"/patients/{patient_id}").status_code == 404
    assert nia.post(f"/patients/{patient_id}/text", body="hello", key="k").status_code == 404


def test_acts_are_possible_while_it_is_open_and_the_queue_shows_only_this_patient(runtime: Runtime) -> None:
    nia, rob, patient_id = browsers(runtime)
    other = enroll(runtime, "+13125550113", "Cyd Too", team="Spine North")
    nia.post("/break-glass", wanted="+13125550112", reason=WHY)
    assert nia.post(f"/patients/{patient_id}/text", body="We call you now.", key="k1").status_code == 303
    listed = nia.text("/patients?status=all")
    assert "Ben Roe" in listed and "Cyd Too" not in listed
    assert nia.get(f"/patients/{other.patient_id}").status_code == 404
    assert "Move to another team" not in nia.text(f"/patients/{patient_id}")
    assert "Move to another team" in rob.text(f"/patients/{patient_id}")


def test_it_can_be_closed_early_by_whoever_opened_it_and_by_the_patients_team(runtime: Runtime) -> None:
    nia, rob, patient_id = browsers(runtime)
    for browser in (nia, rob):
        nia.post("/break-glass", wanted="+13125550112", reason=WHY)
        (use,) = rows(runtime, BreakGlass, BreakGlass.ended_at.is_(None))  # type: ignore[union-attr]
        assert browser.post(f"/break-glass/{use.id}/end").status_code == 303
        assert nia.get(f"/patients/{patient_id}").status_code == 404
    ended = rows(runtime, BreakGlass)
    assert [use.ended_by for use in ended] == [nia.member.email, rob.member.email]
    assert len(rows(runtime, AuditEvent, AuditEvent.action == "end break glass")) == 2
    third = browser_of(runtime, "Third Person")
    nia.post("/break-glass", wanted="+13125550112", reason=WHY)
    (use,) = rows(runtime, BreakGlass, BreakGlass.ended_at.is_(None))  # type: ignore[union-attr]
    assert third.post(f"/break-glass/{use.id}/end").status_code == 404
    assert third.post(f"/break-glass/{'0' * 32}/end").status_code == 404


def test_nobody_found_says_the_same_whoever_there_is(runtime: Runtime) -> None:
    nia, _rob, _patient_id = browsers(runtime)
    with session_on(runtime.engine) as session:
        ben = session.exec(select(Patient).where(Patient.phone == BEN)).one()
        ben.external_id = "MRN-77"
        session.add(ben)
        session.commit()
    answers = [
        nia.post("/break-glass", wanted=wanted, reason=WHY)
        for wanted in ("+13125550188", "555-0112", "Ben Roe", "Ben", "MRN-7", "MRN-%", "mrn-77 x")
    ]
    said = {words_of(answer.text.replace(str(answer.request.content), "")) for answer in answers}
    assert {answer.status_code for answer in answers} == {422} and len(said) == 1
    assert "Nobody has exactly this number." in said.pop() and rows(runtime, BreakGlass) == []
    failed = rows(runtime, AuditEvent, AuditEvent.action == "break glass: nobody found")
    assert len(failed) == 7 and {event.subject_id for event in failed} == {None}
    assert nia.post("/break-glass", wanted="MRN-77", reason=WHY).status_code == 303


def test_guessing_is_slowed_down(runtime: Runtime, clock: SetClock) -> None:
    nia, rob, _patient_id = browsers(runtime)
    for number in range(8):
        assert nia.post("/break-glass", wanted=f"+1312555018{number}", reason=WHY).status_code == 422
    for wanted in ("+13125550112", "+13125550189"):  # one that exists, one that does not
        stopped = nia.post("/break-glass", wanted=wanted, reason=WHY)
        assert stopped.status_code == 429 and "Too many searches" in stopped.text
    assert rows(runtime, BreakGlass) == []
    assert rob.post("/break-glass", wanted="+13125550111", reason=WHY).status_code == 303, "others are not"
    clock.advance(minutes=14)
    nia.get("/")
    clock.advance(minutes=2)
    assert nia.post("/break-glass", wanted="+13125550112", reason=WHY).status_code == 303


def test_a_reason_is_needed_and_bounded(runtime: Runtime) -> None:
    nia, _rob, _patient_id = browsers(runtime)
    for reason in ("", "   ", "urgent", "x" * 501):
        answer = nia.post("/break-glass", wanted="+13125550112", reason=reason)
        assert answer.status_code == 422 and 'id="reason-fault"' in answer.text, reason
    assert nia.post("/break-glass", wanted=" ", reason=WHY).status_code == 422
    assert rows(runtime, BreakGlass) == []


def test_a_viewer_opens_nobody(runtime: Runtime) -> None:
    two_teams(runtime)
    vic = browser_of(runtime, "Vic Viewer", role="viewer")
    assert vic.get("/break-glass").status_code == 403
    assert vic.post("/break-glass", wanted="+13125550112", reason=WHY).status_code == 403
    assert "/break-glass" not in vic.text("/")


def test_a_patient_of_ones_own_team_needs_no_glass(runtime: Runtime) -> None:
    nia, _rob, _patient_id = browsers(runtime)
    assert nia.post("/break-glass", wanted="+13125550111", reason=WHY).status_code == 303
    assert rows(runtime, BreakGlass) == [] and rows(runtime, Escalation) == []


def test_a_shared_number_opens_each_patient_of_it_and_each_is_on_record(runtime: Runtime) -> None:
    nia, _rob, patient_id = browsers(runtime)
    twin = enroll(runtime, BEN, "Bea Roe", team="Spine North")
    answer = nia.post("/break-glass", wanted="+13125550112", reason=WHY)
    assert answer.headers["location"] == "/break-glass"
    seen = words_of(nia.text("/break-glass"))
    assert "Ben Roe" in seen and "Bea Roe" in seen
    events = rows(runtime, AuditEvent, AuditEvent.action == "break glass")
    assert {event.subject_id for event in events} == {patient_id, twin.patient_id}


def test_admins_see_every_use_on_patients_in_their_sight(runtime: Runtime) -> None:
    nia, _rob, _patient_id = browsers(runtime)
    nia.post("/break-glass", wanted="+13125550112", reason=WHY)
    with reading(runtime.engine) as session:
        other = session.exec(select(Patient.team_id).where(Patient.phone == BEN)).one()
    their_admin = browser_of(runtime, "Their Admin", role="admin")
    put_in(runtime, their_admin.member, other)
    own_admin = browser_of(runtime, "Own Admin", role="admin")
    assert WHY in words_of(their_admin.text("/break-glass/uses"))
    assert WHY not in own_admin.text("/break-glass/uses") and "Ben Roe" not in own_admin.text(
        "/break-glass/uses"
    )
    assert nia.get("/break-glass/uses").status_code == 403


def test_with_one_team_no_page_speaks_of_teams(runtime: Runtime) -> None:
    enroll(runtime)
    ada = browser_of(runtime, "Ada Admin", role="admin")
    patient = rows(runtime, Patient)[0]
    for path in ("/", "/patients", "/enroll", "/on-call", "/scoreboard", f"/patients/{patient.id}"):
        page = ada.text(path)
        assert "/break-glass" not in page and "/teams" not in page and "Care team<" not in page, path
        assert "All teams" not in page and "all teams" not in page, path
    assert ada.get("/break-glass").status_code == 404
    assert ada.post("/break-glass", wanted="+13125550111", reason=WHY).status_code == 404


def test_the_stream_of_a_hidden_patient_is_that_of_an_unknown_one(runtime: Runtime) -> None:
    nia, _rob, patient_id = browsers(runtime)
    unknown = nia.get(f"/live?topic=patient:{'0' * 32}")
    hidden = nia.get(f"/live?topic=patient:{patient_id}")
    assert (hidden.status_code, hidden.text) == (unknown.status_code, unknown.text) == (404, unknown.text)
