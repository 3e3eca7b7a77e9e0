"""Users' own models, run for real: the right probability at the right time, whatever the file and however it is fed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.detection import convert
from shared.detection.detector import WindowDetector, load_detector
from shared.errors import SettingsError
from shared.ports import DetectionRun
from tests.unit.detection.own_models import (
    CLIP,
    FRAME,
    HEIGHT,
    WIDTH,
    beside,
    changed,
    clip_model,
    frame_model,
    lit,
    recurrent_model,
    to_tflite,
)
from tests.unit.detection.videos import Paint, encode, turned

# Importing TensorFlow takes seconds: one process does it for all of these.
pytestmark = pytest.mark.xdist_group("tensorflow")

DUSK_TO_DAY = lit((0, 51), (2, 204))
"""Two seconds at a brightness of 0.2, then at 0.8."""


class Shelf:
    """Model files, each made once: in a folder of its own, so that each user of it may lay a sidecar beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, bytes] = {}

    def tflite(self, name: str, make: Callable[[], bytes], sidecar: dict[str, Any]) -> Path:
        if name not in self._made:
            self._made[name] = make()
        path = self._folder / f"{len(list(self._folder.iterdir()))}" / "model.tflite"
        path.parent.mkdir()
        path.write_bytes(self._made[name])
        return beside(path, sidecar)

    def keras(self, model: Any, sidecar: dict[str, Any]) -> Path:
        path = self._folder / f"{len(list(self._folder.iterdir()))}" / "model.keras"
        path.parent.mkdir()
        model.save(path)
        return beside(path, sidecar)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def brightness(shelf: Shelf) -> WindowDetector:
    return load_detector(shelf.tflite("frame", lambda: to_tflite(frame_model()), FRAME))


@pytest.fixture(scope="module")
def dawn(shelf: Shelf) -> WindowDetector:
    return load_detector(shelf.tflite("clip", lambda: to_tflite(clip_model()), CLIP))


@pytest.fixture(scope="module")
def video() -> bytes:
    return encode(seconds=4, paint=DUSK_TO_DAY)


def detected(detector: WindowDetector, video: bytes) -> DetectionRun:
    return detector.detect(io.BytesIO(video))


def scores(run: DetectionRun) -> list[float]:
    return [window.probability for window in run.windows]


def spans(run: DetectionRun) -> list[tuple[float, float]]:
    return [(window.start, window.end) for window in run.windows]


# --------------------------------------------------------------------------- frame classifiers


def test_frames_are_averaged_over_a_second_every_half_second(brightness: WindowDetector, video: bytes) -> None:
    run = detected(brightness, video)
    assert spans(run) == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5), (2, 3), (2.5, 3.5), (3, 4)]
    assert scores(run) == pytest.approx([0.2, 0.2, 0.2, 0.5, 0.8, 0.8, 0.8], abs=0.13)
    assert scores(run)[0] == pytest.approx(0.2, abs=0.02)
    assert scores(run)[-1] == pytest.approx(0.8, abs=0.02)
    assert (brightness.class_name, brightness.version) == ("bright", "brightness-3")


LOGITS: dict[str, Any] = {"gain": 12, "bias": -6}
"""Unsure at a brightness of 0.5."""

FORMS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "uint8": ({}, {"quantised": "uint8"}, {}),
    "int8": ({}, {"quantised": "int8"}, {}),
    "channels first": ({"first": True}, {}, {"input": {"layout": "NCHW"}}),
    "four at a time": ({"batch": 4}, {}, {}),
    "-1 to 1": ({"gain": 0.5, "bias": 0.5}, {}, {"scaling": "-1..1"}),
    "0 to 255": ({"gain": 1 / 255}, {}, {"scaling": "0..255"}),
    "scale and offset": ({"gain": 0.25, "bias": 0.25}, {}, {"scaling": {"scale": 4 / 255, "offset": -1}}),
    "mean and deviation": (
        {"gain": 0.25, "bias": 0.5},
        {},
        {"scaling": {"range": "0..1", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}},
    ),
    "two classes, one output": ({}, {}, {"classes": ["dark", "bright"]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_model_gives_the_same(
    form: str, shelf: Shelf, brightness: WindowDetector, video: bytes
) -> None:
    model, file, sidecar = FORMS[form]
    path = shelf.tflite(form, lambda: to_tflite(frame_model(**model), **file), changed(FRAME, **sidecar))
    expected = scores(detected(brightness, video))
    assert scores(detected(load_detector(path), video)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("classes", [["bright"], ["dark", "bright"], ["calm", "dark", "bright"]])
def test_logits_become_probabilities(classes: list[str], shelf: Shelf, video: bytes) -> None:
    count = len(classes)
    path = shelf.tflite(
        f"logits{count}",
        lambda: to_tflite(frame_model(classes=count, **LOGITS)),
        changed(FRAME, output="logits", classes=classes),
    )
    others = max(count - 1, 1)
    expected = [1 / (1 + others * np.exp(-12 * (level - 0.5))) for level in (0.2, 0.8)]
    got = scores(detected(load_detector(path), video))
    assert [got[0], got[-1]] == pytest.approx(expected, abs=0.03)


def test_the_first_class_may_be_the_one_that_alarms(shelf: Shelf, video: bytes) -> None:
    path = shelf.tflite(
        "frame", lambda: to_tflite(frame_model()), changed(FRAME, classes=["class_0", "class_1"], alarm="class_0")
    )
    detector = load_detector(path)
    assert detector.class_name == "class_0"
    assert scores(detected(detector, video))[0] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("color", "expected"), [("rgb", 1.0), ("bgr", 0.0)])
def test_colours_come_in_the_stated_order(color: str, expected: float, shelf: Shelf) -> None:
    red = np.zeros((120, 160, 3), np.uint8)
    red[..., 0] = 255
    path = shelf.tflite(
        "red", lambda: to_tflite(frame_model(channels=(1, 0, 0))), changed(FRAME, input={"color": color})
    )
    run = detected(load_detector(path), encode(seconds=1, paint=lambda *_: red))
    assert scores(run) == pytest.approx([expected], abs=0.05)


# --------------------------------------------------------------------------- clip models


def test_clips_are_scored_at_the_hop_of_the_sidecar(dawn: WindowDetector, video: bytes) -> None:
    run = detected(dawn, video)
    assert spans(run) == [(0.25 * n, 0.25 * n + 1) for n in range(13)]
    # From 1.25 (the first picture of day is its last) to 1.75 (its first picture is still of dusk).
    assert scores(run) == pytest.approx([0.6 if 1.25 <= start <= 1.75 else 0 for start, _ in spans(run)], abs=0.03)
    assert (dawn.class_name, dawn.version) == ("dawn", "dawn-3")


def test_a_video_shorter_than_a_clip_repeats_its_last_picture(dawn: WindowDetector) -> None:
    run = detected(dawn, encode(seconds=0.4, paint=lit((0, 51), (0.2, 204))))
    assert spans(run) == [pytest.approx((0, 0.4))]
    assert scores(run) == pytest.approx([0.6], abs=0.05)


def test_windows_of_a_missing_stretch_are_left_out_and_its_edges_are_no_change(dawn: WindowDetector) -> None:
    times = [*range(0, 2000, 40), *range(10_000, 12_000, 40)]
    paint: Paint = lambda number, w, h: np.full((h, w, 3), 51 if number < 50 else 204, np.uint8)  # noqa: E731
    run = detected(dawn, encode(times_ms=times, container="matroska", paint=paint))
    assert [start for start, _ in spans(run)] == [0.25 * n for n in [*range(8), *range(37, 45)]]
    assert max(scores(run)) < 0.02


@pytest.mark.parametrize("layout", ["NTHW", "NHWT", "NTHWC"])
def test_gray_clips_may_do_without_channels(layout: str, shelf: Shelf, video: bytes, dawn: WindowDetector) -> None:
    import keras

    axes = {"T": 8, "H": HEIGHT, "W": WIDTH, "C": 1}
    order = [1 + layout[1:].index(axis) for axis in "THW"]
    inputs = keras.Input(tuple(axes[axis] for axis in layout[1:]))
    squeezed = inputs if "C" not in layout else keras.layers.Reshape((8, HEIGHT, WIDTH))(inputs)
    arranged = keras.layers.Reshape((8, HEIGHT, WIDTH, 1))(keras.layers.Permute(order)(squeezed))
    model = keras.Model(inputs, clip_model()(arranged))
    path = shelf.tflite(layout, lambda: to_tflite(model), changed(CLIP, input={"layout": layout}))
    expected = scores(detected(dawn, video))
    assert scores(detected(load_detector(path), video)) == pytest.approx(expected, abs=1e-4)


# --------------------------------------------------------------------------- videos of every kind


@pytest.mark.parametrize("fps", [5, 120])
def test_any_frame_rate(fps: int, brightness: WindowDetector, dawn: WindowDetector) -> None:
    film = encode(seconds=4, fps=fps, paint=lambda number, w, h: DUSK_TO_DAY(number * 25 // fps, w, h))
    assert [scores(detected(brightness, film))[n] for n in (0, -1)] == pytest.approx([0.2, 0.8], abs=0.02)
    run = detected(dawn, film)
    assert len(run.windows) == 13
    assert max(scores(run)) == pytest.approx(0.6, abs=0.03)


def test_pictures_are_turned_as_displayed(shelf: Shelf) -> None:
    """A model that looks at the upper half only: what was the left half lies there after the turn."""
    import keras

    inputs = keras.Input((HEIGHT, WIDTH, 3))
    upper = keras.layers.Cropping2D(((0, HEIGHT // 2), (0, 0)))(inputs)
    model = keras.Model(inputs, frame_model_of(upper))
    path = shelf.tflite("upper", lambda: to_tflite(model), FRAME)
    half = np.zeros((120, 160, 3), np.uint8)
    half[:, :80] = 255
    film = encode(seconds=1, paint=lambda *_: half)
    upright, turned_run = (detected(load_detector(path), one) for one in (film, turned(film)))
    assert scores(upright) == pytest.approx([0.5], abs=0.03)
    assert scores(turned_run) == pytest.approx([1.0], abs=0.03)


def frame_model_of(pictures: Any) -> Any:
    import keras

    dense = keras.layers.Dense(1)
    outputs = dense(keras.layers.GlobalAveragePooling2D()(pictures))
    dense.set_weights([np.full((3, 1), 1 / 3), np.zeros(1)])
    return outputs


def test_a_step_looks_at_fewer_frames(brightness: WindowDetector, video: bytes) -> None:
    run = brightness.detect(io.BytesIO(video), step=10)
    assert spans(run) == spans(detected(brightness, video))
    assert [scores(run)[n] for n in (0, -1)] == pytest.approx([0.2, 0.8], abs=0.02)


def test_threads_at_once_give_what_one_gives(brightness: WindowDetector, dawn: WindowDetector) -> None:
    films = [encode(seconds=3, paint=lit((0, level), (1, 255 - level))) for level in (20, 90, 160, 230)]
    for detector in (brightness, dawn):
        alone = [detected(detector, film) for film in films]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda film, detector=detector: detected(detector, film), films * 4))
        assert together == alone * 4


# --------------------------------------------------------------------------- .keras, and its conversion


@pytest.mark.parametrize("kind", ["frame", "clip", "four at a time", "recurrent"])
def test_a_keras_file_and_its_conversion_agree(
    kind: str, shelf: Shelf, video: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models: dict[str, Callable[[], Any]] = {
        "frame": frame_model,
        "clip": clip_model,
        "four at a time": lambda: frame_model(batch=4),
        "recurrent": recurrent_model,
    }
    original = shelf.keras(models[kind](), FRAME if kind in {"frame", "four at a time"} else CLIP)
    assert convert.main([str(original), "--out", str(tmp_path / "out")]) == 0
    converted = tmp_path / "out" / "model.tflite"
    assert capsys.readouterr().out.startswith(f"{converted} (its outputs differ by at most ")
    one, other = (detected(load_detector(path), video) for path in (original, converted))
    assert spans(one) == spans(other)
    assert scores(one) == pytest.approx(scores(other), abs=1e-5)


def test_nothing_is_converted_without_a_sidecar(
    shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shelf.keras(frame_model(), FRAME)
    path.with_name("model.keras.json").unlink()
    assert convert.main([str(path), "--out", str(tmp_path / "out")]) == 2
    assert "model.keras.json: it is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_conversion_that_gets_it_wrong_is_refused(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = to_tflite(frame_model(gain=0.9))
    monkeypatch.setattr(convert, "_to_tflite", lambda *_: wrong)
    assert convert.main([str(shelf.keras(frame_model(), FRAME)), "--out", str(tmp_path)]) == 2
    assert "The converted model.keras differs: by 0.0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------- what can't be used


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_detector(path)
    return str(caught.value)


def test_without_tensorflow_a_keras_file_says_what_to_do(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shelf.keras(frame_model(), FRAME)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert refusal(path) == (
        "MODEL_PATH: The model model.keras can't be used: a .keras file needs TensorFlow, which isn't installed here; "
        "convert it once on a machine that has it (python -m shared.detection.convert model.keras --out DIR, which "
        "uses tf.lite.TFLiteConverter) and use the .tflite file, or install the locked one (pip install "
        "--require-hashes -r requirements.lock)."
    )


def test_operations_that_litert_does_not_have_are_named(shelf: Shelf) -> None:
    path = shelf.tflite("flex", lambda: to_tflite(recurrent_model(), flex=True), CLIP)
    said = refusal(path)
    assert "it needs operations of TensorFlow that LiteRT doesn't have (FlexTensorListReserve)" in said
    assert "TFLITE_BUILTINS only" in said


@pytest.mark.parametrize("suffix", ["tflite", "keras"])
def test_no_model_is_no_model(suffix: str, tmp_path: Path) -> None:
    path = beside(tmp_path / f"model.{suffix}", FRAME)
    path.write_bytes(b"these are no weights" * 9)
    reason = {"tflite": "it is no TensorFlow Lite file", "keras": "Keras can't load it ("}[suffix]
    assert refusal(path).startswith(f"MODEL_PATH: The model model.{suffix} can't be used: {reason}")


def test_code_in_a_model_is_never_run(shelf: Shelf) -> None:
    import keras

    inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = keras.Model(inputs, frame_model_of(keras.layers.Lambda(lambda pictures: pictures * 1)(inputs)))
    assert "Keras can't load it (" in refusal(shelf.keras(model, FRAME))


@pytest.mark.parametrize("make", ["tflite", "keras"])
def test_more_than_one_output_is_refused(make: str, shelf: Shelf) -> None:
    import keras

    inputs = keras.Input((HEIGHT, WIDTH, 3))
    model = keras.Model(inputs, [frame_model_of(inputs), frame_model_of(inputs)])
    path = (
        shelf.keras(model, FRAME) if make == "keras" else shelf.tflite("two outputs", lambda: to_tflite(model), FRAME)
    )
    assert "it has 1 inputs and 2 outputs; one of each can be used" in refusal(path)


def test_the_file_and_its_sidecar_are_judged_together(shelf: Shelf) -> None:
    sidecar = changed(FRAME, input={"layout": "NCHW"}, classes=["a", "b", "c"], alarm="d", hz=0)
    assert refusal(shelf.tflite("frame", lambda: to_tflite(frame_model()), sidecar)) == (
        "MODEL_PATH: The model model.tflite can't be used: model.tflite.json: hz must be a number from 1 to 60; alarm "
        f"must be one of classes; input says N x 3 x {HEIGHT} x {WIDTH} (NCHW), but the model's own input is "
        f"N x {HEIGHT} x {WIDTH} x 3; classes has 3 names, but the model has 1 outputs."
    )


def test_what_cannot_be_a_probability_is_noticed_at_the_start(shelf: Shelf) -> None:
    path = shelf.tflite("logits1", lambda: to_tflite(frame_model(classes=1, **LOGITS)), FRAME)
    assert 'output says "probabilities", but the model gives -6, as logits would' in refusal(path)


def test_a_sidecar_taken_for_the_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite.json"
    path.write_text(json.dumps(FRAME))
    assert refusal(path).startswith("MODEL_PATH: The model model.tflite.json can't be used: ")
