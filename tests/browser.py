"""A real browser on a real server: one Chromium for the whole run, one server per test on SQLite."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from service.app import create_app
from service.runtime import Runtime, make_runtime
from tests.conftest import SetClock, settings_for
from tests.databases import free_port
from tests.web_clinic import browser_of

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-dev-shm-usage",
]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def chromium() -> str:
    """Where Chromium is; a clear word when it is missing, never a skipped test."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None or not Path(found).exists():
        raise RuntimeError(
            "Chromium is missing: run make test, which installs it on Debian as root, "
            "or set CHROMIUM to its program."
        )
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


class Site:
    """A running service and the people in front of it."""

    def __init__(self, runtime: Runtime, browser: Browser, base: str) -> None:
        self.runtime, self.browser, self.base = runtime, browser, base
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.stop: Callable[[], None] = lambda: None

    def page_for(self, name: str = "Kim Ryan", role: str = "nurse", **options: object) -> Page:
        """A browser window in which this member is signed in."""
        values = {key: options.pop(key) for key in ("language", "preferences") if key in options}
        member = browser_of(self.runtime, name, role=role, **values)
        context = self.browser.new_context(reduced_motion="reduce", **options)
        context.add_cookies(
            [{"name": "aftercare", "value": member.client.cookies["aftercare"], "url": self.base}]
        )
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text) if "Content Security Policy" in said.text else None
            ),
        )
        return page

    def open(self, page: Page, path: str) -> Page:
        """Go there and wait until the page lives."""
        page.goto(self.base + path)
        if page.query_selector("body[data-live]:not([data-live=''])"):
            page.wait_for_selector(".is-live")
        return page


@contextmanager
def serve(runtime: Runtime, port: int) -> Iterator[Callable[[], None]]:
    """The service on a port of its own; yields what stops it, the way a signal does."""
    runtime.stopping.clear()
    config = uvicorn.Config(
        create_app(runtime), host="127.0.0.1", port=port, log_config=None, access_log=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)

    def stop() -> None:
        runtime.stopping.set()
        server.should_exit = True
        thread.join(10)

    try:
        yield stop
    finally:
        stop()


@contextmanager
def open_site(database_url: str, clock: SetClock, browser: Browser) -> Iterator[Site]:
    port = free_port()
    runtime = make_runtime(settings_for(database_url, public_url=f"http://127.0.0.1:{port}"), clock=clock)
    with serve(runtime, port) as stop:
        site = Site(runtime, browser, f"http://127.0.0.1:{port}")
        site.stop = stop
        try:
            yield site
        finally:
            for context in site.contexts:
                context.close()
    runtime.close()
    assert site.complaints == []
