"""Every page, light and dark, wide and narrow: no accessibility violation that axe-core can find."""

from base64 import b64decode
from collections.abc import Iterator
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from pyotp import TOTP

from service import accounts, break_glass, first_admin, member_links, oncall
from service.carriers.simulator import SimulatorCarrier
from service.db import session_on
from service.models import DEFAULT_TEAM, Member
from service.sight import Sight
from tests.browser import PHONE, Site, open_browser, open_site
from tests.care_teams import put_in, two_teams
from tests.clinic import (
    ANA,
    BEN,
    SECOND,
    STRANGER,
    asked,
    enroll,
    in_session,
    member,
    rows,
    text,
    the_escalation,
)
from tests.conftest import SetClock
from tests.web_clinic import RED_FLAG

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
PASSWORD = "correct horse battery"
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
    text(site.runtime, ANA, "temp is 101.5")
    assert isinstance(site.runtime.carrier, SimulatorCarrier)
    arrived = site.runtime.carrier.receive(ANA, "look", [PNG])
    shown = text(site.runtime, ANA, "look", carrier_sid=arrived.carrier_sid, media=[{"url": None}])
    second = member(site.runtime, "Sam Second", SECOND, tier=None)
    now = site.runtime.clock()
    shift = in_session(
        site.runtime, oncall.add_shift, actor="test", member_id=second.id, tier=2, starts_at=now,
        ends_at=now + timedelta(hours=30), override=True,
    )  # fmt: skip
    item = the_escalation(site.runtime, reason="red_flag")
    return [
        "/", "/?view=resolved", f"/escalations/{item.id}", "/patients", f"/patients/{course.patient_id}",
        f"/patients/{course.patient_id}/summary", "/enroll", "/on-call", "/members", "/audit", "/scoreboard",
        "/settings", "/settings/edit", f"/on-call?shift={shift.id}",
        f"/replies/{shown.id}/pictures/0", "/protocols", "/protocols/kyphoplasty", "/me", "/phones",
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
    assert len(faults) == 2 * len(addresses) >= 42
    assert {address: found for address, found in faults.items() if found} == {}


def test_the_pages_of_accounts_have_no_violation(site: Site):
    """The same for one's own security, a member, setting up a second factor, and the doors before sign-in."""
    runtime = site.runtime
    with session_on(runtime.engine) as session:
        first = first_admin.offer(session, runtime.clock())
    door = site.browser.new_context().new_page()
    faults = {}

    def look(page: Page, path: str) -> None:
        for colours in ("light", "dark"):
            page.emulate_media(color_scheme=colours)
            page.goto(site.base + path)
            page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => one.open = true)")
            faults[f"{path} {colours}"] = violations(page)

    look(door, str(first))
    boss = site.page_for("Boss", role="admin")
    with session_on(runtime.engine) as session:
        kim = accounts.add_member(
            session,
            now=runtime.clock(),
            email="kim@clinic.example",
            name="Kim",
            role="nurse",
            password=PASSWORD,
        )
        link = member_links.password_link(session, kim, now=runtime.clock(), actor="boss@clinic.example")
    for path in ("/members", f"/members/{kim.id}", "/me/security"):
        look(boss, path)
    look(door, link)
    door.goto(f"{site.base}/sign-in")
    door.fill("#email", kim.email)
    door.fill("#password", PASSWORD)
    door.click("button")
    look(door, "/me/security")
    door.fill("#begin", PASSWORD)
    door.click("#factor button")
    look(door, "/me/second-factor")
    door.fill("#code", TOTP(door.inner_text("code.key").replace(" ", "")).at(runtime.clock()))
    door.click("button:has-text('Turn it on')")
    faults["recovery codes"] = violations(door)
    assert door.locator(".codes li").count() == 10
    look(door, "/me/security")
    door.context.clear_cookies()
    door.goto(f"{site.base}/sign-in")
    door.fill("#email", kim.email)
    door.fill("#password", PASSWORD)
    door.click("button")
    look(door, "/sign-in/code")
    door.context.close()
    assert len(faults) == 15 and {address: found for address, found in faults.items() if found} == {}


def test_no_violation_on_a_phone_in_spanish_or_at_the_door(site: Site):
    addresses = fill(site)
    narrow = site.page_for("Ana Paz", role="nurse", language="es", **PHONE)
    faults = {}
    for address in (*addresses[:6], "/enroll", "/on-call", "/settings/edit"):
        narrow.goto(site.base + address)
        faults[address] = violations(narrow)
        beyond = narrow.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, f"{address} is wider than the phone"
    narrow.context.clear_cookies()
    narrow.goto(site.base + "/sign-in")
    faults["/sign-in"] = violations(narrow)
    assert {address: found for address, found in faults.items() if found} == {}


def test_the_pages_of_several_teams_have_no_violation(site: Site):
    """With a filter to choose, a patient opened by somebody of another team, and the pages of teams."""
    clinic = two_teams(site.runtime)
    text(site.runtime, BEN, RED_FLAG)
    site_values = site.runtime.site
    opened = in_session(
        site.runtime, break_glass.break_glass, site=site_values, member=clinic.kim, wanted=BEN,
        sight=Sight(frozenset((DEFAULT_TEAM,))), reason="came to our desk with chest pain",
    )  # fmt: skip
    boss = site.page_for("Boss Both", role="admin")
    (both,) = rows(site.runtime, Member, Member.email == "boss@clinic.example")
    put_in(site.runtime, both, DEFAULT_TEAM, clinic.other.id)
    faults = {}
    for path in (
        "/", f"/?team={clinic.other.id}", "/patients", f"/patients/{opened[0]}", "/enroll", "/on-call",
        "/scoreboard", "/teams", "/break-glass", "/break-glass/uses",
    ):  # fmt: skip
        boss.emulate_media(color_scheme="light")
        boss.goto(site.base + path)
        boss.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => one.open = true)")
        faults[path] = violations(boss)
        boss.emulate_media(color_scheme="dark")
        faults[f"{path} dark"] = violations(boss, COLOURS)
    assert len(faults) == 20
    assert {path: found for path, found in faults.items() if found} == {}
