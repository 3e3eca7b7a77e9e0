"""Features are pure and bounded; the model is read strictly and gives probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.detection.detector import load_detector
from shared.detection.features import FEATURE_NAMES, window_features
from shared.detection.model import read_model, write_model
from shared.errors import SettingsError

BUNDLED = Path(__file__).parents[3] / "models" / "violence-floor-1.json"


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.just(16), st.just(16))), st.floats(0.01, 3))
@settings(max_examples=60)
def test_features_of_any_pictures_are_finite_bounded_and_repeatable(pictures: np.ndarray, step: float) -> None:
    times = [step * number for number in range(len(pictures))]
    before = pictures.copy()
    vector = window_features(times, list(pictures))
    assert vector.shape == (len(FEATURE_NAMES),)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() < 100
    assert (window_features(times, list(pictures)) == vector).all()
    assert (pictures == before).all()


@pytest.mark.parametrize("count", [1, 2, 30])
def test_nothing_moves_in_a_still(count: int) -> None:
    still = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    vector = dict(zip(FEATURE_NAMES, window_features([n / 15 for n in range(count)], [still] * count), strict=True))
    assert vector["contrast"] > 0
    assert all(
        vector[name] == 0 for name in FEATURE_NAMES if name.startswith(("change", "motion", "unrest", "turning"))
    )


def test_a_light_switched_on_is_no_motion() -> None:
    scene = np.random.default_rng(0).integers(0, 100, (64, 64), np.uint8)
    pictures = [scene, scene + np.uint8(100)] * 8
    vector = dict(zip(FEATURE_NAMES, window_features([n / 15 for n in range(16)], pictures), strict=True))
    assert vector["change_top1"] == pytest.approx(0, abs=1e-4)


def test_pictures_on_either_side_of_a_gap_are_not_compared() -> None:
    dark, bright = np.zeros((64, 64), np.uint8), np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert (window_features([0, 1.5], [dark, bright]) == window_features([0], [dark])).mean() > 0.9


@pytest.mark.parametrize("count", [1, 30])
def test_the_bundled_model_finds_stills_harmless(count: int) -> None:
    model = read_model(BUNDLED)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        still = np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)
        assert model.probability(window_features([n / 15 for n in range(count)], [still] * count)) < 0.2


def test_a_model_survives_writing_and_reading(tmp_path: Path) -> None:
    model = read_model(BUNDLED)
    write_model(model, tmp_path / "copy.json")
    assert read_model(tmp_path / "copy.json") == model
    detector = load_detector(tmp_path / "copy.json")
    assert (detector.class_name, detector.version) == ("violence", "violence-floor-1")


@given(arrays(np.float64, len(FEATURE_NAMES), elements=st.floats(-1e6, 1e6)))
def test_any_vector_has_a_probability(vector: np.ndarray) -> None:
    assert 0 <= read_model(BUNDLED).probability(vector) <= 1


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda data: {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: [1, 2], '"format": 1'),
        (lambda data: {**data, "format": 2}, '"format": 1'),
        (_without("class_name"), "class_name"),
        (_without("weights"), "weights"),
        (_without("bias"), "bias"),
        (lambda data: {**data, "weights": data["weights"][:-1]}, "finite numbers"),
        (lambda data: {**data, "means": ["a"] * len(data["means"])}, "finite numbers"),
        (lambda data: {**data, "bias": float("nan")}, "finite number"),
        (lambda data: {**data, "scales": [0.0] * len(data["scales"])}, "above 0"),
        (lambda data: {**data, "features": list(reversed(data["features"]))}, "features"),
        (lambda data: {**data, "version": ""}, "version"),
    ],
)
def test_a_malformed_model_is_refused_with_the_reason(
    change: Callable[[dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(change(json.loads(BUNDLED.read_text()))))
    with pytest.raises(SettingsError, match=says):
        load_detector(path)


def test_no_model_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load_detector(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("weights")
    with pytest.raises(SettingsError, match="not JSON"):
        load_detector(tmp_path / "text.json")
