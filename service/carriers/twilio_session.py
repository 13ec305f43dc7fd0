"""The connection to the carrier, without the questions that requests asks before every call."""

from typing import Any
from urllib.parse import urlsplit

import requests


class Session(requests.Session):
    """Looks for proxies and certificates in the environment once for each host: looking took a seventh of
    every text, and the environment does not change while we run."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple[str, str], dict[str, Any]] = {}

    def merge_environment_settings(self, url: Any, *given: Any) -> Any:
        """What ``requests`` found for this host the first time; always asked with the same values."""
        scheme, host = urlsplit(url)[:2]
        if (scheme, host) not in self._found:
            self._found[scheme, host] = super().merge_environment_settings(url, *given)
        return dict(self._found[scheme, host])
