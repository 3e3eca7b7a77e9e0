"""The bundled model at run time: any pictures have a probability, stillness has a low one, bad files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from shared.detection.detector import load_detector
from shared.detection.litert_file import SignatureNetwork
from shared.detection.motion import MAX_PAIRS, SIDE, MotionModel, PairWindows, corrected, read_motion_model, smoothed
from shared.errors import MediaUnusable, SettingsError
from shared.ports import ScoredWindow
from shared.settings import BUNDLED_MODEL

Pictures = NDArray[np.uint8]


@pytest.fixture(scope="module")
def model() -> MotionModel:
    return read_motion_model(BUNDLED_MODEL)


def scored(model: MotionModel, times: Sequence[float], pictures: Sequence[Pictures]) -> list[ScoredWindow]:
    scoring = model.start()
    found = [window for time, picture in zip(times, pictures, strict=True) for window in scoring.push(time, picture)]
    return [*found, *scoring.finish(times[-1] + 0.04)]


def at(hz: float, count: int) -> list[float]:
    return [number / hz for number in range(count)]


def block_pattern(seed: int) -> Pictures:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))).astype(np.uint8)


@given(arrays(np.uint8, st.tuples(st.integers(2, 50), st.just(SIDE), st.just(SIDE))), st.floats(0.01, 0.2))
@settings(max_examples=30, deadline=None)
def test_any_pictures_at_any_times_have_probabilities(pictures: Pictures, step: float) -> None:
    model, before = read_motion_model(BUNDLED_MODEL), pictures.copy()
    times = [step * number for number in range(len(pictures))]
    first = scored(model, times, list(pictures))
    assert first
    assert all(0 <= window.probability <= 1 for window in first)
    assert [window.start for window in first] == sorted(window.start for window in first)
    assert scored(model, times, list(pictures)) == first
    assert (pictures == before).all()


@pytest.mark.parametrize("count", [2, 30])
def test_stills_are_harmless(model: MotionModel, count: int) -> None:
    for seed in range(5):
        windows = scored(model, at(15, count), [block_pattern(seed)] * count)
        assert all(window.probability < 0.25 for window in windows)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_pictures_too_far_apart_to_tell_motion_never_pass_for_calm(model: MotionModel, count: int) -> None:
    with pytest.raises(MediaUnusable, match="too few to tell") as caught:
        scored(model, at(4, count), [block_pattern(number % 2) for number in range(count)])
    assert caught.value.code == "too_few_pictures"


def test_pictures_on_either_side_of_a_gap_are_not_compared(model: MotionModel) -> None:
    dark, bright = np.zeros((SIDE, SIDE), np.uint8), np.tile(np.array([0, 255], np.uint8), (SIDE, SIDE // 2))
    cutter = PairWindows(model.network)
    assert not [*cutter.push(0.0, dark), *cutter.push(1.5, bright)]
    assert cutter.finish(1.6) == []
    assert not cutter.compared


def test_a_window_in_which_nothing_can_be_compared_is_left_out(model: MotionModel) -> None:
    times = [0.0, 0.06, 0.12, *(1.0 + 0.25 * number for number in range(40))]
    windows = scored(model, times, [block_pattern(number % 2) for number in range(len(times))])
    assert {window.start for window in windows} == {0.0}


def test_a_light_switched_on_is_no_motion(model: MotionModel) -> None:
    scene = np.random.default_rng(0).integers(0, 100, (SIDE, SIDE), np.uint8)
    cutter = PairWindows(model.network)
    for number in range(16):
        cutter.push(number / 15, scene + np.uint8(100 * (number % 2)))
    (window,) = cutter.finish(1.1)
    changes = window.sums[:, :-2].reshape(len(window.sums), 2, 7, 8, 8)[:, :, 0]
    assert changes.max() < 1


def test_a_window_holds_no_more_pairs_than_the_network_takes(model: MotionModel) -> None:
    cutter = PairWindows(model.network)
    windows = [w for time in at(200, 500) for w in cutter.push(time, block_pattern(int(time * 200) % 3))]
    assert windows
    assert max(len(window.sums) for window in windows) == MAX_PAIRS


def test_several_videos_at_once_are_scored_as_one_alone(model: MotionModel) -> None:
    videos = [[block_pattern((seed + number) % 7) for number in range(45)] for seed in range(6)]
    alone = [scored(model, at(15, 45), pictures) for pictures in videos]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda pictures: scored(model, at(15, 45), pictures), videos * 3))
    assert together == alone * 3


def test_a_logit_is_corrected_for_the_rate_it_was_seen_at() -> None:
    rates = [(0.08, 1.0, 0.0), (0.2, 0.5, -1.0)]
    assert corrected(3.0, 0.05, rates) == 3.0
    assert corrected(3.0, 0.14, rates) == pytest.approx(0.75 * 3 - 0.5)
    assert corrected(3.0, 0.21, rates) == pytest.approx(0.5)


class TestSmoothing:
    def test_a_probability_is_that_of_the_mean_logit_of_neighbours(self) -> None:
        assert smoothed([3.0, 0.0, -3.0, 0.0], 3) == pytest.approx(
            [1 / (1 + np.exp(-1.5)), 0.5, 0.26894, 0.18243], abs=1e-4
        )

    @given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.sampled_from([1, 3, 5, 9]))
    def test_every_window_gets_one_between_the_extremes(self, logits: list[float], width: int) -> None:
        probabilities = smoothed(logits, width)
        assert len(probabilities) == len(logits)
        edges = [1 / (1 + np.exp(-np.clip(edge, -30, 30))) for edge in (min(logits), max(logits))]
        assert all(edges[0] - 1e-9 <= probability <= edges[1] + 1e-9 for probability in probabilities)

    def test_it_does_not_reach_across_a_gap(self, model: MotionModel) -> None:
        rng = np.random.default_rng(1)
        noise = [rng.integers(0, 256, (SIDE, SIDE), np.uint8) for _ in range(45)]
        still = [block_pattern(1)] * 45
        alone = scored(model, at(15, 45), still)
        times = [*at(15, 45), *(20 + time for time in at(15, 45))]
        behind = [window for window in scored(model, times, [*noise, *still]) if window.start >= 20]
        assert [window.probability for window in behind] == pytest.approx([w.probability for w in alone][: len(behind)])


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda data: {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: [1, 2], '"format": 1'),
        (lambda data: {**data, "format": 2}, '"format": 1'),
        (_without("class_name"), "class_name must be text"),
        (lambda data: {**data, "version": ""}, "version must be text"),
        (lambda data: {**data, "network": "../elsewhere.tflite"}, "name of a file beside it"),
        (lambda data: {**data, "network": "other.tflite"}, "other.tflite can't be read"),
        (lambda data: {**data, "network": "model.json"}, "no TensorFlow Lite file"),
        (lambda data: {**data, "smoothing": 2}, "odd number"),
        (lambda data: {**data, "rates": []}, "rates must be"),
        (lambda data: {**data, "rates": [[0.1, 1, 0], [0.1, 1, 0]]}, "rates must be"),
        (lambda data: {**data, "rates": [[0.1, 1, None]]}, "rates must be"),
        (lambda data: {**data, "rates": [[0.1, 1]]}, "rates must be"),
        (lambda data: {**data, "smoothing": True}, "odd number"),
    ],
)
def test_a_malformed_model_is_refused_with_the_reason(
    change: Callable[[dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    copy(BUNDLED_MODEL.with_suffix(".tflite"), tmp_path)
    path.write_text(json.dumps(change(json.loads(BUNDLED_MODEL.read_text()))))
    with pytest.raises(SettingsError, match=says):
        load_detector(path)


def test_a_network_without_what_is_asked_of_it_says_so() -> None:
    network = SignatureNetwork(BUNDLED_MODEL.with_suffix(".tflite").read_bytes(), ("compare", "foretell"))
    with pytest.raises(SettingsError, match="lacks the signature foretell"):
        network.run("compare", earlier=block_pattern(0)[None], later=block_pattern(1)[None])


def test_no_model_and_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load_detector(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("weights")
    with pytest.raises(SettingsError, match="not JSON"):
        load_detector(tmp_path / "text.json")


def test_the_bundled_model_says_what_it_is_and_is_small() -> None:
    detector = load_detector(BUNDLED_MODEL)
    assert (detector.class_name, detector.version) == ("violence", "violence-motion-1")
    assert BUNDLED_MODEL.with_suffix(".tflite").stat().st_size < 2_000_000
