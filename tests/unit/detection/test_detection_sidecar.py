"""What a sidecar may say, and the sentence for everything that it may not."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.detection.detector import WindowDetector, load_detector
from shared.detection.network import Shape, Values, run_in_parts
from shared.detection.own_model import load_own_model, on_grid
from shared.detection.sidecar import Draft
from shared.detection.windows import Window
from shared.errors import MediaUnusable, SettingsError
from tests.unit.detection.own_models import CLIP, FRAME, FRAMES, HEIGHT, WIDTH, beside, changed
from tests.unit.detection.videos import encode


class Calculation:
    """A network that is one formula of its rows."""

    def __init__(self, shape: Shape, outputs: int | None = 1, level: float | None = None) -> None:
        self.input_shape = shape
        self.outputs = outputs
        self._level = level

    def prepare(self, row: tuple[int, ...]) -> None:
        assert len(row) == len(self.input_shape) - 1

    def run(self, batch: Values) -> Values:
        means = batch.reshape(len(batch), -1).mean(axis=1, keepdims=True)
        row = np.repeat(means, self.outputs or 1, axis=1)
        return row if self._level is None else np.full_like(row, self._level)


FRAME_SHAPE = (None, HEIGHT, WIDTH, 3)
CLIP_SHAPE = (None, FRAMES, HEIGHT, WIDTH, 1)


def refusal(sidecar: Any, folder: Path, shape: Shape = FRAME_SHAPE, outputs: int | None = 1) -> str:
    """What is said about the sidecar of a model with these tensors, without the part that every refusal has."""
    path = beside(folder / "own.tflite", sidecar)
    with pytest.raises(SettingsError) as caught:
        load_own_model(path, lambda _: Calculation(shape, outputs))
    beginning = "The model own.tflite can't be used: own.tflite.json: "
    assert str(caught.value).startswith(beginning)
    return str(caught.value).removeprefix(beginning).removesuffix(".")


def without(sidecar: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in sidecar.items() if key not in names}


@pytest.mark.parametrize(("sidecar", "shape"), [(FRAME, FRAME_SHAPE), (CLIP, CLIP_SHAPE)])
def test_the_examples_of_these_tests_are_right(sidecar: dict[str, Any], shape: Shape, tmp_path: Path) -> None:
    model = load_own_model(beside(tmp_path / "own.tflite", sidecar), lambda _: Calculation(shape))
    assert model.version == f"{sidecar['name']}-3"
    assert model.pictures.hz == sidecar["hz"]


SIDE = "must be a whole number from 1 to 1024"
NAMED = '"0..1", "-1..1", "0..255"'
LAYOUT = 'must be N and then H, W, C in the model\'s order, such as "NHWC" (C may be left out of gray)'
NUMBERS = "must be a list of 3 numbers, one a channel in the order of color"


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"kind": "video"}, 'kind must be "frame" or "clip"'),
        ({"name": " "}, "name must be a text of 1 to 64 characters"),
        ({"version": 3}, "version must be a text of 1 to 64 characters"),
        ({"hz": 0.5}, "hz must be a number from 1 to 60"),
        ({"hz": float("nan")}, "hz must be a number from 1 to 60"),
        ({"hz": True}, "hz must be a number from 1 to 60"),
        ({"input": {"height": 0}}, f"input.height {SIDE}"),
        ({"input": {"width": 2.5}}, f"input.width {SIDE}"),
        ({"input": {"color": "yuv"}}, 'input.color must be "gray", "rgb" or "bgr"'),
        ({"input": {"layout": "NHW"}}, f"input.layout {LAYOUT}"),
        ({"input": {"layout": "HWC"}}, f"input.layout {LAYOUT}"),
        ({"input": {"layout": ["N"]}}, f"input.layout {LAYOUT}"),
        ({"input": {"frames": 8}}, '"input.frames" is no known entry'),
        ({"hop_seconds": 1}, '"hop_seconds" is no known entry'),
        ({"treshold": 1}, '"treshold" is no known entry'),
        (
            {"scaling": "0..2"},
            f"scaling must be {NAMED}, or an object with range or scale and offset, and perhaps mean and std",
        ),
        ({"scaling": {"range": "1"}}, f"scaling.range must be one of {NAMED}"),
        ({"scaling": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, f"scaling.range is missing: it must be one of {NAMED}"),
        ({"scaling": {"scale": 0}}, "scaling.scale must be a number other than 0"),
        ({"scaling": {"scale": 1, "offset": "0"}}, "scaling.offset must be a number"),
        ({"scaling": {"scale": 1, "range": "0..1"}}, '"scaling.range" is no known entry'),
        ({"scaling": {"range": "0..1", "mean": [1, 2], "std": [1, 1, 1]}}, f"scaling.mean {NUMBERS}"),
        ({"scaling": {"range": "0..1", "mean": [1, 2, 3]}}, f"scaling.std is missing: it {NUMBERS}, above 0"),
        (
            {"scaling": {"range": "0..1", "mean": [1, 2, 3], "std": [1, 0, 1]}},
            f"scaling.std {NUMBERS}, above 0",
        ),
        ({"classes": []}, "classes must be a list of different names"),
        ({"classes": ["bright", "bright"]}, "classes must be a list of different names"),
        ({"alarm": "dark"}, "alarm must be one of classes"),
        ({"output": "scores"}, 'output must be "probabilities" or "logits"'),
    ],
)
def test_each_wrong_entry_has_its_sentence(entries: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert refusal(changed(FRAME, **entries), tmp_path) == says


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"input": {"frames": 1}}, "input.frames must be a whole number from 2 to 512"),
        (
            {"input": {"layout": "NHWC"}},
            'input.layout must be N and then T, H, W, C in the model\'s order, such as "NTHWC" (C may be left out of '
            "gray)",
        ),
        (
            {"hop_seconds": 1.5},
            "hop_seconds must be a number of seconds from 0.05 to the clip's length (frames / hz = 1)",
        ),
        (
            {"input": {"frames": 512, "height": 1024, "width": 1024, "layout": "NTHWC"}},
            f"input holds more than 32 million values; input says N x 512 x 1024 x 1024 x 1 (NTHWC), but the model's "
            f"own input is N x {FRAMES} x {HEIGHT} x {WIDTH} x 1",
        ),
    ],
)
def test_each_wrong_entry_of_a_clip_model_has_its_sentence(entries: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert refusal(changed(CLIP, **entries), tmp_path, CLIP_SHAPE) == says


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    said = refusal({}, tmp_path)
    for name in ("kind", "hz", "input.height", "input.width", "input.color", "input.layout", "scaling", "name"):
        assert f"{name} is missing: it must be " in said
    for name in ("version", "classes", "alarm", "output"):
        assert f"{name} is missing: it must be " in said


def test_a_missing_entry_of_a_clip_is_named(tmp_path: Path) -> None:
    clip = {**CLIP, "input": without(CLIP["input"], "frames")}
    assert refusal(clip, tmp_path, CLIP_SHAPE) == ("input.frames is missing: it must be a whole number from 2 to 512")


def test_a_hop_is_optional_and_never_longer_than_a_clip(tmp_path: Path) -> None:
    for hz, expected in ((8, 0.5), (32, 0.25)):
        path = beside(tmp_path / "own.tflite", {**without(CLIP, "hop_seconds"), "hz": hz})
        assert load_own_model(path, lambda _: Calculation(CLIP_SHAPE)).sidecar.hop_seconds == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, 'it is missing; "Your own model" in README.md shows one'),
        (b"kind: frame", "The data is not JSON"),
        (b"[]", "The data is not a JSON object"),
        (b'{"input": 1}', "input must be an object"),
    ],
)
def test_no_sidecar_is_no_sidecar(content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "own.tflite.json").write_bytes(content)
    assert says in Draft(tmp_path / "own.tflite.json").problems


def test_the_tensors_and_the_sidecar_must_agree(tmp_path: Path) -> None:
    assert refusal(FRAME, tmp_path, (None, 96, None, 3), outputs=4) == (
        f"input says N x {HEIGHT} x {WIDTH} x 3 (NHWC), but the model's own input is N x 96 x any x 3; "
        "classes has 1 names, but the model has 4 outputs"
    )
    assert refusal(FRAME, tmp_path, (None, HEIGHT, WIDTH)).startswith("input says")


@pytest.mark.parametrize("shape", [(None, None, None, 3), (1, HEIGHT, WIDTH, None), (7, HEIGHT, WIDTH, 3)])
def test_free_sizes_and_any_batch_agree(shape: Shape, tmp_path: Path) -> None:
    assert load_own_model(beside(tmp_path / "own.tflite", FRAME), lambda _: Calculation(shape)).batch > 1


def problem(tmp_path: Path, sidecar: dict[str, Any], network: Calculation) -> str:
    with pytest.raises(SettingsError) as caught:
        load_own_model(beside(tmp_path / "own.tflite", sidecar), lambda _: network)
    return str(caught.value)


def test_what_only_a_run_tells_is_found_by_a_run_at_the_start(tmp_path: Path) -> None:
    class Growing(Calculation):
        def run(self, batch: Values) -> Values:
            return np.zeros((len(batch), 3), np.float32)

    assert "classes has 1 names, but the model has 3 outputs" in problem(tmp_path, FRAME, Growing(FRAME_SHAPE, None))
    wild = Calculation(FRAME_SHAPE, level=float("nan"))
    assert "gives no finite number for a black or a white picture" in problem(tmp_path, FRAME, wild)


def test_a_model_that_gives_no_number_fails_the_video_and_not_the_process(tmp_path: Path) -> None:
    network = Calculation(FRAME_SHAPE)
    detector = WindowDetector(load_own_model(beside(tmp_path / "own.tflite", FRAME), lambda _: network))
    network._level = float("inf")
    with pytest.raises(MediaUnusable) as caught:
        detector.detect(io.BytesIO(encode(seconds=0.5)))
    assert caught.value.code == "not_scored"


def test_a_file_of_another_kind_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "best.h5").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"^MODEL_PATH: The model best.h5 can't be used: it must be a .tflite or"):
        load_detector(tmp_path / "best.h5")


@given(st.integers(1, 9), st.integers(1, 5))
def test_a_fixed_batch_is_filled_up_and_the_rest_thrown_away(count: int, rows: int) -> None:
    def run(part: Values) -> Values:
        assert len(part) == rows
        return part * 2

    batch = np.arange(count, dtype=np.float32)[:, None]
    assert (run_in_parts(run, batch, rows) == batch * 2).all()


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ([0, 0.12, 0.2, 0.32], [0, 0.12, 0.2, 0.32]),  # 25 fps sampled at 10 Hz: a little after each tick
        ([0, 0.2], [0, 0, 0.2, 0.2]),  # a slow video gives each picture twice
        ([0.3], [0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_a_clip_shows_the_nearest_sample_at_each_tick(times: list[float], shown: list[float]) -> None:
    pictures = tuple(np.full((1, 1), number, np.uint8) for number in range(len(times)))
    grid = on_grid(Window(0.0, 0.4, tuple(times), pictures), 4, 10)
    assert [times[int(picture[0, 0])] for picture in grid] == shown


def test_neither_tensorflow_nor_litert_is_loaded_before_a_video_needs_it() -> None:
    program = (
        "import sys, shared.detection.detector as d, shared.settings as s; d.load_detector(s.BUNDLED_MODEL);"
        "print([name for name in ('tensorflow', 'keras', 'ai_edge_litert', 'shared.detection.convert')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_readme_is_complete_and_right(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Your own model")[1]
    example = json.loads(section.split("```json\n")[1].split("```")[0])
    path = beside(tmp_path / "own.tflite", example)
    shape = (None, *Draft(tmp_path / "own.tflite.json").sidecar.row)  # type: ignore[union-attr]
    model = load_own_model(path, lambda _: Calculation(shape, len(example["classes"]), level=0.5))
    assert model.class_name == example["alarm"]
