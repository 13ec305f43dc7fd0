"""Twilio, through its own library: the only module that imports it.

The library has no time-out of its own, logs phone numbers, and its retries post a text again: so the time-out
is set here, its log is held at warnings, and it never retries.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from queue import Empty, LifoQueue
from typing import Any, Literal

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client

from service.carriers import Accepted, CarrierError, LoggedMessage, Sending, twilio_doors, twilio_media
from service.carriers.no_answer import no_answer
from service.carriers.twilio_codes import lookup
from service.carriers.twilio_session import Session
from service.carriers.twilio_setup import door_faults, sorted_faults
from service.settings import Settings

log = logging.getLogger(__name__)
logging.getLogger("twilio.http_client").setLevel(logging.WARNING)

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 6.5  # together below the 10 s after which a worker gives a text up as unknown
LONGEST_VALIDITY = 36_000  # seconds; the carrier takes no more
PAGE_SIZE = 100
MOST_LOGGED = 200_000  # a day of a large outage; fewer would leave the oldest replies unread
LOG_DISORDER = timedelta(hours=1)  # the log is newest first by sending, not by creation


class _Http(TwilioHttpClient):
    """The library's client with both time-outs, keeping what its exceptions drop: the answer's headers."""

    def __init__(self) -> None:
        super().__init__(timeout=ANSWER_SECONDS)
        self.session = Session()
        self.timeout = (CONNECT_SECONDS, ANSWER_SECONDS)
        self.headers: dict[str, str] = {}

    def request(self, *args: Any, **kwargs: Any) -> Response:
        self.headers = {}
        response = super().request(*args, **kwargs)
        self.headers = {name.lower(): value for name, value in (response.headers or {}).items()}
        return response


class TwilioCarrier:
    """Twilio as a Carrier. Safe to use from several threads: each call borrows a client of its own."""

    name = "twilio"

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        from_phone: str | None,
        messaging_service_sid: str | None,
        public_url: str,
        api_url: str | None = None,
        clock: Callable[[], datetime],
    ) -> None:
        self.account_sid = account_sid
        self.from_phone = from_phone
        self.messaging_service_sid = messaging_service_sid
        self.sender = messaging_service_sid or from_phone or ""
        self._token = auth_token
        self._status_url = f"{public_url}/twilio/status"
        self._api_url = api_url
        self._clock = clock
        self._idle: LifoQueue[Client] = LifoQueue()

    @classmethod
    def from_settings(cls, settings: Settings, clock: Callable[[], datetime]) -> "TwilioCarrier":
        """The carrier of complete settings (they refuse to load when something is missing)."""
        assert settings.twilio_account_sid and settings.twilio_auth_token
        return cls(
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token.get_secret_value(),
            from_phone=settings.twilio_from,
            messaging_service_sid=settings.twilio_messaging_service_sid,
            public_url=settings.public_url,
            api_url=settings.twilio_api_url,
            clock=clock,
        )

    def send(self, sending: Sending) -> Accepted:
        """Offer one text; at most 10 s. Raises CarrierError. Never repeats the request."""
        sender = (
            {"messaging_service_sid": self.messaging_service_sid}
            if self.messaging_service_sid
            else {"from_": self.from_phone}
        )
        with self._client() as client:
            message = client.messages.create(
                to=sending.to_phone,
                body=sending.body,
                status_callback=f"{self._status_url}?m={sending.message_id}",
                validity_period=max(1, min(LONGEST_VALIDITY, sending.useful_seconds)),
                **sender,
            )
        if not isinstance(message.sid, str) or not message.sid:
            raise CarrierError("the carrier's answer names no text", outcome="unknown")
        return Accepted(message.sid)

    def log(self, *, to_phone: str | None = None, since: datetime, direction: str) -> list[LoggedMessage]:
        """Texts of one direction since a time, newest first. Raises CarrierError when it cannot be read.

        The carrier filters by whole days of its own dates, which queued texts do not have yet: so only the
        numbers are filtered there, and the time here. Its clock may differ from ours (rehearsals, jumps): its
        times are moved by what its answer says the time is.
        """
        narrowed = {"to": to_phone} if to_phone else {}
        if direction == "in" and self.from_phone and not to_phone:
            narrowed = {"to": self.from_phone}
        if direction == "out" and self.from_phone and not self.messaging_service_sid:
            narrowed["from_"] = self.from_phone
        found: list[LoggedMessage] = []
        with self._client() as client:
            for line in client.messages.stream(limit=MOST_LOGGED, page_size=PAGE_SIZE, **narrowed):
                logged = _logged(line, self._clock() - _carrier_now(client.http_client.headers))
                if logged.created_at < since - LOG_DISORDER:
                    break
                wanted = to_phone is None or logged.to_phone == to_phone
                if wanted and logged.direction == direction and logged.created_at >= since:
                    found.append(logged)
        return found

    def redact(self, carrier_sid: str, *, has_media: bool) -> bool:
        """Empty a text's body in the carrier's log and delete its pictures; False when it has none such.

        Raises CarrierError. The same again changes nothing.
        """
        with self._client() as client:
            try:
                if has_media:
                    for picture in client.messages(carrier_sid).media.list(limit=20):
                        client.messages(carrier_sid).media(picture.sid).delete()
                client.messages(carrier_sid).update(body="")
            except (TwilioRestException, TwilioServiceException) as error:
                if int(error.status) == 404:
                    return False
                raise
        return True

    def picture(self, carrier_sid: str, place: int, reference: str | None) -> bytes:
        """One picture of a text. The address is built from ids: a stored one is never followed as it is."""
        with self._client() as client:
            api_url = self._api_url or client.api.base_url
            account = (self.account_sid, self._token)
            return twilio_media.fetch(api_url, account, carrier_sid, place, reference)

    def check_access(self) -> datetime:
        """Ask the carrier who we are; its own time. Raises CarrierError when account or token are refused."""
        with self._client() as client:
            client.api.accounts(self.account_sid).fetch()
            return _carrier_now(client.http_client.headers)

    def webhook_faults(self, public_url: str) -> list[str]:
        """What is set wrongly at the carrier for our number or messaging service, each with how to mend it.

        Raises CarrierError when the carrier's configuration cannot be read.
        """
        wanted = f"{public_url}/twilio/inbound"
        with self._client() as client:
            doors = twilio_doors.doors(client, self.from_phone, self.messaging_service_sid)
        if doors is None:
            return ["AFTERCARE_TWILIO_FROM is not a number of this account: correct it"]
        if not doors:
            return ["the messaging service has no number, so that it can neither send nor receive: add one"]
        return sorted_faults([fault for door in doors for fault in door_faults(wanted, door)])

    def close(self) -> None:
        """Let go of connections."""
        while True:
            try:
                client = self._idle.get_nowait()
            except Empty:
                return
            client.http_client.session.close()

    def _new_client(self) -> Client:
        client = Client(self.account_sid, self._token, http_client=_Http())
        if self._api_url:
            client.api.base_url = self._api_url
            client.messaging.base_url = self._api_url
        return client

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """Borrow a client; whatever it raises becomes a CarrierError with its outcome."""
        try:
            client = self._idle.get_nowait()
        except Empty:
            client = self._new_client()
        try:
            yield client
        except (TwilioRestException, TwilioServiceException) as error:
            raise _answered_with_error(error, client.http_client.headers) from error
        except requests.RequestException as error:
            raise no_answer(error) from error
        except CarrierError:
            raise
        except (TwilioException, ValueError, KeyError, TypeError, AttributeError) as error:
            # An answer the library cannot read: nobody knows what became of the text.
            raise CarrierError(f"unreadable answer ({type(error).__name__})", outcome="unknown") from error
        finally:
            self._idle.put(client)


def _carrier_now(headers: dict[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _logged(line: Any, ahead: timedelta) -> LoggedMessage:
    direction: Literal["in", "out"] = "in" if line.direction == "inbound" else "out"
    created = line.date_created or line.date_sent or datetime.now(UTC)
    return LoggedMessage(
        carrier_sid=line.sid,
        direction=direction,
        from_phone=line.from_,
        to_phone=line.to,
        body=line.body or "",
        status=str(line.status),
        created_at=created.astimezone(UTC) + ahead,
        error_code=str(line.error_code) if line.error_code else None,
        media=int(line.num_media or 0),
    )


class _Fields:
    """Form fields as they came, repeated names kept, in the shape the library's validator asks."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> list[str]:
        return self._values[name]


def is_signed(
    url: str,
    pairs: Sequence[tuple[str, str]],
    signature: str | None,
    scheme: str | None,
    tokens: Sequence[str],
) -> bool:
    """Whether the carrier signed this request with one of our tokens (the old one counts while it rotates).

    ``url`` is the configured public address with path and query, never what the request claims. ``pairs`` are
    all form fields, blank ones too. ``scheme`` is the header that names the algorithm; the old one has none.
    """
    if not signature:
        return False
    fields, algorithm = _Fields(pairs), get_signature_algorithm(scheme)
    return any(RequestValidator(token).validate(url, fields, signature, algorithm) for token in tokens)


def _answered_with_error(
    error: TwilioRestException | TwilioServiceException, headers: dict[str, str]
) -> CarrierError:
    status = int(error.status)
    code = "" if error.code in (None, status) else str(error.code)
    if status >= 500 or status == 408:
        return CarrierError(f"the carrier answered {status}", outcome="unknown", code=code)
    if status == 429 or code == "20429":
        return CarrierError(
            "the carrier asks us to slow down",
            outcome="not_processed",
            code=code or "20429",
            retry_after=_retry_after(headers.get("retry-after")),
        )
    if status in (401, 403) and not code:
        code = "20003"
    row = lookup(code or str(status))
    if not row.known:
        log.error("unknown carrier code %s with status %s: add it to twilio_codes", row.code, status)
    outcome: Literal["rejected", "not_processed"] = "rejected" if row.lasting == "never" else "not_processed"
    return CarrierError(row.meaning, outcome=outcome, code=row.code)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which is a number or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
