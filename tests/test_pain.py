"""Pure: what a pain score asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.pain import rules_met
from messages.urgency import Urgency, worst

scores = st.integers(min_value=0, max_value=10)
maybe = st.none() | scores
days = st.none() | st.integers(min_value=0, max_value=90)


def rules(
    score: float, day: int | None, baseline: float | None = None, last: float | None = None
) -> set[str]:
    return {rule.rule for rule in rules_met(score, day, baseline, last)}


def urgency(*values) -> Urgency:
    return worst(*(rule.urgency for rule in rules_met(*values)))


@pytest.mark.parametrize(
    "values, expected",
    [
        ((8, 0), {"pain.severe"}),
        ((7, 0), set()),
        ((4, 1, None, 2), {"pain.rise"}),
        ((3, 1, None, 1), set()),
        ((5, 1, None, 4), set()),
        ((6, 1, 5, None), {"pain.above_baseline"}),
        ((5, 2, 6, None), set()),
        ((5, 3, 6, None), {"pain.slow_relief"}),
        ((4, 3, 6, None), set()),
        ((6, 14, 6, None), {"pain.slow_relief", "pain.not_improved"}),
        ((2, 14, 2, None), {"pain.not_improved"}),
        ((0, 14, 0, None), set()),
    ],
)
def test_each_rule_at_its_edge(values: tuple, expected: set[str]) -> None:
    assert rules(*values) == expected


@given(scores, days, maybe, maybe)
def test_eight_and_more_is_urgent_whatever_else_is_known(
    score: int, day: int | None, baseline: int | None, last: int | None
) -> None:
    assert (urgency(score, day, baseline, last) >= Urgency.URGENT) or score < 8


@given(scores, days, maybe, maybe)
def test_knowing_more_never_lowers(
    score: int, day: int | None, baseline: int | None, last: int | None
) -> None:
    assert urgency(score, day, baseline, last) >= urgency(score, day)


@given(scores, days, maybe, maybe)
def test_nothing_here_is_an_emergency_and_every_urgent_rule_names_a_red_flag(
    score: int, day: int | None, baseline: int | None, last: int | None
) -> None:
    for rule in rules_met(score, day, baseline, last):
        assert rule.urgency < Urgency.EMERGENCY
        assert (rule.concept is not None) == (rule.urgency is Urgency.URGENT)
