"""From seconds and tokens to dollars."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.domain.costs import (
    OUTPUT_TOKENS,
    STILLS_PIXELS,
    Machine,
    Tokens,
    answer_cost,
    compute_cost,
    estimated_tokens,
    image_tokens,
    question_cost,
)
from shared.ports import ContextAnswer, Depth

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EXPECTED = Tokens(input=36_000, output=2_000, audio=3_840)


def test_ten_seconds_of_a_function() -> None:
    """2 vCPU and 1 GiB for 10 s: 10 * (2 * $0.000024 + $0.0000025), and $0.0000004 for the request."""
    machine = Machine(cpu=2, memory=1024)
    assert compute_cost(10.0, machine, NOW) == pytest.approx(0.0005054)
    assert compute_cost(9.91, machine, NOW) == pytest.approx(0.0005054)
    assert compute_cost(9.9, machine, NOW) < 0.000505


def test_without_a_machine_that_is_billed_nothing_is() -> None:
    assert compute_cost(10.0, None, NOW) == 0.0


def test_a_clock_that_was_set_back_costs_no_less_than_nothing() -> None:
    assert compute_cost(-5.0, Machine(1, 512), NOW) == pytest.approx(0.0000004)


@pytest.mark.parametrize(
    ("size", "tokens"), [((384, 384), 258), ((320, 200), 258), ((960, 540), 6 * 258), (STILLS_PIXELS, 8 * 258)]
)
def test_a_picture_is_cut_into_tiles(size: tuple[int, int], tokens: int) -> None:
    assert image_tokens(*size) == tokens


def test_what_two_minutes_are_expected_to_take() -> None:
    assert estimated_tokens(Depth.VIDEO, 120.0, "x" * 400) == Tokens(36_100, OUTPUT_TOKENS, 3_840)
    assert estimated_tokens(Depth.VIDEO_LOW, 119.2, "") == Tokens(12_000, OUTPUT_TOKENS, 3_840)
    assert estimated_tokens(Depth.STILLS, 120.0, "") == Tokens(2_064, OUTPUT_TOKENS)


def test_sound_costs_more_where_the_model_charges_more_for_it() -> None:
    cost = question_cost("gemini-2.5-flash", EXPECTED, NOW)
    assert cost.usd == pytest.approx((32_160 * 0.30 + 3_840 * 1.00 + 2_000 * 2.50) / 1e6)
    assert cost.note is None


def test_an_answer_costs_what_the_model_counted() -> None:
    answer = ContextAnswer("{}", "gemini-2.5-flash", input_tokens=10_000, output_tokens=300)
    cost = answer_cost(answer, Tokens(36_000, 2_000), NOW)
    assert cost.usd == pytest.approx((10_000 * 0.30 + 300 * 2.50) / 1e6)
    assert cost.note is None


@pytest.mark.parametrize(("input_tokens", "output_tokens"), [(None, 300), (10_000, None), (None, None)])
def test_what_the_model_did_not_count_is_estimated_and_that_is_said(
    input_tokens: int | None, output_tokens: int | None
) -> None:
    answer = ContextAnswer("{}", "gemini-2.5-pro", input_tokens, output_tokens)
    cost = answer_cost(answer, EXPECTED, NOW)
    assert cost.usd == pytest.approx(((input_tokens or 36_000) * 1.25 + (output_tokens or 2_000) * 10) / 1e6)
    assert cost.note is not None
    assert "did not say" in cost.note


def test_nonsense_counts_take_nothing_back() -> None:
    assert answer_cost(ContextAnswer("{}", "gemini-2.5-flash", -5, -7), EXPECTED, NOW).usd == 0.0


def test_a_model_without_a_list_price_is_named_in_the_note() -> None:
    cost = answer_cost(ContextAnswer("{}", "gemini-9", 1_000, 100), EXPECTED, NOW)
    assert cost.usd >= question_cost("gemini-3.1-pro-preview", Tokens(1_000, 100), NOW).usd
    assert cost.note == "No list price of gemini-9 is known; that of the dearest known model was taken."
