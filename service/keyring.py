"""Keys for encryption at rest, sealing one value and opening it again. No database here.

A sealed value is text: ``sealed.1:KEY:`` and base64 of nonce, ciphertext and tag (AES-256-GCM, a random
96-bit nonce each time). Table and column are bound in as associated data: a value moved to another column
does not open. Without keys values stay as they are; text that happens to begin like a sealed one is marked
with ``sealed.1:-:`` and so comes back unchanged.
"""

import hmac
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from secrets import token_bytes
from typing import Any

MARK = "sealed.1:"
VERBATIM = MARK + "-:"
KEY_BYTES = 32
NONCE_BYTES = 12
DIGEST_LENGTH = 32
KEY_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,15}")
PLAIN = "plain"  # stands where a key's name would: this is not sealed


class KeyringError(ValueError):
    """The keys cannot be used; the message is one sentence and holds no key."""


class Unreadable(str):
    """Stands for a value whose key is missing or does not fit. False in a condition: treated as not there.

    ``stored`` is what the database holds; written back, it stays what it was.
    """

    stored: str
    key_id: str
    why: str

    def __new__(cls, stored: str, key_id: str, why: str) -> "Unreadable":
        made = super().__new__(cls, f"[cannot be read: {why}]")
        made.stored, made.key_id, made.why = stored, key_id, why
        return made

    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        return self.stored, self.key_id, self.why  # so that it can be copied

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Keyring:
    """Keys by name; ``current`` seals, all open. Empty: nothing is sealed."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    current: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """``id:base64key,id2:base64key``, the first one current. Raises KeyringError."""
        keys: dict[str, bytes] = {}
        for number, part in enumerate((part.strip() for part in text.split(",")), 1):
            key_id, colon, encoded = part.partition(":")
            if not colon or not encoded:
                raise KeyringError(f"key {number} is not written as name:base64key")
            if not KEY_ID.fullmatch(key_id) or key_id == PLAIN:
                raise KeyringError(
                    f"the name of key {number} must be 1 to 16 small letters, digits or _, and not {PLAIN!r}"
                )
            key = _decoded(encoded.strip(), key_id)
            if key_id in keys:
                raise KeyringError(f"two keys are named {key_id}")
            if key in keys.values():
                raise KeyringError(f"key {key_id} is the same as another one")
            keys[key_id] = key
        return cls(keys, next(iter(keys)))

    @cached_property
    def _ciphers(self) -> dict[str, Any]:
        # Loaded here: commands that need no keys start without the library.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return {key_id: AESGCM(key) for key_id, key in self.keys.items()}

    def seal(self, value: str, place: str) -> str:
        """The value as it is stored in ``place`` (``table.column``)."""
        if self.current is None:
            return VERBATIM + value if value.startswith(MARK) else value
        return self.seal_with(self.current, value, place)

    def seal_with(self, key_id: str, value: str, place: str) -> str:
        """Sealed with a key of the ring by name."""
        nonce = token_bytes(NONCE_BYTES)
        sealed = nonce + self._ciphers[key_id].encrypt(nonce, value.encode("utf-8"), _bound(place, key_id))
        return f"{MARK}{key_id}:{b64encode(sealed).decode('ascii')}"

    def unseal(self, stored: str, place: str) -> str:
        """The value that was stored; what cannot be opened comes back as Unreadable, never as a fault."""
        if not stored.startswith(MARK):
            return stored
        key_id, _, encoded = stored[len(MARK) :].partition(":")
        if key_id == "-":
            return encoded
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            return Unreadable(stored, key_id, f"key {key_id[:16]} is missing")
        from cryptography.exceptions import InvalidTag

        try:
            sealed = b64decode(encoded, validate=True)
            opened = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(place, key_id))
            return str(opened, "utf-8")
        except (InvalidTag, ValueError):
            return Unreadable(stored, key_id, f"it was changed, or key {key_id} is not the one it had")


def _decoded(encoded: str, key_id: str) -> bytes:
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        key = urlsafe_b64decode(padded) if re.search(r"[-_]", encoded) else b64decode(padded, validate=True)
    except (BadBase64, ValueError) as error:
        raise KeyringError(f"key {key_id} is not base64") from error
    if len(key) != KEY_BYTES:
        raise KeyringError(f"key {key_id} has {len(key)} bytes and must have {KEY_BYTES}")
    if len(set(key)) < 8:
        raise KeyringError(f"key {key_id} is not random")
    return key


def _bound(place: str, key_id: str) -> bytes:
    return f"aftercare {MARK}{key_id}:{place}".encode()


def new_key_line(key_id: str) -> str:
    """A fresh key as the setting wants it. Raises KeyringError for a name that is not allowed."""
    if not KEY_ID.fullmatch(key_id) or key_id == PLAIN:
        raise KeyringError(f"{key_id!r} is no name for a key: 1 to 16 small letters, digits or _")
    return f"{key_id}:{urlsafe_b64encode(token_bytes(KEY_BYTES)).decode('ascii')}"


class Hashed(str):
    """A keyed hash as it is stored, so that it is not hashed again on its way to the database."""


def digest(index_key: bytes, kind: str, value: str) -> Hashed:
    """The keyed hash a value is looked up by: HMAC-SHA-256, 128 bits of it, apart for each kind of value."""
    made = hmac.new(index_key, f"{kind}\0{value}".encode(), sha256).hexdigest()
    return Hashed(made[:DIGEST_LENGTH])
