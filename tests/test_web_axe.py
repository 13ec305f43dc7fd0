"""Every page, light and dark, wide and narrow: no accessibility violation that axe-core can find."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser import PHONE, Site, open_browser, open_site
from tests.clinic import ANA, BEN, STRANGER, asked, enroll, member, text, the_escalation
from tests.conftest import SetClock
from tests.web_clinic import RED_FLAG

COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def site(sqlite_url: str, clock: SetClock, browser: Browser) -> Iterator[Site]:
    with open_site(sqlite_url, clock, browser) as opened:
        yield opened


def fill(site: Site) -> list[str]:
    """A clinic with something on every page, and the address of each."""
    member(site.runtime)
    course = enroll(site.runtime, on_blood_thinner=True)
    enroll(site.runtime, BEN, "Ben Roe", language="es", on_blood_thinner=None)
    asked(site.runtime, course, "pain")
    text(site.runtime, ANA, "5")
    text(site.runtime, ANA, RED_FLAG)
    text(site.runtime, BEN, "when can i shower?")
    text(site.runtime, STRANGER, "who is this")
    item = the_escalation(site.runtime, reason="red_flag")
    return [
        "/", "/?view=resolved", f"/escalations/{item.id}", "/patients", f"/patients/{course.patient_id}",
        f"/patients/{course.patient_id}/summary", "/enroll", "/on-call", "/members", "/audit", "/scoreboard",
        "/settings", "/protocols", "/protocols/kyphoplasty", "/me", "/phones",
        f"/phones/{ANA}", "/escalations/nothing",
    ]  # fmt: skip


def violations(page: Page, rules: dict[str, object] | None = None) -> list[str]:
    found = Axe().run(page, options=rules or RULES).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for one in found
        for node in one["nodes"]
    ]


def test_no_page_has_a_violation_in_either_theme(site: Site):
    """Light: every rule. Dark: what colours can change; everything else is the same page."""
    addresses = fill(site)
    wide = site.page_for("Kim Ryan", role="admin", color_scheme="light")
    faults = {}
    for address in addresses:
        wide.emulate_media(color_scheme="light")
        wide.goto(site.base + address)
        wide.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => one.open = true)")
        faults[address] = violations(wide)
        wide.emulate_media(color_scheme="dark")
        faults[f"{address} dark"] = violations(wide, COLOURS)
    assert len(faults) == 36
    assert {address: found for address, found in faults.items() if found} == {}


def test_no_violation_on_a_phone_in_spanish_or_at_the_door(site: Site):
    addresses = fill(site)
    narrow = site.page_for("Ana Paz", role="nurse", language="es", **PHONE)
    faults = {}
    for address in (addresses[0], addresses[2], addresses[4], "/enroll"):
        narrow.goto(site.base + address)
        faults[address] = violations(narrow)
    narrow.context.clear_cookies()
    narrow.goto(site.base + "/sign-in")
    faults["/sign-in"] = violations(narrow)
    assert {address: found for address, found in faults.items() if found} == {}
