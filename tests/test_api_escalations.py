"""Working on escalations through the API, exactly as the contract says."""

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlmodel import select

from messages.urgency import Urgency
from service.accounts import add_member
from service.db import session_on
from service.escalations import open_escalation
from service.models import AuditEvent, Escalation
from service.runtime import Runtime
from tests.api_client import PHONE, enroll, problem, signed_client
from tests.conftest import SetClock
from tests.test_api_messages import everything, text_from

KIM = "kim@clinic.example"
LEE = "lee@clinic.example"


def opened(runtime: Runtime, urgency: str = "urgent", subject: str = "+13125550111", **values: object) -> str:
    """An escalation of somebody unknown, with its urgency; its id."""
    reason = str(values.pop("reason", "unknown_number"))
    with session_on(runtime.engine) as session:
        row = open_escalation(
            session,
            now=runtime.clock(),
            site=runtime.site,
            reason=reason,
            urgency=Urgency(urgency),
            phone=subject,
        )
        session.commit()
        return row.id


def team(runtime: Runtime) -> None:
    with session_on(runtime.engine) as session:
        for email, name in ((KIM, "Kim"), (LEE, "Lee")):
            add_member(session, now=runtime.clock(), email=email, name=name, role="nurse")


def test_what_a_patient_wrote_stands_on_its_escalation(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    reply = text_from(runtime, "my legs are numb and I can't move them")
    (found,) = client.get("/api/v1/escalations").json()["items"]
    assert found["patient_id"] == item["patient_id"] and found["enrollment_id"] == item["id"]
    assert (found["urgency"], found["status"], found["reason"]) == ("emergency", "open", "red_flag")
    assert found["reply"] == {"id": reply, "body": "my legs are numb and I can't move them"}
    assert found["opened_at"].endswith("Z") and found["acknowledge_by"].endswith("Z")
    assert found["findings"]
    for finding in found["findings"]:
        assert {"concept", "status", "words", "start", "end", "rule"} <= set(finding)
    assert "acknowledged_by" not in found


def test_an_unknown_number_has_no_patient(runtime: Runtime) -> None:
    client = signed_client(runtime)
    text_from(runtime, "who is this", phone="+13125550177")
    (found,) = client.get("/api/v1/escalations").json()["items"]
    assert found["patient_id"] is None and found["enrollment_id"] is None
    assert (found["reason"], found["phone"]) == ("unknown_number", "+13125550177")


def test_the_list_is_by_urgency_then_age_and_pages_hold(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    wanted = []
    for number, urgency in enumerate(
        ["routine", "urgent", "emergency", "urgent", "routine", "emergency"] * 3
    ):
        row = opened(runtime, urgency, f"+1312555{number:04d}")
        wanted.append((-Urgency(urgency).rank, clock(), row))
        clock.advance(seconds=number % 2)
    order = [row for _rank, _at, row in sorted(wanted)]
    for limit in (1, 4, 50):
        assert [item["id"] for item in everything(client, "/api/v1/escalations", limit)] == order
    urgent = client.get("/api/v1/escalations?urgency=urgent&limit=1000").json()["items"]
    assert len(urgent) == 6 and {item["urgency"] for item in urgent} == {"urgent"}
    problem(client.get("/api/v1/escalations?urgency=high"), 422)
    assert "status" in problem(client.get("/api/v1/escalations?status=closed"), 422)["errors"]


def test_acknowledging_is_once_per_escalation(runtime: Runtime, clock: SetClock) -> None:
    client, other = signed_client(runtime), signed_client(runtime, "other system")
    path = f"/api/v1/escalations/{opened(runtime)}"
    first = client.post(f"{path}/acknowledge", json={})
    assert first.status_code == 200 and first.json()["acknowledged_by"] == "hospital system"
    taken_at = first.json()["acknowledged_at"]
    clock.advance(minutes=1)
    again = client.post(f"{path}/acknowledge")
    assert again.status_code == 200 and again.json()["acknowledged_at"] == taken_at
    held = problem(other.post(f"{path}/acknowledge", json={}), 409)
    assert (held["holder"], held["at"]) == ("hospital system", taken_at)


def test_acts_may_be_in_the_name_of_a_member(runtime: Runtime, clock: SetClock) -> None:
    team(runtime)
    client = signed_client(runtime)
    path = f"/api/v1/escalations/{opened(runtime)}"
    kim = client.post(f"{path}/acknowledge", json={"member": KIM})
    assert kim.status_code == 200 and kim.json()["acknowledged_by"] == KIM
    assert problem(client.post(f"{path}/acknowledge", json={"member": LEE}), 409)["holder"] == KIM
    problem(client.post(f"{path}/acknowledge", json={}), 409)
    for nobody in ("nobody@clinic.example", "", "x" * 300, 7):
        found = client.post(f"{path}/acknowledge", json={"member": nobody})
        assert "member" in problem(found, 422)["errors"]


def test_an_expired_acknowledgement_is_open_again_even_before_a_job_ran(
    runtime: Runtime, clock: SetClock
) -> None:
    team(runtime)
    client = signed_client(runtime)
    row = opened(runtime)
    client.post(f"/api/v1/escalations/{row}/acknowledge", json={"member": KIM})
    assert _listed(client, "acknowledged") == [row] and _listed(client, "open") == []
    clock.advance(days=4)
    assert _listed(client, "acknowledged") == [] and _listed(client, "open") == [row]
    found = client.get(f"/api/v1/escalations/{row}").json()
    assert found["status"] == "open" and "acknowledged_by" not in found
    taken = client.post(f"/api/v1/escalations/{row}/acknowledge", json={"member": LEE})
    assert taken.status_code == 200 and taken.json()["acknowledged_by"] == LEE


def _listed(client: TestClient, status: str) -> list[str]:
    return [item["id"] for item in client.get(f"/api/v1/escalations?status={status}").json()["items"]]


def test_a_contact_counts_and_a_try_only_counts(runtime: Runtime) -> None:
    client = signed_client(runtime)
    row = opened(runtime)
    path = f"/api/v1/escalations/{row}"
    tried = client.post(f"{path}/contact", json={"method": "could_not_reach", "note": "no answer"})
    assert (tried.json()["status"], tried.json()["contact_tries"]) == ("open", 1)
    spoke = client.post(f"{path}/contact", json={"method": "phone"})
    assert spoke.json()["status"] == "contacted"
    assert spoke.json()["acknowledged_by"] == spoke.json()["contacted_by"] == "hospital system"
    assert _listed(client, "contacted") == [row]
    assert "method" in problem(client.post(f"{path}/contact", json={"method": "pigeon"}), 422)["errors"]
    assert "method" in problem(client.post(f"{path}/contact", json={}), 422)["errors"]


def test_urgent_ones_need_a_contact_before_they_are_resolved(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for urgency in ("urgent", "emergency"):
        path = f"/api/v1/escalations/{opened(runtime, urgency, f'+1312555010{len(urgency)}')}"
        for disposition in ("seen_today", "advice_given", "expected_recovery", "other", "could_not_reach"):
            problem(client.post(f"{path}/resolve", json={"disposition": disposition, "note": "x"}), 409)
        for _ in range(3):
            client.post(f"{path}/contact", json={"method": "could_not_reach"})
        done = client.post(f"{path}/resolve", json={"disposition": "could_not_reach", "note": "three tries"})
        assert (done.status_code, done.json()["status"]) == (200, "resolved")


def test_some_dispositions_stand_without_a_contact(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for number, disposition in enumerate(("false_alarm", "sent_to_ed", "deceased")):
        path = f"/api/v1/escalations/{opened(runtime, 'emergency', f'+1312555011{number}')}"
        done = client.post(f"{path}/resolve", json={"disposition": disposition, "note": "seen"})
        assert done.json()["disposition"] == disposition and done.json()["resolved_by"] == "hospital system"


def test_resolving_works_from_every_state_but_resolved(runtime: Runtime) -> None:
    client = signed_client(runtime)
    row = opened(runtime, "routine")
    path = f"/api/v1/escalations/{row}"
    body = {"disposition": "advice_given", "note": "told to rest"}
    for missing in ("disposition", "note"):
        rest = {name: value for name, value in body.items() if name != missing}
        assert list(problem(client.post(f"{path}/resolve", json=rest), 422)["errors"]) == [missing]
    assert "note" in problem(client.post(f"{path}/resolve", json=body | {"note": "  "}), 422)["errors"]
    assert client.post(f"{path}/resolve", json=body).json()["status"] == "resolved"
    for act, given in (
        ("resolve", body), ("acknowledge", {}), ("contact", {"method": "phone"}),
    ):  # fmt: skip
        problem(client.post(f"{path}/{act}", json=given), 409)
    assert _listed(client, "resolved") == [row]
    again = client.post(f"{path}/reopen", json={"reason": "called back"})
    assert again.json()["status"] == "open" and "resolved_by" not in again.json()
    problem(client.post(f"{path}/reopen"), 409)


def test_unknown_escalations_are_404_for_every_act(runtime: Runtime) -> None:
    client = signed_client(runtime)
    for act in ("acknowledge", "contact", "resolve", "reopen"):
        problem(client.post(f"/api/v1/escalations/{'0' * 32}/{act}", json={}), 404)
    problem(client.get(f"/api/v1/escalations/{'0' * 32}"), 404)


def test_the_audit_trail_lists_acts_in_order_from_a_time_on(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    row = opened(runtime)
    clock.advance(minutes=1)
    later = clock()
    client.post(f"/api/v1/escalations/{row}/acknowledge", json={})
    clock.advance(minutes=1)
    client.post(f"/api/v1/escalations/{row}/contact", json={"method": "phone"})
    since = later.isoformat().replace("+00:00", "Z")
    items = client.get(f"/api/v1/audit?since={since}").json()["items"]
    assert [item["action"] for item in items] == ["escalation acknowledged", "escalation contacted"]
    assert {item["actor"] for item in items} == {"hospital system"}
    clock.advance(minutes=1)
    for spelled in (later.isoformat(), later.astimezone().isoformat()):  # a plus sign not encoded
        assert client.get(f"/api/v1/audit?since={spelled}").json()["items"][:2] == items
    assert "since" in problem(client.get("/api/v1/audit?since=yesterday"), 422)["errors"]
    assert "since" in problem(client.get("/api/v1/audit?since=2027-03-01T08:00:00"), 422)["errors"]
    ends = everything(client, "/api/v1/audit", 1)  # though each reading adds a row
    assert len(ends) >= 3


def test_reading_many_escalations_asks_the_database_a_fixed_number_of_questions(
    runtime: Runtime, clock: SetClock
) -> None:
    client = signed_client(runtime)
    asked: list[str] = []
    event.listen(runtime.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    counts = []
    for size in (1, 30):
        for number in range(size):
            text_from(runtime, "blood everywhere", f"+131255{number:02d}{size:03d}", number + size * 1000)
        asked.clear()
        assert len(client.get("/api/v1/escalations?limit=1000").json()["items"]) >= size
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 20


def test_an_old_escalation_keeps_its_place_while_others_come(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    for number in range(4):
        opened(runtime, "urgent", f"+1312555012{number}")
        clock.advance(seconds=1)
    page = client.get("/api/v1/escalations?limit=2").json()
    seen = [item["id"] for item in page["items"]]
    opened(runtime, "emergency", "+13125550130")
    rest = client.get(f"/api/v1/escalations?limit=50&cursor={page['next']}").json()["items"]
    assert len(rest) == 2 and not set(seen) & {item["id"] for item in rest}


def test_resolved_ones_stay_listed_without_status(runtime: Runtime) -> None:
    client = signed_client(runtime)
    row = opened(runtime, "routine")
    client.post(f"/api/v1/escalations/{row}/resolve", json={"disposition": "other", "note": "done"})
    assert [item["id"] for item in client.get("/api/v1/escalations").json()["items"]] == [row]
    with session_on(runtime.engine) as session:
        assert session.get_one(Escalation, row).status == "resolved"
        looks = session.exec(select(AuditEvent).where(AuditEvent.action == "view escalations")).all()
    assert len(looks) == 1 and PHONE not in str(looks[0].detail)


def test_clocks_are_those_of_the_urgency(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    opened(runtime, "emergency")
    (found,) = client.get("/api/v1/escalations").json()["items"]
    at = (clock() + timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    assert found["acknowledge_by"] == at


def test_the_scoreboard_counts_what_was_done_and_names_nobody(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/escalations/{opened(runtime, 'urgent')}"
    clock.advance(minutes=4)
    client.post(f"{path}/acknowledge", json={})
    clock.advance(minutes=2)
    client.post(f"{path}/contact", json={"method": "phone"})
    answer = client.get("/api/v1/scoreboard")
    urgent = next(row for row in answer.json()["escalations"] if row["urgency"] == "urgent")
    assert urgent == {
        "urgency": "urgent",
        "opened": 1,
        "median_seconds_to_acknowledge": 240.0,
        "median_seconds_to_contact": 360.0,
        "contacted_in_time": 1,
        "contact_was_due": 1,
    }
    safety = answer.json()["safety"]
    urgent = next(row for row in safety["by_urgency"] if row["urgency"] == "urgent")
    assert urgent["acknowledge"] == {"count": 1, "median": 4.0, "p95": 4.0, "inside": 1.0}
    assert urgent["contact"] == {"count": 1, "median": 6.0, "p95": 6.0, "inside": 1.0}
    assert [row["hour"] for row in safety["by_hour"]] == [10]
    assert set(safety) >= {"silent_patients", "escalations_per_100_patient_days", "false_alarm_share"}
    assert "+1312" not in answer.text
