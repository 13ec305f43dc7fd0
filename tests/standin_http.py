"""The HTTP side of the stand-in carrier: Twilio's REST on loopback, with the faults it was told to have."""

import base64
import json
import re
import socket
import time
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

if TYPE_CHECKING:
    from tests.standin_carrier import StandIn

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


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what chaos is about."""


class Handler(BaseHTTPRequestHandler):
    standin: "StandIn"
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.standin.clock(), usegmt=True)

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
        if one := re.search(r"/Messages/(SM\w+)\.json", self.path):
            return self._redact(one[1], form, answer)
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
        if standin.pictures and ("/Media" in parts.path or parts.path.startswith("/_cdn/")):
            return self._media(parts.path)
        if not self._allowed():
            return self._json(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if standin.log_answers:
            status = standin.log_answers.popleft()
            if status != 200:
                return self._json(status, {"message": "log unreadable"})
        if one := re.search(r"/Messages/(SM\w+)/Media\.json", parts.path):
            return self._json(200, _media(standin, one[1]))
        if parts.path.endswith("/Messages.json"):
            return self._json(200, standin.page(query))
        if parts.path.startswith("/v1/Services"):
            return self._services(parts.path.removeprefix("/v1/Services").strip("/").split("/"))
        if re.search(r"/IncomingPhoneNumbers/PN\w+\.json", parts.path):
            return self._json(200, _numbers(standin)["incoming_phone_numbers"][0])
        if parts.path.endswith("/IncomingPhoneNumbers.json"):
            return self._json(200, _numbers(standin, query))
        if parts.path == f"/2010-04-01/Accounts/{ACCOUNT}.json":
            return self._json(200, {"sid": ACCOUNT, "status": "active", "friendly_name": "stand-in"})
        return self._json(404, {"code": 20404, "message": "not found", "status": 404})

    def _services(self, path: list[str]) -> None:
        """Messaging services: all, one, its numbers, or whether a number lies in one."""
        listed = self.standin.services
        if path == [""]:
            return self._json(200, {"services": listed, "meta": {"key": "services"}})
        found = next((one for one in listed if one["sid"] == path[0]), None)
        numbers = [{"sid": one} for one in (found or {}).get("numbers", ())]
        if found is not None and path[1:] == []:
            return self._json(200, found)
        if found is not None and path[1:] == ["PhoneNumbers"]:
            return self._json(200, {"phone_numbers": numbers, "meta": {"key": "phone_numbers"}})
        if path[-1] in (one["sid"] for one in numbers):
            return self._json(200, {"sid": path[-1]})
        return self._json(404, {"code": 20404, "message": "not found", "status": 404})

    def do_DELETE(self) -> None:
        if not self._allowed():
            return self._json(401, {"code": 20003, "message": "Authenticate", "status": 401})
        one = re.search(r"/Messages/(SM\w+)/Media/ME\w+\.json", self.path)
        if one and self.standin.delete_media(one[1]):
            return self._raw(204, b"")
        return self._json(404, {"code": 20404, "message": "not found", "status": 404})

    def _redact(self, sid: str, form: dict[str, str], answer: str) -> None:
        """An update with an empty body: the one change the carrier allows to a text that is done."""
        if answer == BUSY:
            return self._json(
                429, {"code": 20429, "message": "slow", "status": 429}, self.standin.retry_after
            )
        if answer == BROKEN:
            return self._json(503, {"message": "down"})
        if form != {"Body": ""}:
            return self._json(400, {"code": 21602, "message": "only an empty body", "status": 400})
        text = self.standin.redact(sid)
        if text is None:
            return self._json(404, {"code": 20404, "message": "not found", "status": 404})
        return self._json(200, text.as_json())

    def _media(self, path: str) -> None:
        """The account's address wants credentials and redirects; where the bytes are, they would leak."""
        standin, name = self.standin, path.rsplit("/", 1)[-1]
        standin.asked_with.append((path, "Authorization" in self.headers))
        if path.startswith("/_cdn/"):
            return self._raw(200, standin.pictures[name])
        if not self._allowed():
            return self._json(401, {"code": 20003})
        if name == "Media.json":
            return self._json(200, {"media_list": [{"sid": one} for one in standin.pictures]})
        if name not in standin.pictures:
            return self._json(404, {"code": 20404})
        self.send_response(307)
        self.send_header("Location", standin.picture_at.format(id=name))
        self.send_header("Content-Length", "0")
        self.end_headers()

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


def _media(standin: "StandIn", sid: str) -> dict[str, Any]:
    count = next((text.media for text in standin.log if text.sid == sid), 0)
    found = [{"sid": f"ME{place:032d}", "parent_sid": sid, "account_sid": ACCOUNT} for place in range(count)]
    return {"media_list": found, "next_page_uri": None, "page": 0, "page_size": 50}


def _numbers(standin: "StandIn", query: dict[str, list[str]] | None = None) -> dict[str, Any]:
    number = {
        "sid": "PN" + "0" * 32,
        "phone_number": NUMBER,
        "sms_url": None,
        "sms_fallback_url": None,
    } | standin.number_config
    found = [number] if not query or query.get("PhoneNumber", [NUMBER]) == [NUMBER] else []
    return {"incoming_phone_numbers": found, "next_page_uri": None, "page": 0, "page_size": 50}


def _counts(standin: "StandIn") -> dict[str, Any]:
    texts = standin.texts()
    return {
        "texts": [[phone, body, times] for (phone, body), times in texts.items()],
        "posts": dict(standin.posts),
        "receipts_waiting": len(standin.outbox),
    }
