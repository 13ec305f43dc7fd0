"""The clinic's values as admins change them: stored change by change, in force in every process soon after.

The site file and the settings are the default. A change is valid as a whole or not stored at all: the same
code that reads the file reads it, and every protocol is loaded with it, so that no text grows too long.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from messages.protocol import Protocol, ProtocolError, load, text_of
from messages.site import Site, SiteError, parse_site
from messages.sms import segments
from service import audit
from service.db import reading
from service.models import SiteVersion
from service.runtime import Runtime, protocol_folders
from service.settings import Settings, site_file
from service.site_fields import BY_NAME, FIELDS, fault_of, merged

log = logging.getLogger("aftercare.site")


class SiteFaults(Exception):
    """A change that cannot be: what is wrong by field (``""``: the whole)."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(", ".join(faults))
        self.faults = dict(faults)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do: the values, the protocols with them, the longest text a patient would get."""

    site: Site
    protocols: Mapping[str, Protocol]
    changes: tuple[dict[str, str], ...]
    overrides: Mapping[str, str]
    longest: str
    parts: int


def newest(session: Session) -> SiteVersion | None:
    """The change in force; None: the file's values hold."""
    return session.exec(select(SiteVersion).order_by(col(SiteVersion.number).desc()).limit(1)).first()


def history(session: Session, most: int = 30) -> Sequence[SiteVersion]:
    """Changes, newest first."""
    return session.exec(select(SiteVersion).order_by(col(SiteVersion.number).desc()).limit(most)).all()


def site_with(settings: Settings, overrides: Mapping[str, str]) -> Site:
    """The site of file, settings and overrides. Raises SiteError, SettingsError."""
    text, _ = site_file(settings)
    given = {
        "clinic.name": settings.clinic_name,
        "clinic.phone": settings.clinic_phone,
        "clinic.timezone": settings.timezone,
    }
    set_there = {name: value for name, value in given.items() if value is not None}
    return parse_site(merged(text, set_there, overrides), "clinic settings")


def shown(site: Site) -> dict[str, str]:
    """Every field's text."""
    return {field.name: field.show(site) for field in FIELDS}


def preview(runtime: Runtime, before: Mapping[str, str], typed: Mapping[str, str]) -> Preview:
    """What ``typed`` (every field's text) would change, given the overrides ``before``.

    A field that says what the file says is no override. Raises SiteFaults with every fault by field.
    """
    now_shown = shown(site_with(runtime.settings, before))
    from_file = shown(site_with(runtime.settings, {}))
    overrides = dict(before)
    for name, text in typed.items():
        if name in BY_NAME and text != now_shown[name]:
            overrides[name] = text
    overrides = {name: text for name, text in overrides.items() if text != from_file[name]}
    faults = {name: fault for name, text in overrides.items() if (fault := fault_of(BY_NAME[name], text))}
    if faults:
        raise SiteFaults(faults)
    try:
        site = site_with(runtime.settings, overrides)
        protocols = load(protocol_folders(runtime.settings), site)
    except (SiteError, ProtocolError) as error:
        raise SiteFaults({"": re.sub(r"^clinic settings:\d+: ", "", str(error))}) from error
    after = shown(site)
    changes = tuple(
        {"field": name, "from": now_shown[name], "to": after[name]}
        for name in BY_NAME
        if after[name] != now_shown[name]
    )
    longest, parts = longest_text(site, protocols)
    return Preview(site, protocols, changes, overrides, longest, parts)


def longest_text(site: Site, protocols: Mapping[str, Protocol]) -> tuple[str, int]:
    """The longest check-in text of all protocols and languages with this clinic's values, and its parts."""
    visit = datetime(2027, 9, 29).date()  # noqa: DTZ001 - a day whose name is long
    texts = [
        text_of(check_in, language, site, visit)
        for protocol in protocols.values()
        for check_in in protocol.check_ins
        for language in check_in.texts
    ]
    found = max(texts, key=lambda text: (segments(text), len(text)), default="")
    return found, segments(found)


def change(
    session: Session,
    runtime: Runtime,
    *,
    now: datetime,
    actor: str,
    typed: Mapping[str, str],
    seen: int,
    address: str | None = None,
) -> Preview:
    """Store a change made while version ``seen`` was shown, with its audit row, and use it here. Commits.

    Raises SiteFaults, also when somebody else changed the values meanwhile; nothing is stored then.
    """
    held = newest(session)
    number = held.number if held else 0
    if number != seen:
        raise SiteFaults({"": "Somebody else changed these values meanwhile. Load the page again."})
    planned = preview(runtime, held.overrides if held else {}, typed)
    if not planned.changes:
        return planned
    changes: list[dict[str, Any]] = list(planned.changes)
    session.add(
        SiteVersion(
            number=number + 1, at=now, actor=actor, overrides=dict(planned.overrides), changes=changes
        )
    )
    audit.record(
        session, now=now, actor=actor, action="change clinic settings", subject_kind="site",
        subject_id=str(number + 1), address=address, detail={"changes": changes},
    )  # fmt: skip
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise SiteFaults(
            {"": "Somebody else changed these values meanwhile. Load the page again."}
        ) from error
    _use(runtime, planned.site, planned.protocols, number + 1, now)
    return planned


def refresh(runtime: Runtime) -> bool:
    """Take up a change that another process stored; True when there was one.

    Values that cannot be used any more (a site file changed under them) leave those in force as they are.
    """
    with reading(runtime.engine) as session:
        held = newest(session)
    if held is None or held.number == runtime.site_number:
        return False
    try:
        site = site_with(runtime.settings, held.overrides)
        protocols = load(protocol_folders(runtime.settings), site)
    except (SiteError, ProtocolError) as error:
        log.error("the stored clinic settings %d cannot be used: %s", held.number, error)
        return False
    _use(runtime, site, protocols, held.number, held.at)
    return True


def unusable(runtime: Runtime) -> str | None:
    """Why the stored values cannot be used with today's files, in one sentence; None: they can, or there are
    none."""
    with reading(runtime.engine) as session:
        held = newest(session)
    if held is None:
        return None
    try:
        load(protocol_folders(runtime.settings), site_with(runtime.settings, held.overrides))
    except (SiteError, ProtocolError) as error:
        return str(error)
    return None


def _use(runtime: Runtime, site: Site, protocols: Mapping[str, Protocol], number: int, at: datetime) -> None:
    runtime.site, runtime.protocols = site, protocols
    runtime.site_number, runtime.site_changed_at = number, at
