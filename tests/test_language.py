"""Pure: which language an answer goes back in."""

import pytest

from messages.language import language_of


@pytest.mark.parametrize(
    "text, language",
    [
        ("my leg is numb and it hurts", "en"),
        ("me duele mucho el pecho", "es"),
        ("no puedo orinar", "es"),
        ("mi mama no puede mover la pierna", "es"),
        ("i cant breathe", "en"),
        ("no", None),
        ("9", None),
        ("", None),
        ("👍", None),
        ("STOP", None),
        ("señor", "es"),
        ("У меня болит нога", "other"),
        ("我的腿麻了", "other"),
        ("ساقي مخدرة", "other"),
        ("my leg 腿", "en"),
        ("numb toda la pierna desde ayer please call", "es"),
    ],
)
def test_short_texts_as_people_write_them(text: str, language: str | None) -> None:
    assert language_of(text) == language
