"""In a real browser: pictures, translations, who is where, and what stays behind after signing out."""

from base64 import b64decode
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from service.carriers.simulator import SimulatorCarrier
from service.models import AuditEvent
from tests.browser import PHONE, Site, open_browser, open_site
from tests.clinic import ANA, enroll, rows, text, the_escalation
from tests.conftest import SetClock
from tests.web_clinic import RED_FLAG

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def site(sqlite_url: str, clock: SetClock, browser: Browser) -> Iterator[Site]:
    with open_site(sqlite_url, clock, browser) as opened:
        yield opened


def test_a_picture_opens_above_the_page_and_without_a_script_on_its_own(site: Site):
    enroll(site.runtime)
    assert isinstance(site.runtime.carrier, SimulatorCarrier)
    arrived = site.runtime.carrier.receive(ANA, "", [PNG])
    text(site.runtime, ANA, "", carrier_sid=arrived.carrier_sid, media=[{"url": None}])
    item = the_escalation(site.runtime)
    for name, options in (("Kim", dict(PHONE)), ("Sam", {"java_script_enabled": False})):
        page = site.page_for(name, **options)
        page.goto(f"{site.base}/escalations/{item.id}")
        assert page.locator("img").count() == 0, "nothing is fetched before a person opens it"
        page.locator("[data-picture]").first.click()
        shown = page.locator(".picture img")
        expect(shown).to_be_visible()
        assert shown.evaluate("image => image.complete && image.naturalWidth") == 1
    assert len(rows(site.runtime, AuditEvent, AuditEvent.action == "open picture")) == 2


def test_a_ready_text_shows_its_translation_until_its_words_are_changed(site: Site):
    enroll(site.runtime, language="es")
    text(site.runtime, ANA, RED_FLAG)
    item = the_escalation(site.runtime, reason="red_flag")
    page = site.open(site.page_for(), f"/escalations/{item.id}")
    beside = page.locator("#beside")
    expect(beside).to_be_hidden()
    page.select_option("#template", index=1)
    expect(beside).to_contain_text("a nurse is calling you now")
    assert "enfermera" in page.input_value("#body")
    page.fill("#body", page.input_value("#body") + " Gracias.")
    expect(beside).to_be_hidden()


def test_the_queue_says_who_is_at_a_row(site: Site):
    enroll(site.runtime)
    text(site.runtime, ANA, RED_FLAG)
    item = the_escalation(site.runtime, reason="red_flag")
    sam = site.open(site.page_for("Sam Ortega"), "/")
    site.open(site.page_for("Kim Ryan"), f"/escalations/{item.id}")
    expect(sam.locator(f'[data-present="{item.id}"]')).to_have_text("Kim Ryan: looking at this too")


def test_signing_out_leaves_no_draft_behind(site: Site):
    enroll(site.runtime)
    text(site.runtime, ANA, RED_FLAG)
    item = the_escalation(site.runtime, reason="red_flag")
    page = site.open(site.page_for(), f"/escalations/{item.id}")
    page.fill("#body", "half a text to a patient")
    drafts = "Object.keys(sessionStorage).filter((key) => key.startsWith('draft:')).length"
    assert page.evaluate(drafts) == 1
    page.click(".user-menu summary")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in**")
    assert page.evaluate(drafts) == 0


def test_whoever_only_went_away_leaves_no_draft_to_the_next_one(site: Site):
    page = site.open(site.page_for(), "/enroll")
    page.fill("#name", "Ana Doe")
    kept = "JSON.stringify(sessionStorage)"
    site.open(page, "/patients")
    assert "Ana Doe" in page.evaluate(kept), "their own stays"
    page.context.clear_cookies()
    other = site.page_for("Sam Ortega")
    page.context.add_cookies(other.context.cookies())
    site.open(page, "/enroll")
    assert page.input_value("#name") == "" and "Ana Doe" not in page.evaluate(kept)
