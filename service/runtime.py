"""The one composition root: everything a running process needs, made once from the settings."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from threading import Event
from typing import Any

from sqlalchemy import Engine

from messages.protocol import Protocol, load
from messages.site import Site
from service.carriers import Carrier
from service.db import make_engine
from service.settings import Settings, load_site
from service.sso_settings import sso_settings

BUILT_IN_PROTOCOLS = Path(__file__).parent.parent / "messages" / "protocols"

Clock = Callable[[], datetime]


@dataclass
class Runtime:
    """What use cases and jobs are given. ``clock`` is asked once per operation, at its edge only.

    ``wake`` is set when something urgent was committed, so that the sender does not wait for its next tick.
    ``bound_host`` is the address the web server listens on, empty where there is none.
    ``monotonic`` counts seconds and never jumps; a clock set by hand is followed instead. ``lanes`` and
    ``seen_claims`` belong to the sender: texts in its hands, and how long others' claims were watched (by
    lane). ``unreadable_since``: safety answers the carrier's log could not be read for, and since when.
    ``intake``: replies on their way into the database. ``has_caught_up``: this process has read the carrier's
    log of replies once. ``gap_is_settled``: this process has seen that no restored backup waits to be
    compared with the carrier's log. ``welcome``: what a demonstration tells a newcomer. ``site_number`` and
    ``site_changed_at``: the change of the clinic's values that ``site`` and ``protocols`` hold (0: the site
    file's own).
    """

    settings: Settings
    engine: Engine
    carrier: Carrier
    protocols: Mapping[str, Protocol]
    site: Site
    clock: Clock
    worker: str = field(default_factory=lambda: token_hex(6))
    wake: Event = field(default_factory=Event)
    stopping: Event = field(default_factory=Event)
    bound_host: str = ""
    monotonic: Callable[[], float] = time.monotonic
    lanes: dict[str, Any] = field(default_factory=dict)
    seen_claims: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)
    unreadable_since: dict[tuple[str, int], float] = field(default_factory=dict)
    intake: Any = None
    has_caught_up: bool = False
    gap_is_settled: bool = False
    welcome: Any = None
    site_number: int = 0
    site_changed_at: datetime | None = None

    def close_intake(self) -> None:
        """Finish the replies in hand."""
        if self.intake is not None:
            self.intake.close()

    def close(self) -> None:
        """Finish the texts in hand, then let go of the carrier's and the database's connections."""
        self.close_intake()
        for lane in self.lanes.values():
            lane.close()
        self.carrier.close()
        self.engine.dispose()


def system_clock(offset_seconds: float = 0) -> Clock:
    """The machine's clock in UTC, moved by AFTERCARE_CLOCK_OFFSET."""
    offset = timedelta(seconds=offset_seconds)
    return lambda: datetime.now(UTC) + offset


def make_carrier(settings: Settings, engine: Engine, clock: Clock) -> Carrier:
    """The carrier of the settings. Twilio's library is loaded only when it is used."""
    if settings.carrier == "twilio":
        from service.carriers.twilio import TwilioCarrier

        return TwilioCarrier.from_settings(settings, clock)
    from service.carriers.simulator import SimulatorCarrier

    return SimulatorCarrier(engine, clock)


def protocol_folders(settings: Settings) -> list[Path]:
    """Where protocols are read from: the built-in ones, then the clinic's own."""
    return [BUILT_IN_PROTOCOLS] + ([settings.protocols] if settings.protocols else [])


def make_runtime(settings: Settings, clock: Clock | None = None, carrier: Carrier | None = None) -> Runtime:
    """Put a process together. Raises SettingsError, SiteError or ProtocolError with what to mend."""
    sso_settings(settings)  # half set or without its extra: refused at the start, not at the first sign-in
    site = load_site(settings)
    protocols = load(protocol_folders(settings), site)
    engine = make_engine(settings.database_url, ring=settings.keyring)
    given = clock
    clock = clock or system_clock(settings.clock_offset)
    return Runtime(
        settings=settings,
        engine=engine,
        carrier=carrier or make_carrier(settings, engine, clock),
        protocols=protocols,
        site=site,
        clock=clock,
        monotonic=(lambda: given().timestamp()) if given else time.monotonic,
    )
