"""Templates: one environment, autoescaped, strict about names; what every page knows."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from messages.wording import phone_to_read
from service.runtime import Runtime
from service.web import clock_words, marking
from service.web.browser_words import browser_words
from service.web.words import LANGUAGES, speaker

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


@cache
def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Every static file by its path below ``static``: content and a short hash for its address."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found[path.relative_to(STATIC).as_posix()] = (content, sha256(content).hexdigest()[:12])
    return found


def static(path: str) -> str:
    """The address of a static file; it changes with the content, so browsers may keep it for ever."""
    return f"/static/{path}?v={static_files()[path][1]}"


def _dial(phone: str | None) -> str:
    """A number as people dial it; nothing where there is none that can be read."""
    return phone_to_read(phone) if phone is not None else "–"


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static
    made.globals["languages"] = LANGUAGES
    made.globals["browser_words"] = browser_words
    made.filters["dial"] = _dial
    return made


def page(
    request: Request, template: str, values: Mapping[str, Any], *, status: int = 200, language: str, zone: str
) -> HTMLResponse:
    """Render a template with the words, clock and clinic that all pages use."""
    runtime: Runtime = request.app.state.runtime
    now = values.get("now") or runtime.clock()

    def moment(at: Any, patient_zone: str | None = None) -> Any:
        return clock_words.moment(at, now, zone, language, patient_zone)

    everywhere = {
        "t": speaker(language),
        "language": language,
        "zone": zone,
        "now": now,
        "site": runtime.site,
        "is_simulated": runtime.settings.carrier == "simulator",
        "speed": getattr(runtime.clock, "speed", 1),
        "demo": runtime.welcome,
        "path": request.url.path,
        "marked": lambda text, findings: marking.marked(text, findings, language),
        "shown": marking.shown,
        "site_zone": clock_words.ZoneInfo,
        "moment": moment,
        "clock_only": lambda at, there=None: clock_words.clock_only(at, zone, language, there),
        "said": lambda summary: marking.said(summary, language),
        "ago": lambda at: clock_words.ago(at, now, language),
        "span": lambda length: clock_words.span_words(length, language),
        "countdown": lambda until: clock_words.countdown(until, now, language),
        "day_of": lambda at, where: clock_words.day_words(
            at.astimezone(clock_words.ZoneInfo(where)), language
        ),
    }
    text = environment().get_template(template).render({**everywhere, **values})
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
