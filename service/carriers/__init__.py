"""Who carries texts. One small interface; the simulator and Twilio keep the same contract.

A carrier that returns from ``send`` has accepted the text. Otherwise it raises CarrierError, and the one
question a caller asks is ``outcome``:

* ``rejected``: surely not processed and never will be (``permanent``) - do not repeat;
* ``not_processed``: surely not processed, may be tried again after ``retry_after`` seconds;
* ``unknown``: nobody knows (time-out, reset, 5xx) - look it up before anything is repeated.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Outcome = Literal["rejected", "not_processed", "unknown"]
LONGEST_PICTURE = 6 * 1024 * 1024  # bytes; carriers pass on 5 MB at most


@dataclass(frozen=True, slots=True)
class Sending:
    """One text as the carrier gets it. ``message_id`` is ours and comes back with every receipt."""

    message_id: str
    to_phone: str
    body: str
    useful_seconds: int = 36_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The carrier took the text. ``carrier_sid`` is its id for it."""

    carrier_sid: str


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """One line of the carrier's own log. Times aware UTC; ``direction`` is ``in`` or ``out``."""

    carrier_sid: str
    direction: Literal["in", "out"]
    from_phone: str | None
    to_phone: str | None
    body: str
    status: str
    created_at: datetime
    error_code: str | None = None
    media: int = 0


class CarrierError(Exception):
    """The carrier did not accept a text. ``code`` is the carrier's own, empty when it gave none."""

    def __init__(
        self, message: str, *, outcome: Outcome, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.code = code
        self.retry_after = retry_after

    @property
    def permanent(self) -> bool:
        """Whether trying the same text again can never work."""
        return self.outcome == "rejected"


class Carrier(Protocol):
    """What the service asks of whoever carries texts. No method may be called with a session open."""

    name: str
    sender: str

    def send(self, sending: Sending) -> Accepted:
        """Offer one text. Takes at most 10 s. Raises CarrierError."""
        ...

    def log(self, *, to_phone: str | None = None, since: datetime, direction: str) -> list[LoggedMessage]:
        """The carrier's log, newest first, of texts ``in`` or ``out`` since a time. Raises CarrierError."""
        ...

    def redact(self, carrier_sid: str, *, has_media: bool) -> bool:
        """Take the words and pictures of one text out of the carrier's own log; its time and fate stay.

        False: it has no such text (any more). Doing it again changes nothing. Raises CarrierError.
        """
        ...

    def picture(self, carrier_sid: str, place: int, reference: str | None) -> bytes:
        """The bytes of one picture of a text that reached us, at most ``LONGEST_PICTURE``; ``place`` counts
        from 0. ``reference`` is what its webhook said, None where the text was read from the log.

        What it is must be read from the bytes: a declared type is the sender's word. Raises CarrierError.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
