"""Passwords: what is refused, how the others are kept.

Refused: too short, too few different characters, the member's own name or e-mail, and one common word or key
run dressed up with digits and signs. No list of leaked passwords is asked: nothing here reaches the network.
"""

import re
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 512
FEWEST_CHARACTERS = 5
COMMON = Path(__file__).parent / "common_passwords.txt"
LEET = str.maketrans("013457@$!8", "oieastasib")

hasher = PasswordHasher()
# Verified when nobody has the e-mail that was typed, so that both answers take the same time.
_NOBODY = hasher.hash("nobody has this password")


class AccountError(ValueError):
    """Something about a member that cannot be; ``field`` names the form field it belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def hash_password(password: str, *own: str) -> str:
    """The argon2 hash to store. ``own``: e-mail and name. Raises AccountError for what is easy to guess."""
    if len(password) < SHORTEST_PASSWORD:
        raise AccountError("password", "Choose a password of at least 12 characters.")
    if len(password) > LONGEST_PASSWORD:
        raise AccountError("password", "That password is too long: 512 characters at most.")
    if len(set(password)) < FEWEST_CHARACTERS or is_common(password, *own):
        raise AccountError("password", "That password is too easy to guess.")
    return hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether it is the password; without a hash it is not, after the same time."""
    try:
        right = hasher.verify(password_hash or _NOBODY, password[:LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
    return right and password_hash is not None


def is_stale(password_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return hasher.check_needs_rehash(password_hash)


def is_common(password: str, *own: str) -> bool:
    """Whether it is one common word, key run or own name, repeated or dressed up with digits and signs.

    1. as typed and without digits and signs around it, 2. both also with leet digits undone, 3. one word, or
    the same word again and again. Several different words are a pass phrase and never refused.
    """
    plain = password.casefold()
    bare = plain.strip("".join(sign for sign in set(plain) if not sign.isalpha()))
    words = common_words() | {word for text in own for word in _words_of(text)}
    forms = {plain, bare, plain.translate(LEET), bare.translate(LEET)}
    return any(_is_one_of(form, words) for form in forms) or (not bare and _is_run(plain))


def _is_one_of(form: str, words: frozenset[str] | set[str]) -> bool:
    starts = (form[:length] for length in range(1, len(form) + 1))
    return any(once in words and (once * (len(form) // len(once) + 1)).startswith(form) for once in starts)


def _is_run(form: str) -> bool:
    """Only digits and signs: counting up or down, or a short piece again and again."""
    digits = re.sub(r"\D", "", form)
    steps = {(ord(second) - ord(first)) % 10 for first, second in zip(digits, digits[1:], strict=False)}
    pieces = any((form[:length] * len(form)).startswith(form) for length in range(1, 7))
    return len(steps) <= 1 or pieces


def _words_of(text: str) -> set[str]:
    whole = text.casefold()
    parts = [whole, whole.split("@")[0], *re.split(r"[^\w]+", whole), re.sub(r"\W+", "", whole)]
    return {part for part in parts if len(part) >= 3}


@cache
def common_words() -> frozenset[str]:
    """The list beside this file: words people build passwords from."""
    lines = COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
