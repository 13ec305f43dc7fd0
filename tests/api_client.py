"""What the tests of the API share: clients with tokens, a right request, answers read strictly."""

from datetime import datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

from service.app import create_app
from service.db import session_on
from service.instants import zulu
from service.runtime import Runtime
from service.tokens import add_token

PHONE = "+13125550142"


def client_of(runtime: Runtime) -> TestClient:
    """The web application of a runtime, without a token. Faults of ours come back as answers."""
    return TestClient(create_app(runtime), raise_server_exceptions=False, follow_redirects=False)


def token_for(runtime: Runtime, name: str = "hospital system", *scopes: str, **values: Any) -> str:
    with session_on(runtime.engine) as session:
        return add_token(session, now=runtime.clock(), name=name, scopes=scopes or None, **values)


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


def signed_client(runtime: Runtime, name: str = "hospital system", *scopes: str) -> TestClient:
    """A client whose every request carries a token; without scopes it may do everything."""
    client = client_of(runtime)
    client.headers.update(bearer(token_for(runtime, name, *scopes)))
    return client


def enrollment_body(now: datetime, **values: Any) -> dict[str, Any]:
    """A right request: a vertebroplasty three hours ago. ``patient__phone="..."`` reaches inside."""
    body: dict[str, Any] = {
        "patient": {
            "name": "Ada Example",
            "phone": PHONE,
            "timezone": "America/Chicago",
            "language": "en",
        },
        "protocol": "vertebroplasty",
        "procedure_at": zulu(now - timedelta(hours=3)),
        "on_blood_thinner": None,
        "consent": {"method": "written", "at": zulu(now - timedelta(hours=4))},
    }
    for name, value in values.items():
        where, _, field = name.rpartition("__")
        (body[where] if where else body)[field] = value
    return body


def enroll(client: TestClient, now: datetime, **values: Any) -> dict[str, Any]:
    """Enroll a patient through the API; the answer."""
    answer = client.post("/api/v1/enrollments", json=enrollment_body(now, **values))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem an answer carries: right status, right media type, nothing of ours inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status
    assert "Traceback" not in answer.text and "sqlalchemy" not in answer.text.lower()
    return dict(found)
