"""The safety figures for programs: JSON for reports, gauges for Prometheus."""

from datetime import timedelta

from service import escalations
from service.runtime import Runtime
from service.web.api_safety import LONGEST_SPAN
from tests.api_client import problem, signed_client
from tests.clinic import ANA, enroll, text, the_escalation
from tests.conftest import SetClock
from tests.test_escalations import do


def fever_called_after_nine_minutes(runtime: Runtime, clock: SetClock) -> None:
    enroll(runtime, days=3)
    text(runtime, ANA, "temp is 101.5")
    clock.advance(minutes=9)
    do(runtime, escalations.contact, the_escalation(runtime), method="phone")


def test_minutes_by_urgency_are_there_and_no_patient_is(runtime: Runtime, clock: SetClock) -> None:
    fever_called_after_nine_minutes(runtime, clock)
    answer = signed_client(runtime).get("/api/v1/safety")
    assert answer.status_code == 200
    urgent = {row["urgency"]: row for row in answer.json()["by_urgency"]}["urgent"]
    assert (urgent["cases"], urgent["contact"]["median"], urgent["contact"]["inside"]) == (1, 9.0, 1.0)
    assert "Ana" not in answer.text and ANA not in answer.text


def test_since_is_read_bounded_and_refused_when_it_is_no_time(runtime: Runtime, clock: SetClock) -> None:
    client = signed_client(runtime)
    fever_called_after_nine_minutes(runtime, clock)
    clock.advance(days=2)
    since = (clock() - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert sum(row["cases"] for row in client.get(f"/api/v1/safety?since={since}").json()["by_urgency"]) == 0
    long_ago = client.get("/api/v1/safety?since=1999-01-01T00:00:00Z").json()
    assert long_ago["since"] == (clock() - LONGEST_SPAN).isoformat().replace("+00:00", "Z")
    assert "since" in problem(client.get("/api/v1/safety?since=yesterday"), 422)["errors"]


def test_it_needs_the_scope_of_figures(runtime: Runtime) -> None:
    problem(signed_client(runtime, "reader", "patients:read").get("/api/v1/safety"), 403)


def test_prometheus_gets_the_same_minutes(runtime: Runtime, clock: SetClock) -> None:
    fever_called_after_nine_minutes(runtime, clock)
    page = signed_client(runtime).get("/metrics").text
    assert 'aftercare_minutes_to_contact{figure="median",urgency="urgent"} 9.0' in page
    assert 'aftercare_inside_target{step="contact",urgency="urgent"} 1.0' in page
