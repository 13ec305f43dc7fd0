"""An identity provider on loopback: discovery, keys, code exchange with PKCE, ID tokens with a real RSA key.

It keeps the contract a real one keeps (a code works once, for the client, address and verifier it was made
for) and can be told to cheat, one way at a time.
"""

import base64
import json
import time
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET_WORD = "aftercare-web", "client-secret-of-the-tests"


class StandInProvider:
    """Give it claims, take what it hands out."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.published = [self.key]
        self.codes: dict[str, dict[str, Any]] = {}
        self.discovery: dict[str, Any] = {}
        self.asked: list[str] = []
        self.is_away = False
        self.change_token: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = self.sign_well
        provider = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(urlsplit(self.path).path)
                found = provider.document(urlsplit(self.path).path)
                self.answer(503 if provider.is_away else (404 if found is None else 200), found or {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
                provider.asked.append(self.path)
                self.answer(*provider.exchange(body, self.headers.get("authorization", "")))

            def answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}/realm"
        self.thread = Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> "StandInProvider":
        self.thread.start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def document(self, path: str) -> dict[str, Any] | None:
        if path == "/realm/.well-known/openid-configuration":
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            } | self.discovery
        if path == "/realm/keys":
            return {"keys": [key.as_dict(private=False) for key in self.published]}
        return None

    def authorize(self, address: str, **claims: Any) -> dict[str, str]:
        """What happens when a person signs in there: the answer that travels back to the program."""
        parts = urlsplit(address)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = token_urlsafe(16)
        self.codes[code] = asked | {"claims": claims}
        return {"code": code, "state": asked["state"]}

    def exchange(self, body: str, authorization: str) -> tuple[int, dict[str, Any]]:
        given = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.codes.pop(given.get("code", ""), None)
        known = base64.b64encode(f"{CLIENT}:{SECRET_WORD}".encode()).decode()
        digest = sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        is_right = (
            asked is not None
            and authorization == f"Basic {known}"
            and given.get("grant_type") == "authorization_code"
            and given.get("redirect_uri") == asked["redirect_uri"]
            and challenge == asked["code_challenge"]
        )
        if not is_right or asked is None:
            return 400, {"error": "invalid_grant"}
        at = int(self.now())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "person-1", "iat": at, "exp": at + 300,
            "nonce": asked["nonce"], **asked["claims"],
        }  # fmt: skip
        id_token = self.sign(self.change_token(claims))
        return 200, {
            "access_token": "unused",
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": id_token,
        }

    def sign_well(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    # ---- ways to cheat

    def sign_with_none(self, claims: dict[str, Any]) -> str:
        head, body = ({"alg": "none", "typ": "JWT"}, claims)
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, body)
        ]
        return ".".join([*parts, ""])

    def sign_with_public_key(self, claims: dict[str, Any]) -> str:
        """The old trick: HMAC with what everybody can download."""
        public = self.key.as_pem(private=False)
        with_it = OctKey.import_key(base64.urlsafe_b64encode(public).decode(), {"kid": self.key.kid})
        return jwt.encode({"alg": "HS256", "kid": self.key.kid}, claims, with_it)

    def sign_with_another_key(self, claims: dict[str, Any]) -> str:
        other = RSAKey.generate_key(2048, {"kid": self.key.kid})
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, other)

    def rotate(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": token_urlsafe(4), "use": "sig"})
        self.published = [self.key]
