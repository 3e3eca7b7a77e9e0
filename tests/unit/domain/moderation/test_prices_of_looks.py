"""What a look costs, by Google's price list."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.moderation.prices_of_looks import image_cost, text_cost, video_cost
from shared.ports import Feature

NOW = datetime(2026, 11, 22, tzinfo=UTC)
FEATURES = st.lists(st.sampled_from(list(Feature)))


@pytest.mark.parametrize(
    ("features", "usd_for_a_thousand"),
    [
        ([], 0.0),
        ([Feature.SAFE_SEARCH], 1.50),
        ([Feature.LABELS], 1.50),
        ([Feature.LABELS, Feature.SAFE_SEARCH], 1.50),
        ([Feature.SAFE_SEARCH, Feature.OBJECTS], 3.75),
        ([Feature.FACES, Feature.FACES], 1.50),
        (list(Feature), 8.25),
    ],
)
def test_a_picture_costs_what_its_features_cost(features: list[Feature], usd_for_a_thousand: float) -> None:
    assert image_cost(1000, features, NOW) == pytest.approx(usd_for_a_thousand)


def test_ten_frames_of_a_thousand_videos_with_labels_and_safe_search_cost_15_dollars() -> None:
    assert 1000 * image_cost(10, [Feature.LABELS, Feature.SAFE_SEARCH], NOW) == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("characters", "usd"),
    [(0, 0.0), (1, 0.0015), (100, 0.0015), (101, 0.002), (1000, 0.006), (1001, 0.0075)],
)
def test_a_text_is_billed_in_hundreds_and_thousands_begun(characters: int, usd: float) -> None:
    assert text_cost(characters, NOW) == pytest.approx(usd)


@pytest.mark.parametrize(("seconds", "usd"), [(0, 0.35), (1, 0.35), (60, 0.35), (60.1, 0.70), (120, 0.70)])
def test_a_video_is_billed_in_minutes_begun(seconds: float, usd: float) -> None:
    assert video_cost(seconds, NOW) == pytest.approx(usd)


def test_a_thousand_videos_of_two_minutes_cost_700_dollars() -> None:
    assert 1000 * video_cost(120, NOW) == pytest.approx(700.0)


@given(frames=st.integers(0, 10_000), features=FEATURES)
def test_fewer_frames_are_never_dearer(frames: int, features: list[Feature]) -> None:
    assert 0 <= image_cost(frames, features, NOW) <= image_cost(frames + 1, features, NOW)


@given(features=FEATURES, more=st.sampled_from(list(Feature)))
def test_another_feature_is_never_cheaper(features: list[Feature], more: Feature) -> None:
    assert image_cost(10, features, NOW) <= image_cost(10, [*features, more], NOW) + 1e-12


@given(characters=st.integers(0, 1_000_000))
def test_a_longer_text_is_never_cheaper(characters: int) -> None:
    assert text_cost(characters, NOW) <= text_cost(characters + 1, NOW)
