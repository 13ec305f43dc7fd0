"""A stand-in for the real carrier on loopback: it speaks Twilio's REST, remembers what each phone got, signs
webhooks, and can be told to be slow, full, broken, forgetful or untidy.

``python -m tests.standin_carrier --port N`` runs it as a process of its own, for chaos and rehearsals.
"""

import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from secrets import token_hex
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlencode, urlsplit

from twilio.request_validator import RequestValidator

from tests.standin_http import (
    ACCEPT_BROKEN,
    ACCEPT_DROP,
    ACCOUNT,
    BROKEN,
    BUSY,
    DROP,
    GARBAGE,
    NUMBER,
    OK,
    SLOW,
    TOKEN,
    Handler,
    Server,
)

__all__ = [
    "ACCEPT_BROKEN",
    "ACCEPT_DROP",
    "ACCOUNT",
    "BROKEN",
    "BUSY",
    "DROP",
    "GARBAGE",
    "NUMBER",
    "OK",
    "SLOW",
    "TOKEN",
    "StandIn",
    "deliver",
    "inbound_form",
    "post_signed",
    "receipt_form",
    "settings_of",
    "sign",
]


@dataclass
class Text:
    """One line of the carrier's log."""

    sid: str
    direction: str
    from_phone: str
    to_phone: str
    body: str
    status: str
    created_at: datetime
    callback: str | None = None
    error_code: int | None = None
    media: int = 0

    def as_json(self) -> dict[str, Any]:
        at = format_datetime(self.created_at)
        return {
            "sid": self.sid,
            "account_sid": ACCOUNT,
            "direction": self.direction,
            "from": self.from_phone,
            "to": self.to_phone,
            "body": self.body,
            "status": self.status,
            "date_created": at,
            "date_updated": at,
            "date_sent": at if self.status not in ("queued", "accepted") else None,
            "error_code": self.error_code,
            "error_message": None,
            "num_media": str(self.media),
            "num_segments": "1",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{self.sid}.json",
        }


@dataclass
class StandIn:
    """The carrier's state. ``script``: answers to the next POSTs, in order; then ``rates`` decides by chance.

    ``refusals``: phone to error code. ``later``: phone to the code its receipt brings. ``receipts``: states
    reported after a POST; ``untidy`` repeats and shuffles them. ``outbox``: receipts not delivered yet, for
    tests that post them themselves. ``pictures``: media id to bytes; ``picture_at``: where its address
    redirects to; ``asked_with``: each path asked for a picture, and whether credentials came with it.
    ``clock``: the carrier's own, which its answers carry. ``services``: messaging services; the ids of their
    ``numbers`` begin with PN.
    """

    rates: dict[str, float] = field(default_factory=dict)
    script: deque[str] = field(default_factory=deque)
    refusals: dict[str, int] = field(default_factory=dict)
    later: dict[str, int] = field(default_factory=dict)
    receipts: tuple[str, ...] = ("sent", "delivered")
    untidy: bool = False
    push_receipts: bool = False
    log_answers: deque[int] = field(default_factory=deque)
    slow_seconds: float = 1.0
    retry_after: str = "1"
    number_config: dict[str, Any] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    picture_at: str = "/_cdn/{id}"
    asked_with: list[tuple[str, bool]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    log: list[Text] = field(default_factory=list)
    outbox: deque[tuple[str, dict[str, str]]] = field(default_factory=deque)
    posts: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    server: ThreadingHTTPServer | None = None

    # -- running ---------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> "StandIn":
        handler = type("Bound", (Handler,), {"standin": self})
        self.server = Server(("127.0.0.1", port), handler)
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        for _ in range(4 if self.push_receipts else 0):
            Thread(target=self._push, daemon=True).start()
        return self

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    # -- what a test asks ------------------------------------------------------------------------------------

    def got(self, phone: str) -> list[str]:
        """What one phone really received, in order."""
        with self.lock:
            return [t.body for t in self.log if t.direction != "inbound" and t.to_phone == phone]

    def texts(self) -> Counter[tuple[str, str]]:
        """How often each phone got each text."""
        with self.lock:
            return Counter((t.to_phone, t.body) for t in self.log if t.direction != "inbound")

    def write(self, phone: str, body: str, *, sid: str | None = None, media: int = 0) -> Text:
        """Somebody texts our number: into the log; ``inbound_form`` gives the webhook's fields."""
        text = Text(
            sid or "SM" + token_hex(16),
            "inbound",
            phone,
            NUMBER,
            body,
            "received",
            self.clock(),
            media=media,
        )
        with self.lock:
            self.log.append(text)
        return text

    # -- REST ------------------------------------------------------------------------------------------------

    def redact(self, sid: str) -> Text | None:
        """Empty the body of one text, as the carrier does when it is told to."""
        with self.lock:
            found = next((text for text in self.log if text.sid == sid), None)
            if found is not None:
                found.body = ""
        return found

    def delete_media(self, sid: str) -> bool:
        with self.lock:
            found = next((text for text in self.log if text.sid == sid and text.media), None)
            if found is not None:
                found.media -= 1
        return found is not None

    def next_answer(self) -> str:
        with self.lock:
            if self.script:
                return self.script.popleft()
            draw = self.chance.random()
            for answer, rate in self.rates.items():
                if draw < rate:
                    return answer
                draw -= rate
            return OK

    def accept(self, form: dict[str, str]) -> Text:
        text = Text(
            sid="SM" + token_hex(16),
            direction="outbound-api",
            from_phone=form.get("From", NUMBER),
            to_phone=form["To"],
            body=form["Body"],
            status="queued",
            created_at=self.clock(),
            callback=form.get("StatusCallback"),
        )
        states = list(self.receipts)
        code = self.later.get(text.to_phone)
        if code and states:
            states[-1] = "undelivered"
            text.error_code = code
        with self.lock:
            self.log.append(text)
            if text.callback:
                if self.untidy:
                    states += [self.chance.choice(states) for _ in range(2)]
                    self.chance.shuffle(states)
                for state in states:
                    extra = {"ErrorCode": str(code)} if state == "undelivered" and code else {}
                    self.outbox.append((text.callback, receipt_form(text, state) | extra))
            if self.receipts:
                text.status = "undelivered" if code else self.receipts[-1]
        return text

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        size = min(1000, int(query.get("PageSize", ["50"])[0]))
        first = int(query.get("Page", ["0"])[0]) * size
        with self.lock:
            lines = [
                t
                for t in reversed(self.log)
                if query.get("To", [t.to_phone])[0] == t.to_phone
                and query.get("From", [t.from_phone])[0] == t.from_phone
            ]
        following = None
        if len(lines) > first + size:
            again = {key: value[0] for key, value in query.items()} | {"Page": str(first // size + 1)}
            following = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?{urlencode(again)}"
        return {
            "messages": [t.as_json() for t in lines[first : first + size]],
            "page": first // size,
            "page_size": size,
            "next_page_uri": following,
        }

    def _push(self) -> None:
        """Deliver receipts over HTTP as the carrier does; what nobody takes is tried once more, then lost."""
        while True:
            try:
                url, form = self.outbox.popleft()
            except IndexError:
                time.sleep(0.02)
                continue
            for _ in range(2):
                if post_signed(url, form) == 200:
                    break
                time.sleep(0.2)


def receipt_form(text: Text, state: str) -> dict[str, str]:
    """The fields of a status webhook."""
    return {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "From": text.from_phone,
        "MessageSid": text.sid,
        "MessageStatus": state,
        "SmsSid": text.sid,
        "SmsStatus": state,
        "To": text.to_phone,
    }


def media_id(place: int) -> str:
    return f"ME{place:032x}"


def media_url(text: Text, place: int) -> str:
    """Where the real carrier says a picture is."""
    return f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/{text.sid}/Media/{media_id(place)}"


def inbound_form(text: Text) -> dict[str, str]:
    """The fields of an inbound webhook, blank ones included."""
    media = {f"MediaUrl{place}": media_url(text, place) for place in range(text.media)}
    types = {f"MediaContentType{place}": "image/jpeg" for place in range(text.media)}
    return {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "Body": text.body,
        "From": text.from_phone,
        "FromCity": "",
        "FromCountry": "US",
        "MessageSid": text.sid,
        "NumMedia": str(text.media),
        "NumSegments": "1",
        "SmsMessageSid": text.sid,
        "SmsSid": text.sid,
        "SmsStatus": "received",
        "To": text.to_phone,
        "ToCity": "",
        **media,
        **types,
    }


def sign(url: str, form: dict[str, str], token: str = TOKEN, algorithm: str | None = None) -> dict[str, str]:
    """The headers of a signed webhook."""
    signature = RequestValidator(token).compute_signature(url, form, algorithm)
    headers = {"X-Twilio-Signature": signature}
    if algorithm:
        headers["X-Twilio-Webhooks-Signature-Settings"] = f"key=webhooks_key,algorithm={algorithm}"
    return headers


def post_signed(url: str, form: dict[str, str], timeout: float = 15) -> int:
    """POST a webhook over HTTP; the status, or 0 when nobody answered."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        headers = sign(url, form) | {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, urlencode(form), headers)
        return connection.getresponse().status
    except OSError:
        return 0
    except Exception:  # a server killed in the middle of its answer
        return 0
    finally:
        connection.close()


def settings_of(standin: StandIn) -> dict[str, str]:
    """The settings that make the service use this carrier."""
    return {
        "carrier": "twilio",
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": TOKEN,
        "twilio_from": NUMBER,
        "twilio_api_url": standin.url,
    }


def deliver(standin: StandIn, post: Callable[[str, dict[str, str], dict[str, str]], Any]) -> list[Any]:
    """Post every waiting receipt through ``post(path, form, headers)``, for tests without a server."""
    answers = []
    while standin.outbox:
        url, form = standin.outbox.popleft()
        parts = urlsplit(url)
        answers.append(post(f"{parts.path}?{parts.query}", form, sign(url, form)))
    return answers


def main(arguments: Iterable[str]) -> None:
    given = dict(zip(*[iter(arguments)] * 2, strict=True))
    standin = StandIn(
        push_receipts=True, untidy=True, slow_seconds=float(given.get("--slow", "2")), retry_after="0.2"
    ).start(int(given.get("--port", "0")))
    sys.stdout.write(standin.url + "\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1:])
