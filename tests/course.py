"""Small words that many tests share: a patient to enroll, and time that passes."""

from datetime import datetime, timedelta
from typing import Any

from service.db import session_on
from service.enrollment_request import parse_request
from service.enrollments import enroll
from service.models import Enrollment
from service.runtime import Runtime


def request_values(now: datetime, **changes: Any) -> dict[str, Any]:
    """The JSON of a valid request: a vertebroplasty two hours ago, with ``changes`` to patient or course."""
    values: dict[str, Any] = {
        "patient": {
            "name": "Rosa Delgado",
            "phone": "+13125550177",
            "timezone": "America/Chicago",
            "language": "en",
        },
        "protocol": "vertebroplasty",
        "procedure_at": (now - timedelta(hours=2)).isoformat(),
        "on_blood_thinner": False,
        "consent": {"method": "written", "at": (now - timedelta(days=1)).isoformat()},
    }
    for name, value in changes.items():
        in_patient = name in values["patient"] or name in (
            "external_id",
            "caregiver_phone",
            "caregiver_consent",
        )
        (values["patient"] if in_patient else values)[name] = value
    return values


def enroll_patient(runtime: Runtime, now: datetime, **changes: Any) -> Enrollment:
    """Enroll through the real use case."""
    with session_on(runtime.engine) as session:
        request = parse_request(request_values(now, **changes), now=now, protocols=runtime.protocols)
        return enroll(session, runtime, request, now=now, actor="test")
