"""Depth steps down before it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.budgets import (
    CAPS,
    DEPTHS,
    EXPLANATIONS,
    Choice,
    DepthReason,
    Offer,
    choose_depth,
    offer,
)
from shared.ports import Depth

COSTS = {Depth.VIDEO: 0.020, Depth.VIDEO_LOW: 0.010, Depth.STILLS: 0.005}
ALL = frozenset(Depth)
FULL = Offer(COSTS)


@pytest.mark.parametrize(
    ("spent", "depth", "reason"),
    [
        (0.00, Depth.VIDEO, DepthReason.NONE),
        (0.69, Depth.VIDEO, DepthReason.NONE),
        (0.70, Depth.VIDEO_LOW, DepthReason.BUDGET_LOW),
        (0.89, Depth.VIDEO_LOW, DepthReason.BUDGET_LOW),
        (0.90, Depth.STILLS, DepthReason.BUDGET_LOW),
        (0.994, Depth.STILLS, DepthReason.BUDGET_SHORT),
        (0.996, None, DepthReason.BUDGET_SHORT),
        (2.00, None, DepthReason.BUDGET_SHORT),
    ],
)
def test_the_steps_of_a_budget_of_one_dollar(spent: float, depth: Depth | None, reason: DepthReason) -> None:
    assert choose_depth(FULL, spent, 1.0) == Choice(depth, reason)


def test_without_a_budget_the_closest_look() -> None:
    assert choose_depth(FULL, 1e9, None) == Choice(Depth.VIDEO, DepthReason.NONE)


def test_a_budget_of_nothing_refuses() -> None:
    assert choose_depth(FULL, 0.0, 0.0) == Choice(None, DepthReason.BUDGET_SHORT)


def test_a_question_that_does_not_fit_the_whole_day_steps_down_at_once() -> None:
    assert choose_depth(FULL, 0.0, 0.012) == Choice(Depth.VIDEO_LOW, DepthReason.BUDGET_SHORT)


def test_a_step_down_that_saves_nothing_is_not_taken() -> None:
    """Three seconds of video take fewer tokens than a page of stills."""
    clip = Offer({Depth.VIDEO: 0.004, Depth.VIDEO_LOW: 0.003, Depth.STILLS: 0.005})
    assert choose_depth(clip, 0.95, 1.0) == Choice(Depth.VIDEO_LOW, DepthReason.BUDGET_LOW)


TOKENS = {Depth.VIDEO: 36_000, Depth.VIDEO_LOW: 12_000, Depth.STILLS: 2_000}


@pytest.mark.parametrize(
    ("known", "limit", "choice"),
    [
        (ALL, 1_000_000, Choice(Depth.VIDEO, DepthReason.NONE)),
        (ALL, 36_000, Choice(Depth.VIDEO, DepthReason.NONE)),
        (ALL, 35_999, Choice(Depth.VIDEO_LOW, DepthReason.TOO_LONG)),
        (ALL, 11_999, Choice(Depth.STILLS, DepthReason.TOO_LONG)),
        (ALL, 1_999, Choice(None, DepthReason.TOO_LONG)),
        (ALL - {Depth.VIDEO_LOW}, 35_999, Choice(Depth.STILLS, DepthReason.NOT_OFFERED)),
        (ALL - {Depth.STILLS}, 11_999, Choice(None, DepthReason.TOO_LONG)),
        (frozenset({Depth.STILLS}), 1_000_000, Choice(Depth.STILLS, DepthReason.NOT_OFFERED)),
        (frozenset(), 1_000_000, Choice(None, DepthReason.NOT_OFFERED)),
    ],
)
def test_what_the_model_can_read(known: frozenset[Depth], limit: int, choice: Choice) -> None:
    assert choose_depth(offer(COSTS, TOKENS, limit, known), 0.0, 1.0) == choice


def test_what_proved_impossible_is_not_offered_again() -> None:
    rest = FULL.without((Depth.VIDEO, Depth.VIDEO_LOW), DepthReason.TOO_LARGE)
    assert choose_depth(rest, 0.0, 1.0) == Choice(Depth.STILLS, DepthReason.TOO_LARGE)
    assert choose_depth(rest.without((Depth.STILLS,), DepthReason.BUDGET_SHORT), 0.0, 1.0) == Choice(
        None, DepthReason.BUDGET_SHORT
    )


def test_every_reason_has_a_sentence_but_none() -> None:
    assert {reason for reason in DepthReason if not EXPLANATIONS[reason]} == {DepthReason.NONE}


def test_the_steps_are_in_order() -> None:
    assert [share for share, _ in CAPS] == sorted((share for share, _ in CAPS), reverse=True)
    assert [depth for _, depth in CAPS] == list(reversed(DEPTHS))


MONEY = st.floats(0, 10) | st.sampled_from([0.0, 0.5, 0.69, 0.7, 0.71, 0.85, 0.89, 0.9, 0.91, 0.95, 1.0])
BUDGETS = st.just(1.0) | MONEY
USD = st.floats(0.0001, 3) | st.integers(1, 15).map(lambda cents: cents / 100)
OFFERS = st.dictionaries(st.sampled_from(DEPTHS), USD).map(Offer)


@given(OFFERS, MONEY, BUDGETS)
def test_what_is_chosen_fits_into_what_is_left(offered: Offer, spent: float, budget: float) -> None:
    chosen = choose_depth(offered, spent, budget).depth
    if chosen is not None:
        assert spent + offered.costs[chosen] <= budget


@settings(max_examples=500)
@given(OFFERS, MONEY, MONEY, BUDGETS)
def test_more_spent_never_gives_a_closer_or_a_dearer_look(
    offered: Offer, one: float, other: float, budget: float
) -> None:
    less, more = sorted((one, other))
    before, after = choose_depth(offered, less, budget).depth, choose_depth(offered, more, budget).depth
    if after is not None:
        assert before is not None
        assert DEPTHS.index(after) >= DEPTHS.index(before)
        assert offered.costs[after] <= offered.costs[before]


@given(OFFERS, MONEY, BUDGETS)
def test_it_refuses_only_when_nothing_fits(offered: Offer, spent: float, budget: float) -> None:
    if choose_depth(offered, spent, budget).depth is None:
        assert all(spent + usd > budget for usd in offered.costs.values())
