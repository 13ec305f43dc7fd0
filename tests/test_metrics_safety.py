"""Prometheus gets how fast red flags reached a person."""

from service import escalations
from service.metrics import Traffic
from service.runtime import Runtime
from tests.clinic import ANA, enroll, text, the_escalation
from tests.conftest import SetClock
from tests.test_escalations import do


def test_minutes_share_in_time_and_silence_without_any_name(runtime: Runtime, clock: SetClock) -> None:
    enroll(runtime, days=3)
    text(runtime, ANA, "temp is 101.5")
    clock.advance(minutes=9)
    do(runtime, escalations.contact, the_escalation(runtime), method="phone")
    page = Traffic(runtime).text().decode()
    assert 'aftercare_minutes_to_contact{figure="median",urgency="urgent"} 9.0' in page
    assert 'aftercare_inside_target{step="contact",urgency="urgent"} 1.0' in page
    assert "aftercare_silent_patients 0.0" in page
    assert "Ana" not in page and ANA not in page
