"""How texts travel: cleaned for GSM-7 where that loses nothing, counted in the parts a carrier sends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.sms import GSM_7, UCS_2, encoding, sanitise, segments

GSM_ALPHABET = "abcdefghij XYZ 0189 ?!.,:;-'\"éñü¿¡àèìòù€[]{}~|^\\\n"


@pytest.mark.parametrize(
    ("given_text", "sent"),
    [
        ("¿Cómo está? Aquí, según él", "¿Como esta? Aqui, segun él"),
        ("después, mañana, pingüino, ¡ya!", "después, mañana, pingüino, ¡ya!"),
        ("ÁÍÓÚ ÉÑÜ", "AIOU ÉÑÜ"),
        ("“can’t” – don’t…", "\"can't\" - don't..."),
        ("a\u00a0b\u202fc\td", "a b c d"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("e\u0301 and a\u0301", "é and a"),
        ("São Paulo, Crème brûlée, Łódź", "Sao Paulo, Crème brulée, Łodz"),
        ("bell\x07 and form\x0cfeed", "bell and formfeed"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_text_is_straightened_only_as_far_as_the_alphabet_asks(given_text: str, sent: str) -> None:
    assert sanitise(given_text) == sent


def test_an_emoji_survives_and_costs_the_short_alphabet() -> None:
    assert sanitise("ok 👍") == "ok 👍"
    assert encoding("ok 👍") == UCS_2
    assert encoding("ok") == GSM_7


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("á" * 70, 1),
        ("á" * 71, 2),
        ("á" * 134, 2),
        ("á" * 135, 3),
        ("👍" * 35, 1),
        ("👍" * 36, 2),
        # 153 places: an escape pair that would straddle the border moves to the next part as a whole
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        # 67 places, the same for a surrogate pair
        ("á" * 66 + "👍" + "á" * 65, 2),
        ("á" * 66 + "👍" + "á" * 66, 3),
    ],
)
def test_parts_are_packed_not_divided(text: str, count: int) -> None:
    assert segments(text) == count


@settings(deadline=None)
@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert sanitise(sanitise(text)) == sanitise(text)


@settings(deadline=None)
@given(st.text(alphabet=GSM_ALPHABET + "áíóúÁÍÓÚ“”‘’–—…"))
def test_spanish_and_curly_text_always_ends_up_in_the_short_alphabet(text: str) -> None:
    assert encoding(sanitise(text)) == GSM_7


@settings(deadline=None)
@given(st.text(alphabet=GSM_ALPHABET, min_size=1, max_size=900))
def test_parts_hold_the_text_and_never_more_than_one_part_is_wasted(text: str) -> None:
    places = sum(2 if sign in "€[]{}~|^\\" else 1 for sign in text)
    count = segments(text)
    assert places <= (160 if count == 1 else 153 * count)
    if count > 1:
        assert places > max(160, 152 * (count - 1))


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_never_takes_fewer_parts(one: str, more: str) -> None:
    assert segments(one + more) >= segments(one)
