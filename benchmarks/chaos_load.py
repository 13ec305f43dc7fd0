"""What is thrown at the service in a chaos run: texts of every kind, and replies of every kind."""

import json
import random
import time
from datetime import datetime, timedelta
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from sqlalchemy import update
from sqlmodel import col

from service import enrollments, outbox
from service.db import session_on
from service.enrollment_request import NewEnrollment
from service.models import Escalation, Member, Patient
from service.runtime import Runtime
from tests.standin_carrier import ACCOUNT, NUMBER, post_signed

KINDS = ("notice", "notice", "safety", "member", "page", "enroll", "notice", "safety", "member", "enroll")
WORDS = (
    "my foot is numb since this morning",
    "all good thanks",
    "pain is 3",
    "fever 102 and chills",
    "i cant pee",
    "tengo mucho dolor en el pecho",
    "STOP",
    "7/10",
    "ok",
    "when can I drive?",
)


def queue_some(runtime: Runtime, first: int, end: int, due_at: datetime | None = None) -> int:
    """Texts number ``first`` to ``end``, each with words and a phone of its own. Commits; safe to repeat."""
    now = runtime.clock() - timedelta(hours=2)  # due for workers whose clock is behind, too
    for number in range(first, end):
        kind = KINDS[number % len(KINDS)]
        if kind == "enroll" and due_at is None:
            _enroll(runtime, number)
            continue
        with session_on(runtime.engine) as session:
            patient = session.get(Patient, f"{number:032d}")
            if patient is None:
                patient = _patient(number, now)
                session.add(patient)
                session.flush()
            outbox.queue(
                session,
                now=now,
                key=f"chaos:{number}",
                kind="notice" if kind == "enroll" else kind,
                to_phone=patient.phone,
                body=f"Text number {number} of this rehearsal.",
                due_at=due_at,
                expires_at=now + timedelta(hours=12),
                patient_id=patient.id,
            )
            session.commit()
    return end - first


def phone_of(number: int) -> str:
    return f"+1312{2_000_000 + number:07d}"


def _patient(number: int, now: datetime) -> Patient:
    return Patient(
        id=f"{number:032d}",
        name=f"Patient {number}",
        phone=phone_of(number),
        timezone="America/Chicago",
        language="en",
        created_at=now,
    )


def _enroll(runtime: Runtime, number: int) -> None:
    """A whole plan; its welcome is due at once and goes through the plan's own rules."""
    now = runtime.clock()
    request = NewEnrollment(
        name=f"Patient {number}",
        phone=phone_of(number),
        timezone="America/Chicago",
        language="en",
        protocol="vertebroplasty",
        procedure_at=now - timedelta(minutes=10),
        consent_method="written",
        consent_at=now - timedelta(hours=1),
    )
    with session_on(runtime.engine) as session:
        try:
            enrollments.enroll(session, runtime, request, now=now, actor="chaos")
        except enrollments.AlreadyEnrolled:
            return


def on_call(runtime: Runtime) -> None:
    """Somebody to page."""
    with session_on(runtime.engine) as session:
        session.add(
            Member(
                email="nurse@example.test",
                name="Nurse",
                role="nurse",
                phone="+13129990001",
                created_at=runtime.clock(),
            )
        )
        session.commit()


def replies(chance: random.Random, count: int) -> list[dict[str, str]]:
    """Signed-to-be forms, from known and unknown phones, with red flags among them."""
    return [
        {
            "AccountSid": ACCOUNT,
            "Body": f"{chance.choice(WORDS)}",
            "From": phone_of(chance.randrange(2000)),
            "MessageSid": f"SM{number:032x}",
            "NumMedia": "0",
            "NumSegments": "1",
            "To": NUMBER,
        }
        for number in range(count)
    ]


def tell_carrier(standin: str, forms: list[dict[str, str]]) -> None:
    """The carrier's log holds them whatever becomes of the webhook."""
    lines = [{"sid": form["MessageSid"], "phone": form["From"], "body": form["Body"]} for form in forms]
    data = urlencode({"lines": json.dumps(lines)}).encode()
    urlopen(Request(f"{standin}/_written", data=data), timeout=60).close()


def post(url: str, form: dict[str, str], tries: int = 5) -> int:
    """As the carrier does when told to (#rc=5): a few tries within its 15 s, then never again."""
    status = 0
    for again in range(tries):
        status = post_signed(url, form)
        if status == 200:
            break
        time.sleep(0.4 * (again + 1))
    return status


def acknowledge_all(runtime: Runtime) -> int:
    """Somebody has it: no more rounds of pages. Thousands of open ladders page for hours, so that there would
    always be a text on its way."""
    now = runtime.clock()
    with session_on(runtime.engine) as session:
        given = session.execute(
            update(Escalation)
            .where(col(Escalation.status) == "open")
            .values(
                status="acknowledged",
                acknowledged_at=now,
                acknowledged_by="nurse@example.test",
                acknowledgement_expires_at=now + timedelta(hours=6),
                next_event_at=now + timedelta(hours=6),
            )
            .execution_options(synchronize_session=False)
        )
        session.commit()
    return given.rowcount
