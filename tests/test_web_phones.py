"""Simulated phones: on this machine or for members, simulated numbers only, the carrier's own way in."""

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.models import Reply
from service.runtime import Runtime
from tests.clinic import ANA, enroll, rows, the_escalation
from tests.web_clinic import browser_of, client_of, words_of


def here(runtime: Runtime, client: str = "127.0.0.1", base: str = "http://127.0.0.1:8000") -> TestClient:
    runtime.bound_host = "127.0.0.1"
    return TestClient(create_app(runtime), base_url=base, client=(client, 50000), follow_redirects=False)


def test_a_text_from_a_phone_is_triaged_and_reaches_the_queue(runtime: Runtime):
    enroll(runtime)
    phone = here(runtime)
    answer = phone.post(f"/phones/{ANA}/reply", data={"body": "my foot is numb"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/phones/{ANA}")
    assert "my foot is numb" in words_of(phone.get(f"/phones/{ANA}").text)
    assert the_escalation(runtime, reason="red_flag").urgency in ("urgent", "emergency")
    assert rows(runtime, Reply)[0].carrier_sid.startswith("SM")


def test_strangers_far_away_or_by_another_name_are_sent_to_the_door(runtime: Runtime):
    assert here(runtime, client="10.0.0.9").get("/phones").status_code == 303
    assert here(runtime).get("/phones", headers={"x-forwarded-for": "10.0.0.9"}).status_code == 303
    assert here(runtime, base="http://testserver").get("/phones").status_code == 303
    runtime.bound_host = "0.0.0.0"
    assert client_of(runtime).get("/phones").status_code == 303
    assert client_of(runtime).post(f"/phones/{ANA}/reply", data={"body": "x"}).status_code == 303
    assert rows(runtime, Reply) == []
    assert browser_of(runtime).get("/phones").status_code == 200


def test_another_site_cannot_write_from_a_phone(runtime: Runtime):
    phone = here(runtime)
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert phone.post(f"/phones/{ANA}/reply", data={"body": "x"}, headers=headers).status_code == 403
    assert rows(runtime, Reply) == []


@pytest.mark.parametrize("number", ["+14155231234", "5550142", "+447700900123", "x", "+1312555014", "%2e%2e"])
def test_only_simulated_numbers_stand_in_a_path(runtime: Runtime, number: str):
    phone = here(runtime)
    assert phone.get(f"/phones/{number}").status_code == 404
    assert phone.post(f"/phones/{number}/reply", data={"body": "x"}).status_code == 404
    assert rows(runtime, Reply) == []


def test_empty_and_endless_texts_are_refused_and_odd_ones_arrive(runtime: Runtime):
    phone = here(runtime)
    assert phone.post(f"/phones/{ANA}/reply", data={"body": "  "}).status_code == 422
    assert phone.post(f"/phones/{ANA}/reply").status_code == 422
    assert phone.post(f"/phones/{ANA}/reply", data={"body": "x" * 1601}).status_code == 422
    for odd in ("x" * 1600, "😭😭", "<b>hi</b>", "línea 1\nlínea 2"):
        assert phone.post(f"/phones/{ANA}/reply", data={"body": odd}).status_code == 303
    page = phone.get(f"/phones/{ANA}").text
    assert "<b>hi" not in page and "😭😭" in page
    assert len(rows(runtime, Reply)) == 4
