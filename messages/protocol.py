"""Protocols: what is said to patients after one procedure, when, and what counts as an answer.

A protocol is a TOML file under ``messages/protocols`` (or in a site's own folder). It loads whole or not at
all.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from messages.check_in import LANGUAGES, OPEN_FOR, CheckIn, ProtocolError, Timing
from messages.protocol_file import read_protocol
from messages.site import Site
from messages.sms import sanitise
from messages.wording import WordingError, render, site_values

__all__ = [
    "BUILT_IN",
    "LANGUAGES",
    "OPEN_FOR",
    "CheckIn",
    "Protocol",
    "ProtocolError",
    "Timing",
    "load",
    "parse",
    "reminder_of",
    "text_of",
]

BUILT_IN = Path(__file__).parent / "protocols"


@dataclass(frozen=True)
class Protocol:
    """One version of one procedure's plan. ``anchor``: what the message clock starts at, ``procedure`` or
    ``discharge`` (home). ``gap``: least time between two scheduled texts to one patient. ``digest``:
    SHA-256 of ``source_text`` in hexadecimal; an enrollment can keep both and parse the text again years
    later."""

    name: str
    version: int
    title: str
    anchor: str
    gap: timedelta
    check_ins: tuple[CheckIn, ...]
    digest: str
    source_text: str

    def check_in(self, key: str) -> CheckIn:
        """The check-in of that key. Raises ``KeyError``."""
        for check_in in self.check_ins:
            if check_in.key == key:
                return check_in
        raise KeyError(key)


def parse(text: str, filename: str, site: Site) -> Protocol:
    """The protocol of a TOML file. Raises ``ProtocolError`` naming file, line and reason."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Protocol(**read_protocol(text, filename, site), digest=digest, source_text=text)


# Each file's protocol as it was read last. Neither a protocol nor a site can change, so whoever loads the
# same text for the same site again gets the same one; only changed text or values are read anew.
_read_last: dict[str, tuple[str, Site, Protocol]] = {}


def _parse_once(text: str, filename: str, site: Site) -> Protocol:
    last = _read_last.get(filename)
    if last is None or last[:2] != (text, site):
        last = (text, site, parse(text, filename, site))
        _read_last[filename] = last
    return last[2]


def load(folders: Sequence[Path], site: Site) -> dict[str, Protocol]:
    """The built-in protocols and those of ``folders``, by name.

    A file of a later folder may replace a protocol of the same name only with a higher version, so that a
    version always means one text. Raises ``ProtocolError``; also for a folder that is not there.
    """
    protocols: dict[str, Protocol] = {}
    for folder in (BUILT_IN, *folders):
        if not folder.is_dir():
            raise ProtocolError(f"{folder}: there is no such folder of protocols; create it or name another")
        for path in sorted(folder.glob("*.toml")):
            protocol = _parse_once(_read(path), str(path), site)
            earlier = protocols.get(protocol.name)
            if earlier and earlier.digest != protocol.digest and earlier.version >= protocol.version:
                raise ProtocolError(
                    f"{path}:1: {protocol.name!r} version {protocol.version} is another text already "
                    f"(version {earlier.version}); raise its version or give it another name"
                )
            protocols[protocol.name] = protocol
    return protocols


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ProtocolError(f"{path}:1: cannot be read as UTF-8 text: {fault}") from None


def text_of(check_in: CheckIn, language: str, site: Site, follow_up_on: date | None = None) -> str:
    """The text one patient is sent: filled, and cleaned for the carrier. A language the protocol lacks gets
    English. ``follow_up_on`` is needed where the text names the visit. Raises ``WordingError``."""
    return _filled(check_in.texts, language, site, follow_up_on)


def reminder_of(check_in: CheckIn, language: str, site: Site) -> str:
    """The one reminder of an unanswered check-in, filled and cleaned. Raises ``WordingError``; also when the
    check-in has none."""
    if check_in.reminder_texts is None:
        raise WordingError(f"check-in {check_in.key!r} has no reminder")
    return _filled(check_in.reminder_texts, language, site, None)


def _filled(texts: Mapping[str, str], language: str, site: Site, follow_up_on: date | None) -> str:
    spoken = language if language in texts else "en"
    return sanitise(render(texts[spoken], site_values(site, spoken, follow_up_on)))
