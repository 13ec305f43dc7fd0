"""What a browser calls itself, in words a person recognises."""

import re

from service.web.marking import shown

# The order matters: Edge and Opera also say Chrome, Chrome also says Safari.
BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
    ("CrOS", "ChromeOS"), ("Mac OS X", "Mac"), ("Linux", "Linux"),
)  # fmt: skip
LONGEST = 60


def browser_words(agent: str | None) -> str:
    """``Firefox, Linux``; else what was sent, shortened: anybody can send anything."""
    given = agent or ""
    names = [next((name for sign, name in table if sign in given), "") for table in (BROWSERS, SYSTEMS)]
    if all(names):
        return ", ".join(names)
    words = re.sub(r"\s+", " ", str(shown(given))).strip()
    return words[:LONGEST] or "?"
