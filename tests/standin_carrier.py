"""A stand-in for the real carrier on loopback: it speaks Twilio's REST, remembers what each phone got, signs
webhooks, and can be told to be slow, full, broken, forgetful or untidy.

``python -m tests.standin_carrier --port N`` runs it as a process of its own, for chaos and rehearsals.
"""

import base64
import json
import random
import re
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from twilio.request_validator import RequestValidator

ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "standin-token-" + "0" * 18
NUMBER = "+13125550000"

# What may happen to one POST. ``accept_*`` records the text first: the caller cannot know.
OK, BUSY, BROKEN, ACCEPT_BROKEN, ACCEPT_DROP, DROP, SLOW, GARBAGE = (
    "ok",
    "429",
    "503",
    "accept_500",
    "accept_drop",
    "drop",
    "slow",
    "accept_garbage",
)


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
    tests that post them themselves.
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
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    log: list[Text] = field(default_factory=list)
    outbox: deque[tuple[str, dict[str, str]]] = field(default_factory=deque)
    posts: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)
    server: ThreadingHTTPServer | None = None

    # -- running ---------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> "StandIn":
        handler = type("Bound", (_Handler,), {"standin": self})
        self.server = _Server(("127.0.0.1", port), handler)
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
            datetime.now(UTC),
            media=media,
        )
        with self.lock:
            self.log.append(text)
        return text

    # -- REST ------------------------------------------------------------------------------------------------

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
            created_at=datetime.now(UTC),
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


def inbound_form(text: Text) -> dict[str, str]:
    """The fields of an inbound webhook, blank ones included."""
    media = {f"MediaUrl{place}": f"https://api.example.test/media/{place}" for place in range(text.media)}
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


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what chaos is about."""


class _Handler(BaseHTTPRequestHandler):
    standin: StandIn
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        form = dict(parse_qsl(self._read(), keep_blank_values=True))
        if self.path == "/_set":
            return self._set(form)
        if self.path == "/_written":
            for line in json.loads(form["lines"]):
                self.standin.write(line["phone"], line["body"], sid=line["sid"])
            return self._json(200, {})
        if not self._allowed():
            return self._json(401, {"code": 20003, "message": "Authenticate", "status": 401})
        standin = self.standin
        answer = standin.next_answer()
        standin.posts[answer] += 1
        fault = _form_fault(form)
        if fault:
            return self._json(400, {"code": fault, "message": "refused", "status": 400})
        if form["To"] in standin.refusals and answer == OK:
            return self._json(400, {"code": standin.refusals[form["To"]], "message": "no", "status": 400})
        if answer == BUSY:
            return self._json(429, {"code": 20429, "message": "slow", "status": 429}, standin.retry_after)
        if answer == BROKEN:
            return self._json(503, {"message": "down"})
        if answer == DROP:
            return self._drop()
        if answer == SLOW:
            time.sleep(standin.slow_seconds)
        text = standin.accept(form)
        if answer == ACCEPT_BROKEN:
            return self._json(500, {"message": "oops"})
        if answer == ACCEPT_DROP:
            return self._drop()
        if answer == GARBAGE:
            return self._raw(201, b"<html>not json</html>")
        return self._json(201, text.as_json() | {"status": "queued"})

    def do_GET(self) -> None:
        standin, parts = self.standin, urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        if parts.path == "/_counts":
            return self._json(200, _counts(standin))
        if not self._allowed():
            return self._json(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if standin.log_answers:
            status = standin.log_answers.popleft()
            if status != 200:
                return self._json(status, {"message": "log unreadable"})
        if parts.path.endswith("/Messages.json"):
            return self._json(200, standin.page(query))
        if parts.path.endswith("/IncomingPhoneNumbers.json"):
            return self._json(200, _numbers(standin))
        if parts.path == f"/2010-04-01/Accounts/{ACCOUNT}.json":
            return self._json(200, {"sid": ACCOUNT, "status": "active", "friendly_name": "stand-in"})
        return self._json(404, {"code": 20404, "message": "not found", "status": 404})

    def _allowed(self) -> bool:
        wanted = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _read(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def _set(self, form: dict[str, str]) -> None:
        """Change rates while running: ``accept_drop=0.05&slow=0``."""
        with self.standin.lock:
            self.standin.rates = {name: float(rate) for name, rate in form.items()}
        self._json(200, {})

    def _json(self, status: int, content: dict[str, Any], retry_after: str | None = None) -> None:
        self._raw(status, json.dumps(content).encode(), retry_after)

    def _raw(self, status: int, body: bytes, retry_after: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _form_fault(form: dict[str, str]) -> int | None:
    if not re.fullmatch(r"\+[1-9]\d{6,14}", form.get("To", "")):
        return 21211
    if not form.get("Body"):
        return 21602
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return 21603
    return None


def _numbers(standin: StandIn) -> dict[str, Any]:
    number = {
        "sid": "PN" + "0" * 32,
        "phone_number": NUMBER,
        "sms_url": None,
        "sms_fallback_url": None,
    } | standin.number_config
    return {"incoming_phone_numbers": [number], "next_page_uri": None, "page": 0, "page_size": 50}


def _counts(standin: StandIn) -> dict[str, Any]:
    texts = standin.texts()
    return {
        "texts": [[phone, body, times] for (phone, body), times in texts.items()],
        "posts": dict(standin.posts),
        "receipts_waiting": len(standin.outbox),
    }


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
