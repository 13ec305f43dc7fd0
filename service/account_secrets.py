"""Small secrets of accounts, sealed with keys derived from AFTERCARE_SECRET_KEY.

HKDF-SHA256 gives one key per purpose; AES-256-GCM seals, bound to whose secret it is, so that a row copied to
another member opens nothing. Whoever changes AFTERCARE_SECRET_KEY makes all of it unreadable.
"""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = "1."
NONCE_BYTES = 12


class SealBroken(Exception):
    """It was not sealed with this key for this owner, or it was changed since."""


def _key(secret_key: str, purpose: str) -> bytes:
    info = f"aftercare {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret_key.encode())


def seal(secret_key: str, purpose: str, owner: str, secret: str) -> str:
    """``secret`` as a text that only ``open_seal`` with the same key, purpose and owner can read."""
    nonce = token_bytes(NONCE_BYTES)
    hidden = AESGCM(_key(secret_key, purpose)).encrypt(nonce, secret.encode(), owner.encode())
    return VERSION + urlsafe_b64encode(nonce + hidden).decode()


def open_seal(secret_key: str, purpose: str, owner: str, sealed: str) -> str:
    """What was sealed. Raises SealBroken."""
    if not sealed.startswith(VERSION):
        raise SealBroken
    try:
        content = urlsafe_b64decode(sealed.removeprefix(VERSION).encode())
        nonce, hidden = content[:NONCE_BYTES], content[NONCE_BYTES:]
        return AESGCM(_key(secret_key, purpose)).decrypt(nonce, hidden, owner.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError, UnicodeError) as error:
        raise SealBroken from error


def keyed_hash(secret_key: str, purpose: str, owner: str, word: str) -> str:
    """A hash that nobody without the key can compare guesses with."""
    return hmac.new(_key(secret_key, purpose), f"{owner} {word}".encode(), sha256).hexdigest()
