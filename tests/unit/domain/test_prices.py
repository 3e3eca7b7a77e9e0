"""The price table: which entry holds when, what a model's name stands for, and where each figure is from."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from shared.domain.prices import (
    CLOUD_RUN,
    LONG_PROMPT_TOKENS,
    MODELS,
    NEW_YEAR,
    PRICES,
    TokenPrices,
    Unit,
    known_model,
    price,
    table_date,
    token_prices,
)
from shared.settings import DEFAULT_GEMINI_MODEL

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_every_entry_says_where_it_is_from_and_when_it_was_read() -> None:
    for entry in PRICES:
        assert entry.source.place
        assert entry.source.as_of is None or entry.source.as_of <= entry.read
        assert entry.usd > 0


def test_no_two_entries_hold_from_the_same_day() -> None:
    keys = [(entry.service, entry.unit, entry.since) for entry in PRICES]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_has_a_price_for_its_answer(model: str) -> None:
    assert token_prices(model, 1000, NOW).output > 0


def test_the_default_model_has_a_price_of_its_own() -> None:
    assert token_prices(DEFAULT_GEMINI_MODEL, 1000, NOW) == TokenPrices(0.30, 1.00, 2.50)


def test_an_entry_holds_until_the_next_one_begins_in_utc() -> None:
    last_hour = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert token_prices("gemini-3.8-flash", 1, last_hour).input == 0.75
    assert token_prices("gemini-3.8-flash", 1, last_hour + timedelta(minutes=1)).input == 1.50
    assert (
        token_prices("gemini-3.8-flash", 1, datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))).input
        == 0.75
    )


def test_a_time_before_the_first_entry_takes_the_first() -> None:
    assert price(CLOUD_RUN, Unit.VCPU_SECOND, datetime(2020, 1, 1, tzinfo=UTC)) == 0.000024


def test_the_version_of_the_table_is_its_youngest_entry_in_force() -> None:
    assert table_date(datetime(2020, 1, 1, tzinfo=UTC)) == date(2026, 11, 21)
    assert table_date(NOW) == date(2026, 11, 21)
    assert table_date(datetime(2027, 6, 1, tzinfo=UTC)) == NEW_YEAR


def test_a_service_without_an_entry_is_an_error() -> None:
    with pytest.raises(KeyError):
        price("gemini-2.5-flash", Unit.VCPU_SECOND, NOW)


def test_long_prompts_cost_more_from_the_first_token_after_the_limit() -> None:
    assert token_prices("gemini-2.5-pro", LONG_PROMPT_TOKENS, NOW) == TokenPrices(1.25, 1.25, 10.0)
    assert token_prices("gemini-2.5-pro", LONG_PROMPT_TOKENS + 1, NOW) == TokenPrices(2.5, 2.5, 15.0)


@pytest.mark.parametrize("tokens", [1000, LONG_PROMPT_TOKENS + 1])
def test_an_unknown_model_costs_what_the_dearest_known_one_does_and_says_so(tokens: int) -> None:
    assumed = token_prices("gemini-9-colossal", tokens, NOW)
    known = [token_prices(model, tokens, NOW) for model in MODELS]
    assert assumed.assumed
    assert not any(each.assumed for each in known)
    assert assumed.input == max(each.input for each in known)
    assert assumed.output == max(each.output for each in known)
    assert assumed.audio_input >= assumed.input


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("publishers/google/models/gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("gemini-3.1-pro-preview", "gemini-3.1-pro-preview"),
        ("gemini-2.5-flash-image", None),  # draws, at twelve times the price
        ("gemini-flash-latest", None),
        ("gemini-2.5", None),
        ("", None),
    ],
)
def test_what_a_name_stands_for(name: str, entry: str | None) -> None:
    assert known_model(name) == entry
