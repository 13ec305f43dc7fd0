"""Pictures of every page (desktop, phone, dark) from a fresh demonstration, for the README.

    .venv/bin/python tools/screenshots.py [--only queue]

Needs Chromium (CHROMIUM, or /usr/bin/chromium). Writes docs/screenshots/*.png.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "screenshots"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--force-color-profile=srgb",
]
SHAPES = {
    "desktop": {"viewport": {"width": 1360, "height": 1060}},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "has_touch": True},
    "dark": {"viewport": {"width": 1360, "height": 1060}, "color_scheme": "dark"},
}
# Every page on a desk; on a phone and in the dark those that are used there.
SHOWN = {
    "phone": (
        "queue",
        "escalation",
        "patients",
        "patient",
        "picture",
        "enroll",
        "on-call",
        "phone",
        "security",
    ),
    "dark": ("queue", "escalation", "patient", "on-call", "scoreboard", "clinic-edit", "phone"),
}
EMAIL, PASSWORD = "kim@lakeside.example", "demo-lakeside-care"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(address: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urlopen(address, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise SystemExit(f"{address} did not answer within {seconds:.0f} s")


def sign_in(page: Page, base: str) -> None:
    page.goto(f"{base}/sign-in")
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.click("button:has-text('Sign in')")
    page.wait_for_url(f"{base}/")


def addresses(page: Page, base: str) -> dict[str, str]:
    """Every page worth a picture, found by following the pages themselves."""
    page.goto(f"{base}/")
    known = page.locator("[data-row]", has_text="Walter Brandt")  # three minutes ago, nobody has it yet
    escalation = known.locator(".row-who a").get_attribute("href") or "/"
    page.goto(base + escalation)
    patient = page.get_attribute("h1 a", "href") or "/patients"
    page.goto(f"{base}/")
    sender = page.locator("[data-row]", has_text="Ruth Okafor").locator(".row-who a")  # she sent a picture
    page.goto(base + (sender.get_attribute("href") or "/"))
    picture = page.locator("[data-picture]").first.get_attribute("href") or "/"
    return {
        "queue": "/",
        "escalation": escalation,
        "patients": "/patients",
        "patient": patient,
        "summary": f"{patient}/summary",
        "enroll": "/enroll",
        "on-call": "/on-call",
        "scoreboard": "/scoreboard",
        "protocol": "/protocols/kyphoplasty",
        "members": "/members",
        "audit": "/audit",
        "clinic": "/settings",
        "clinic-edit": "/settings/edit",
        "picture": picture,
        "me": "/me",
        "security": "/me/security",
        "phones": "/phones",
        "phone": "/phones/+13125550101",
    }


def take(browser: Browser, base: str, only: str | None) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    for shape, options in SHAPES.items():
        context = browser.new_context(reduced_motion="reduce", **options)
        page = context.new_page()
        page.goto(f"{base}/sign-in")
        if not only or only == "sign-in":
            page.screenshot(path=OUT / f"sign-in-{shape}.png")
        sign_in(page, base)
        found = found or addresses(page, base)
        for name, address in found.items():
            if (only and name != only) or name not in SHOWN.get(shape, found):
                continue
            page.goto(base + address)
            if page.query_selector("body[data-live]:not([data-live=''])"):
                page.wait_for_selector(".is-live", timeout=10000)
            # The tour is for newcomers; pictures show the work.
            page.evaluate("document.querySelectorAll('.tour').forEach(one => one.open = false)")
            page.screenshot(path=OUT / f"{name}-{shape}.png", full_page=False)
            print(f"{name}-{shape}.png")
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one page by name")
    parser.add_argument("--base", help="use a running demonstration, such as http://127.0.0.1:8000")
    given = parser.parse_args()
    port = free_port()
    base = given.base or f"http://127.0.0.1:{port}"
    server = None
    if not given.base:
        server = subprocess.Popen([sys.executable, "-m", "service", "demo", "--port", str(port)], cwd=ROOT)
    try:
        wait_for(f"{base}/healthz")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            take(browser, base, given.only)
            browser.close()
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=15)


if __name__ == "__main__":
    main()
