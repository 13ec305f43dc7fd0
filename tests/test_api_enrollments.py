"""Enrolling through the API: the plan comes back, every fault is named, nobody is enrolled twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from sqlmodel import select

from service.db import session_on
from service.instants import zulu
from service.models import AuditEvent, Enrollment, Escalation, OutboundMessage, Patient
from service.runtime import Runtime
from tests.api_client import client_of, enroll, enrollment_body, problem, signed_client
from tests.conftest import SetClock

PLAN_STATES = {"planned", "skipped", "sent", "answered", "silent", "expired", "cancelled"}


def count(runtime: Runtime, table: Any) -> int:
    with session_on(runtime.engine) as session:
        return len(session.exec(select(table)).all())


def test_an_enrollment_answers_with_its_whole_plan_in_utc(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    answer = client.post("/api/v1/enrollments", json=enrollment_body(clock()))
    item = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/enrollments/{item['id']}"
    assert {"id", "patient_id", "status", "protocol", "version", "plan"} <= set(item)
    assert (item["status"], item["protocol"]) == ("active", "vertebroplasty")
    due = [entry["due_at"] for entry in item["plan"]]
    assert len(due) > 10 and due == sorted(due) and all(at.endswith("Z") for at in due)
    assert {entry["status"] for entry in item["plan"]} <= PLAN_STATES
    assert client.get(answer.headers["location"]).json() == item


def test_every_fault_of_a_request_is_named_by_field_and_nothing_is_stored(
    runtime: Runtime, clock: SetClock
) -> None:
    client = signed_client(runtime)
    body = enrollment_body(
        clock(),
        patient__phone="12",
        patient__timezone="Mars/Olympus",
        patient__language="fr",
        patient__nickname="Addie",
        protocol="appendectomy",
        procedure_at=zulu(clock() + timedelta(days=1)),
        on_blood_thinner="perhaps",
        baseline_pain=11,
        consent={"method": "nod", "at": "yesterday"},
        colour="blue",
    )
    errors = problem(client.post("/api/v1/enrollments", json=body), 422)["errors"]
    assert set(errors) == {
        "patient.phone", "patient.timezone", "patient.language", "patient.nickname", "protocol",
        "procedure_at", "on_blood_thinner", "baseline_pain", "consent.method", "consent.at", "colour",
    }  # fmt: skip
    assert all(said and all(said) for said in errors.values())
    assert count(runtime, Patient) == count(runtime, OutboundMessage) == 0


def test_an_empty_request_says_what_is_needed(runtime: Runtime) -> None:
    errors = problem(signed_client(runtime).post("/api/v1/enrollments"), 422)["errors"]
    assert {"patient.name", "patient.phone", "protocol", "procedure_at", "consent.method"} <= set(errors)


def test_bad_times_of_the_procedure_are_refused(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    for at in (clock() + timedelta(hours=1), clock() - timedelta(days=120)):
        body = enrollment_body(clock(), procedure_at=zulu(at))
        assert "procedure_at" in problem(client.post("/api/v1/enrollments", json=body), 422)["errors"]
    local = enrollment_body(clock(), procedure_at="2027-03-01T08:00:00")
    assert (
        "offset" in problem(client.post("/api/v1/enrollments", json=local), 422)["errors"]["procedure_at"][0]
    )


def test_a_second_enrollment_names_the_first_whatever_its_time(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    first = enroll(client, clock())
    other_time = zulu(clock() - timedelta(days=2))
    again = client.post("/api/v1/enrollments", json=enrollment_body(clock(), procedure_at=other_time))
    assert problem(again, 409)["enrollment_id"] == first["id"]
    spelled = enrollment_body(clock(), patient__name="  ada   EXAMPLE ")
    assert problem(client.post("/api/v1/enrollments", json=spelled), 409)["enrollment_id"] == first["id"]
    enroll(client, clock(), patient__name="Bo Example")  # shares the phone, another person
    enroll(client, clock(), protocol="kyphoplasty", discharged_at=zulu(clock() - timedelta(hours=1)))
    assert count(runtime, Enrollment) == 3


def test_the_same_external_id_is_the_same_patient(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    first = enroll(client, clock(), patient__external_id="MRN-1")
    moved = enrollment_body(clock(), patient__external_id="MRN-1", patient__phone="+13125550199")
    assert problem(client.post("/api/v1/enrollments", json=moved), 409)["enrollment_id"] == first["id"]


def test_a_kyphoplasty_without_discharge_opens_a_task(runtime: Runtime, clock: SetClock) -> None:
    item = enroll(signed_client(runtime), clock(), protocol="kyphoplasty")
    with session_on(runtime.engine) as session:
        task = session.exec(select(Escalation)).one()
    assert (task.reason, task.patient_id) == ("confirm_discharge", item["patient_id"])


def test_moving_the_procedure_replans_what_is_to_come(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    path = f"/api/v1/enrollments/{item['id']}"
    earlier = zulu(clock() - timedelta(hours=27))
    moved = client.patch(path, json={"procedure_at": earlier})
    assert moved.status_code == 200 and moved.json()["procedure_at"] == earlier
    before = {entry["key"]: entry["due_at"] for entry in item["plan"]}
    after = {entry["key"]: entry["due_at"] for entry in moved.json()["plan"]}
    assert sum(after[key] < before[key] for key in before) > 5
    assert client.patch(path, json={}).json() == moved.json()


def test_a_change_is_checked_field_by_field(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    path = f"/api/v1/enrollments/{enroll(client, clock())['id']}"
    body = {"procedure_at": "soon", "discharged_at": 5, "follow_up_on": [], "status": "completed"}
    assert set(problem(client.patch(path, json=body), 422)["errors"]) == set(body)
    future = {"procedure_at": zulu(clock() + timedelta(days=2))}
    assert "procedure_at" in problem(client.patch(path, json=future), 422)["errors"]
    assert "procedure_at" in problem(client.patch(path, json={"procedure_at": None}), 422)["errors"]
    problem(client.patch(f"/api/v1/enrollments/{'0' * 32}", json={}), 404)


def test_withdrawing_cancels_the_plan_once_and_for_all(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    item = enroll(client, clock())
    path = f"/api/v1/enrollments/{item['id']}"
    done = client.post(f"{path}/withdraw", json={"reason": "moved away"})
    assert done.status_code == 200 and done.json()["status"] == "withdrawn"
    assert "planned" not in {entry["status"] for entry in done.json()["plan"]}
    assert client.post(f"{path}/withdraw").json() == done.json()
    problem(client.patch(path, json={"procedure_at": zulu(clock())}), 409)
    assert "why" in problem(client.post(f"{path}/withdraw", json={"why": 1}), 422)["errors"]
    problem(client.post(f"/api/v1/enrollments/{'0' * 32}/withdraw"), 404)
    again = enroll(client, clock())  # after a withdrawal the same person may be enrolled anew
    assert again["id"] != item["id"] and again["patient_id"] == item["patient_id"]


def test_the_same_idempotency_key_enrolls_once(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    key = {"Idempotency-Key": "visit-17"}
    body = enrollment_body(clock())
    first = client.post("/api/v1/enrollments", json=body, headers=key)
    again = client.post("/api/v1/enrollments", json=body, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = client.post(
        "/api/v1/enrollments", json=enrollment_body(clock(), protocol="kyphoplasty"), headers=key
    )
    assert "Idempotency-Key" in problem(other, 422)["errors"]
    assert count(runtime, Enrollment) == 1


def test_a_key_belongs_to_its_token_and_lasts_24_hours(runtime: Runtime, clock: SetClock) -> None:
    key, body = {"Idempotency-Key": "k"}, enrollment_body(clock())
    mine, theirs = signed_client(runtime, "mine"), signed_client(runtime, "theirs")
    first = mine.post("/api/v1/enrollments", json=body, headers=key).json()
    assert (
        problem(theirs.post("/api/v1/enrollments", json=body, headers=key), 409)["enrollment_id"]
        == first["id"]
    )
    clock.advance(hours=23, minutes=59)
    assert mine.post("/api/v1/enrollments", json=body, headers=key).status_code == 201
    clock.advance(minutes=1)
    problem(mine.post("/api/v1/enrollments", json=body, headers=key), 409)


def test_a_refused_request_does_not_use_up_its_key(runtime: Runtime, clock: SetClock) -> None:
    client, key = signed_client(runtime), {"Idempotency-Key": "k"}
    problem(client.post("/api/v1/enrollments", json={}, headers=key), 422)
    assert client.post("/api/v1/enrollments", json=enrollment_body(clock()), headers=key).status_code == 201


def test_keys_that_cannot_be_stored_are_refused(runtime: Runtime, clock: SetClock) -> None:
    client, body = signed_client(runtime), enrollment_body(clock())
    for key in (b"", b"k" * 256, b"a\x01b", b"tab\there"):
        found = client.post("/api/v1/enrollments", json=body, headers={"Idempotency-Key": key})
        assert "Idempotency-Key" in problem(found, 422)["errors"]


def test_twelve_at_once_with_one_key_are_one_enrollment(runtime: Runtime, clock: SetClock) -> None:
    client, body = signed_client(runtime), enrollment_body(clock())

    def post(_number: int) -> Any:
        return client.post("/api/v1/enrollments", json=body, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(post, range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1 == count(runtime, Enrollment)


def test_eight_at_once_without_a_key_are_one_enrollment_and_seven_conflicts(
    runtime: Runtime, clock: SetClock
) -> None:
    client, body = signed_client(runtime), enrollment_body(clock())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/api/v1/enrollments", json=body), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert count(runtime, Enrollment) == 1


def test_looks_and_acts_are_in_the_audit_trail_with_their_token(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime, "hospital system")
    item = enroll(client, clock())
    client.get(f"/api/v1/enrollments/{item['id']}")
    with session_on(runtime.engine) as session:
        rows = session.exec(select(AuditEvent).where(AuditEvent.subject_id == item["id"])).all()
    assert {(row.action, row.actor) for row in rows} == {
        ("enroll patient", "hospital system"),
        ("view enrollment", "hospital system"),
    }


def test_nothing_is_told_to_a_program_without_token(runtime: Runtime, clock: SetClock) -> None:
    item = enroll(signed_client(runtime), clock())
    known = client_of(runtime).get(f"/api/v1/enrollments/{item['id']}")
    unknown = client_of(runtime).get(f"/api/v1/enrollments/{'0' * 32}")
    assert known.json() == unknown.json() and problem(known, 401)
