"""Times as people read them: in the viewer's zone, and the patient's beside it where it differs."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from service.web.words import translate

MONTHS = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
    "es": "ene feb mar abr may jun jul ago sep oct nov dic".split(),
}
DAYS = {
    "en": "Mon Tue Wed Thu Fri Sat Sun".split(),
    "es": "lun mar mié jue vie sáb dom".split(),
}


def day_words(at: datetime, language: str) -> str:
    """``Mon Mar 1`` or ``lun 1 mar`` of a local time."""
    day, month = DAYS[language][at.weekday()], MONTHS[language][at.month - 1]
    return f"{day} {at.day} {month}" if language == "es" else f"{day} {month} {at.day}"


def clock_words(at: datetime, zone: str, now: datetime, language: str) -> str:
    """``10:00`` today, ``Mon Mar 1, 10:00`` on another day, with the year when it is another one."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    clock = f"{local:%H:%M}"
    if local.date() == today.date():
        return clock
    year = f" {local.year}" if local.year != today.year else ""
    return f"{day_words(local, language)}{year}, {clock}"


def moment(at: datetime, now: datetime, zone: str, language: str, patient_zone: str | None = None) -> Markup:
    """A ``time`` element: viewer's time, and the patient's where their clock shows another one."""
    words = escape(clock_words(at, zone, now, language))
    full = at.astimezone(ZoneInfo(zone))
    theirs = ""
    if patient_zone and at.astimezone(ZoneInfo(patient_zone)).utcoffset() != full.utcoffset():
        there = at.astimezone(ZoneInfo(patient_zone))
        is_same_day = there.date() == full.date()
        local = escape(f"{there:%H:%M}" if is_same_day else clock_words(at, patient_zone, now, language))
        label = escape(translate(language, "patient's time"))
        theirs = f' <span class="theirs">({local} {label})</span>'
    title = escape(f"{day_words(full, language)} {full.year}, {full:%H:%M:%S} {full:%Z}")
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup(f'<time datetime="{stamp}" title="{title}">{words}</time>{theirs}')


def clock_only(at: datetime, zone: str, language: str, patient_zone: str | None = None) -> Markup:
    """The same without the day, for lists that have the day as their heading."""
    local = at.astimezone(ZoneInfo(zone))
    theirs = ""
    if patient_zone:
        there = at.astimezone(ZoneInfo(patient_zone))
        if there.utcoffset() != local.utcoffset():
            words = escape(translate(language, "patient's time"))
            theirs = f" ({there:%H:%M} {words})"
    title = escape(f"{day_words(local, language)} {local.year}, {local:%H:%M:%S} {local:%Z}")
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup(f'<time datetime="{stamp}" title="{title}">{local:%H:%M}</time>{theirs}')


def span_words(length: timedelta, language: str) -> str:
    """``45 s``, ``4 min``, ``2 h 5 min``, ``3 days``: the two largest units that matter."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        return f"{hours} h {minutes} min" if minutes and hours < 12 else f"{hours} h"
    days = seconds // 86_400
    if days == 1:
        return translate(language, "1 day")
    return translate(language, "{count} days", count=days)


def ago(at: datetime, now: datetime, language: str) -> str:
    """``4 min ago``."""
    return translate(language, "{span} ago", span=span_words(now - at, language))


def countdown(until: datetime, now: datetime, language: str) -> Markup:
    """The time left as text that the page's script counts on; past its end it says by how much."""
    left = until - now
    is_late = left < timedelta(0)
    sentence = "{span} overdue" if is_late else "{span} left"
    words = escape(translate(language, sentence, span=span_words(abs(left), language)))
    stamp = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    late = " late" if is_late else (" soon" if left < timedelta(minutes=2) else "")
    return Markup(f'<time class="countdown{late}" datetime="{stamp}" data-countdown>{words}</time>')
