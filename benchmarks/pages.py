"""Server time of the pages a care team looks at all day: 100,000 patients, a million messages.

Each page is asked for through the whole application (guard, audit row, queries, template), in turns.
"""

import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from statistics import median

from fastapi.testclient import TestClient
from sqlalchemy import insert, text

from benchmarks.table import Line
from service.app import create_app
from service.db import session_on
from service.models import (
    Enrollment,
    Escalation,
    Member,
    MemberSession,
    OutboundMessage,
    Patient,
    Reply,
    StoredAssessment,
)
from service.planning import pin
from service.runtime import Runtime, make_runtime
from service.settings import Settings

PATIENTS = 100_000
MESSAGES = 1_000_000  # four in ten came in
OPEN_ESCALATIONS = 10_000
LOOKS = 15
TOKEN = "bench"
BATCH = 10_000
START = datetime(2027, 3, 1, 16, tzinfo=UTC)
SCALE = [("routine", 1), ("urgent", 2), ("emergency", 3)]


def measure(lines: dict[str, Line], urls: dict[str, str], rounds: int, patients: int = PATIENTS) -> None:
    """Fill each database once, then look at every page of each in turns."""
    clients = {}
    for name, url in urls.items():
        runtime = make_runtime(_settings(url), clock=lambda: START)
        _fill(runtime, patients)
        client = TestClient(create_app(runtime), base_url="http://127.0.0.1", follow_redirects=False)
        client.cookies.set("aftercare", TOKEN)
        clients[name] = (runtime, client)
    for _ in range(rounds):
        for name, (_, client) in clients.items():
            for page, address in addresses(patients).items():
                lines[f"{page} {name}"].rounds.append(_look(client, address))
    for runtime, _ in clients.values():
        runtime.close()


def addresses(patients: int = PATIENTS) -> dict[str, str]:
    """What is looked at, by name."""
    some = patients // 20
    return {
        "queue": "/",
        "queue, overdue": "/?view=overdue",
        "queue, searched": "/?q=Person 0001",
        "patients": "/patients",
        "one patient": f"/patients/{_id('a', some)}",
        "one escalation": f"/escalations/{_id('d', some)}",
        "scoreboard, counted within the minute": "/scoreboard",
    }


def _look(client: TestClient, address: str) -> float:
    """Milliseconds, median."""
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        answer = client.get(address)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 200, (address, answer.status_code)
    return 1000 * median(times)


def _settings(url: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=url,
        secret_key="0" * 64,
        public_url="http://127.0.0.1",
        quiet_hours="none",
    )


def _id(kind: str, number: int) -> str:
    return f"{kind}{number:031x}"


def _fill(runtime: Runtime, patients: int) -> None:
    protocol = runtime.protocols["kyphoplasty"]
    per_patient = MESSAGES // PATIENTS
    with session_on(runtime.engine) as session:
        pin(session, protocol, START)
        session.execute(insert(Member), [_member()])
        session.execute(insert(MemberSession), [_session()])
        session.commit()
        for start in range(0, patients, BATCH // per_patient):
            numbers = range(start, min(patients, start + BATCH // per_patient))
            replies = [(n, turn) for n in numbers for turn in range(per_patient * 2 // 5)]
            session.execute(insert(Patient), [_patient(n, patients) for n in numbers])
            session.execute(insert(Enrollment), [_enrollment(n, protocol.version) for n in numbers])
            session.execute(insert(Reply), [_reply(n, turn) for n, turn in replies])
            session.execute(insert(StoredAssessment), [_assessment(n, turn) for n, turn in replies])
            sent = [(n, turn) for n in numbers for turn in range(per_patient * 3 // 5)]
            session.execute(insert(OutboundMessage), [_message(n, turn) for n, turn in sent])
            session.execute(insert(Escalation), [_escalation(n, patients) for n in numbers])
            session.commit()
    with runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _member() -> dict:
    return {
        "id": _id("f", 0), "email": "kim@clinic.example", "name": "Kim", "role": "nurse", "language": "en",
        "created_at": START,
    }  # fmt: skip


def _session() -> dict:
    return {
        "token_hash": sha256(TOKEN.encode()).hexdigest(), "member_id": _id("f", 0), "csrf_token": "x",
        "created_at": START, "seen_at": START, "expires_at": START + timedelta(hours=12),
    }  # fmt: skip


def _patient(number: int, patients: int) -> dict:
    return {
        "id": _id("a", number), "name": f"Person {number * 7919 % patients:06d}",
        "phone": f"+1312{number:07d}", "timezone": "America/Chicago", "language": "en",
        "caregiver_consent": False, "created_at": START,
    }  # fmt: skip


def _enrollment(number: int, version: int) -> dict:
    return {
        "id": _id("b", number), "patient_id": _id("a", number), "protocol": "kyphoplasty", "version": version,
        "status": "active" if number % 5 == 0 else "completed", "on_blood_thinner": number % 3 == 0,
        "procedure_at": START - timedelta(days=number % 90), "consent_method": "written", "consent_at": START,
        "enrolled_at": START, "enrolled_by": "bench", "ends_at": START,
    }  # fmt: skip


def _reply(number: int, turn: int) -> dict:
    return {
        "id": _id("c", number * 10 + turn), "carrier_sid": f"SM{number}-{turn}",
        "from_phone": f"+1312{number:07d}",
        "body": "my left foot is numb since last nite", "segments": 1,
        "received_at": START - timedelta(days=turn, seconds=number), "stored_at": START, "caught_up": False,
        "patient_id": _id("a", number), "from_caregiver": False, "urgency": "urgent", "triaged_at": START,
        "triage_attempts": 1,
    }  # fmt: skip


def _assessment(number: int, turn: int) -> dict:
    found = {"concept": "numbness", "status": "present", "words": "numb", "start": 16, "end": 20,
             "rule": "numbness.bench", "urgency": "urgent"}  # fmt: skip
    return {
        "id": _id("e", number * 10 + turn), "reply_id": _id("c", number * 10 + turn),
        "patient_id": _id("a", number), "urgency": "urgent", "understood": True, "findings": [found],
        "weighed": [], "catalogue": "bench", "at": START,
    }  # fmt: skip


def _message(number: int, turn: int) -> dict:
    at = START - timedelta(days=turn, seconds=number)
    return {
        "id": _id("9", number * 10 + turn), "key": f"bench:{number}:{turn}", "kind": "check_in",
        "priority": 5,
        "to_phone": f"+1312{number:07d}", "body": "How is your back pain now, 0 to 10?", "language": "en",
        "patient_id": _id("a", number), "enrollment_id": _id("b", number), "status": "delivered",
        "created_at": at, "due_at": at, "expires_at": at, "accepted_at": at, "settled_at": at, "fence": 1,
        "attempts": 1,
    }  # fmt: skip


def _escalation(number: int, patients: int) -> dict:
    """One in ten is open."""
    urgency, rank = SCALE[number % 3]
    is_open = number % (patients // min(patients, OPEN_ESCALATIONS)) == 0
    at = START - timedelta(minutes=number % 50_000)
    return {
        "id": _id("d", number), "code": f"{number:05d}", "subject": _id("a", number), "kind": "clinical",
        "patient_id": _id("a", number), "enrollment_id": _id("b", number), "reply_id": _id("c", number * 10),
        "urgency": urgency, "urgency_rank": rank, "reason": "red_flag",
        "status": "open" if is_open else "resolved", "findings": [], "ladder": [], "opened_at": at,
        "raised_at": at, "acknowledge_by": at + timedelta(minutes=15), "contact_by": at + timedelta(hours=1),
        "ladder_started_at": at, "next_event_at": at if is_open else None,
        "resolved_at": None if is_open else at, "contact_tries": 0, "cannot_be_texted": False, "version": 1,
    }  # fmt: skip
