"""How many patients a second can be enrolled, each with the whole plan of a kyphoplasty and one commit."""

import time
from datetime import timedelta

from benchmarks.table import Line
from service import enrollments
from service.db import session_on
from service.enrollment_request import NewEnrollment
from service.runtime import Runtime, make_runtime
from service.serving import prepare_database
from service.settings import Settings

PATIENTS, WARM_UP = 150, 10


def measure(lines: dict[str, Line], urls: dict[str, str]) -> None:
    """One round on each database."""
    for name, url in urls.items():
        runtime = make_runtime(Settings(_env_file=None, database_url=url, secret_key="0" * 64))
        try:
            prepare_database(runtime)
            _enroll(runtime, range(WARM_UP))
            began = time.perf_counter()
            _enroll(runtime, range(WARM_UP, WARM_UP + PATIENTS))
            lines[f"ours {name}"].rounds.append(PATIENTS / (time.perf_counter() - began))
        finally:
            runtime.close()


def _enroll(runtime: Runtime, numbers: range) -> None:
    now = runtime.clock()
    for number in numbers:
        request = NewEnrollment(
            name=f"Patient {number}",
            phone=f"+1312{2_000_000 + number:07d}",
            timezone="America/Chicago",
            language="en",
            protocol="kyphoplasty",
            procedure_at=now - timedelta(minutes=10),
            discharged_at=now - timedelta(minutes=5),
            consent_method="written",
            consent_at=now - timedelta(hours=1),
        )
        with session_on(runtime.engine) as session:
            enrollments.enroll(session, runtime, request, now=now, actor="bench")
