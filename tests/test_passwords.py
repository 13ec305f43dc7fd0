"""What a password may not be, whoever chooses it, and that a pass phrase is never refused."""

import pytest

from service import passwords
from service.passwords import AccountError, common_words, hash_password, is_common, is_stale, verify
from tests.spared import SERVICE_HASHER

OWN = ("kim.ryan@clinic.example", "Kim Ryan")


@pytest.mark.parametrize(
    "password",
    [
        "password1234", "Password123!", "P@ssw0rd1234", "passwordpassword", "!!password!!", "123456789012",
        "987654321098", "1234567890123456", "qwertyuiop123", "QwErTyUiOp!!", "1q2w3e4r5t6y", "iloveyou1234",
        "Summer2026!!", "Welcome12345", "letmeinletmein", "abcdefghijkl", "administrator1", "aftercare2026",
        "kim.ryan@clinic.example", "KimRyan12345", "kim.ryan.....1", "contraseña2026", "abcabcabcabc",
    ],
)  # fmt: skip
def test_a_common_word_dressed_up_is_refused(password: str) -> None:
    with pytest.raises(AccountError, match="easy to guess|at least 12") as refused:
        hash_password(password, *OWN)
    assert refused.value.field == "password" and password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "a long pass phrase 7", "summer at the old lake", "x7Kq 2mvL 09ab",
        "918273640556", "nurse-without-a-night", "3.14159265358979", "ñandú y colibrí", "demo-lakeside-care",
    ],
)  # fmt: skip
def test_what_nobody_would_try_first_is_taken(password: str) -> None:
    assert verify(hash_password(password, *OWN), password)


def test_short_long_and_monotonous_ones_are_refused() -> None:
    for password in ("short", "a" * 40, "ababababababab", "x1y2z3" * 100, ""):
        with pytest.raises(AccountError):
            hash_password(password, *OWN)


def test_the_list_is_clean_and_reaches_thousands_by_its_rules() -> None:
    words = common_words()
    assert len(words) > 450
    assert all(word == word.casefold().strip() and len(word) >= 3 for word in words)
    tails = ("123456789012", "2026!2026!20", "!!!!1234!!!!")
    dressed = {f"{word}{tail}" for word in words for tail in tails if word.isalpha()}
    assert len(dressed) > 1200 and [one for one in dressed if not is_common(one)] == []


def test_without_a_hash_nothing_is_the_password() -> None:
    assert not verify(None, "nobody has this password")
    assert not verify("no hash", "no hash")


def test_a_hash_costs_a_thief_what_rfc_9106_asks_and_a_weaker_one_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second recommended choice of RFC 9106, section 4: argon2id, 3 passes over 64 MiB, 4 lanes."""
    weak = hash_password("correct horse battery")  # tests hash cheaply
    monkeypatch.setattr(passwords, "hasher", SERVICE_HASHER)
    strong = hash_password("correct horse battery")
    assert strong.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert is_stale(weak) and not is_stale(strong)
    assert verify(strong, "correct horse battery") and not verify(strong, "correct horse batterz")
    assert verify(weak, "correct horse battery")
