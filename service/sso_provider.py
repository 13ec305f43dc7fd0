"""The identity provider as we talk to it: its doors, its keys, its tokens. Needs the extra ``[sso]``.

What it publishes about itself is kept for an hour; its keys are asked again (at most once a minute) when a
token names one we do not know, since providers rotate them.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import Any

from service.settings import is_loopback
from service.sso_settings import SsoSettings, is_safe_address

KEPT_SECONDS = 3600.0
ASK_AGAIN_SECONDS = 60.0
AWAY_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 60
# Signatures only the provider can make. Neither none nor HMAC: their "key" is something others know too.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderError(Exception):
    """The provider is away or said something that cannot be believed; our own words, no detail of anybody."""


class Provider:
    """One provider; shared by all requests of a process."""

    def __init__(self, sso: SsoSettings, seconds: Callable[[], float] = time.monotonic) -> None:
        self.sso, self._seconds, self._lock = sso, seconds, Lock()
        self._about: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, Mapping[str, Any]] | None = None
        self._away_until = 0.0

    def about(self) -> Mapping[str, Any]:
        """What it publishes about itself, checked. Raises ProviderError."""
        with self._lock:
            at = self._seconds()
            if self._about is not None and at - self._about[0] < KEPT_SECONDS:
                return self._about[1]
            if at < self._away_until:
                raise ProviderError("the provider did not answer a moment ago")
            try:
                found = self._fetch(self.sso.issuer.rstrip("/") + "/.well-known/openid-configuration")
                self._check(found)
            except ProviderError:
                self._away_until = at + AWAY_SECONDS
                raise
            self._about = (at, found)
            return found

    def _check(self, found: Mapping[str, Any]) -> None:
        if str(found.get("issuer", "")).rstrip("/") != self.sso.issuer.rstrip("/"):
            raise ProviderError("the provider calls itself something else than AFTERCARE_SSO_ISSUER")
        for name in ADDRESSES:
            address = str(found.get(name, ""))
            is_near = is_loopback(self.sso.issuer) and is_loopback(address)
            if not (is_safe_address(address) and (is_near or not is_loopback(address))):
                raise ProviderError(f"the provider's {name} is no https address")

    @property
    def issuer(self) -> str:
        """Its name for itself, as its tokens carry it."""
        return str(self.about()["issuer"])

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in. Raises ProviderError."""
        address, _state = self._client().create_authorization_url(
            self.about()["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
        return str(address)

    def claims(self, code: str, verifier: str, nonce: str, now: datetime) -> dict[str, Any]:
        """Exchange the code and read the ID token. Raises ProviderError for anything that does not hold."""
        import httpx
        from authlib.common.errors import AuthlibBaseError

        about = self.about()
        try:
            with self._client() as client:
                token = client.fetch_token(
                    about["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                )
            id_token = token["id_token"]
        except (httpx.HTTPError, AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            raise ProviderError(f"the code was not exchanged ({type(error).__name__})") from error
        return self._believed(str(id_token), nonce, now)

    def _believed(self, id_token: str, nonce: str, now: datetime) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        needed: dict[str, Any] = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.sso.client_id},
            "nonce": {"essential": True, "value": nonce},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "sub": {"essential": True},
        }
        for is_fresh in (False, True):
            try:
                keys = KeySet.import_key_set(dict(self._key_set(is_fresh)))  # type: ignore[arg-type]
                token = jwt.decode(id_token, keys, algorithms=list(ALGORITHMS))
                registry = jwt.JWTClaimsRegistry(now=int(now.timestamp()), leeway=LEEWAY_SECONDS, **needed)
                registry.validate(token.claims)
                break
            except (JoseError, ValueError, KeyError, TypeError) as error:
                if is_fresh or not self._may_ask_again():
                    raise ProviderError(f"the token cannot be believed ({type(error).__name__})") from error
        claims = dict(token.claims)
        others = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if len(others) > 1 and claims.get("azp") != self.sso.client_id:
            raise ProviderError("the token was made for another program")
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise ProviderError("the token names nobody")
        return claims

    def _may_ask_again(self) -> bool:
        with self._lock:
            return self._keys is None or self._seconds() - self._keys[0] >= ASK_AGAIN_SECONDS

    def _key_set(self, is_fresh: bool) -> Mapping[str, Any]:
        address = self.about()["jwks_uri"]
        with self._lock:
            at = self._seconds()
            if self._keys is None or is_fresh or at - self._keys[0] >= KEPT_SECONDS:
                self._keys = (at, self._fetch(address))
            return self._keys[1]

    def _client(self) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        methods = self.about().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        by_post = "client_secret_basic" not in methods and "client_secret_post" in methods
        return OAuth2Client(
            client_id=self.sso.client_id,
            client_secret=self.sso.client_secret,
            scope=self.sso.scopes,
            redirect_uri=self.sso.redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post" if by_post else "client_secret_basic",
            timeout=TIMEOUT_SECONDS,
        )

    def _fetch(self, address: str) -> Mapping[str, Any]:
        import httpx

        try:
            answer = httpx.get(address, timeout=TIMEOUT_SECONDS, headers={"Accept": "application/json"})
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderError(f"the provider cannot be asked ({type(error).__name__})") from error
        if not isinstance(found, dict):
            raise ProviderError("the provider answers in no form we know")
        return found
