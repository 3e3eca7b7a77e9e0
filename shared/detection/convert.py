"""`python -m shared.detection.convert MODEL.keras --out DIR`: to the `.tflite` file that LiteRT runs.

Writes the model and its sidecar, unchanged, once both models gave the same numbers for the same pictures. For
developers' machines: it needs TensorFlow, and nothing at run time imports it.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np

from shared.detection.keras_file import import_tensorflow, read_keras
from shared.detection.litert_file import LiteRtNetwork
from shared.detection.own_model import OwnModel, load_own_model, sidecar_path
from shared.errors import SettingsError

MAX_DIFFERENCE = 1e-3
"""Between an output of the two for one input, as a part of the largest (or of 1); rounding alone makes some 1e-6."""

_TRIES = 8
_SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the file that was written; returns 2, and writes nothing, if it can't be done."""
    parser = argparse.ArgumentParser(prog="python -m shared.detection.convert", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.keras", help="with its sidecar MODEL.keras.json beside it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        target, difference = convert(options.model, options.out)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the command's output
        return 2
    print(f"{target} (its outputs differ by at most {difference:.1g})")  # noqa: T201  # the command's output
    return 0


def convert(path: Path, folder: Path) -> tuple[Path, float]:
    """(the written `.tflite`, the largest difference seen between the outputs of the two models).

    Raises `SettingsError` for an unusable model or sidecar, and for a model that TensorFlow Lite can't express or
    gets wrong; then nothing is written.
    """
    original = load_own_model(path, read_keras)
    model = read_keras(path).model
    content = _to_tflite(model, path, original.sidecar.row)
    converted = OwnModel(original.sidecar, LiteRtNetwork(content))
    difference = largest_difference(original, converted)
    if difference > MAX_DIFFERENCE:
        raise SettingsError(f"The converted {path.name} differs: by {difference:.2g} in an output.")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.tflite"
    target.write_bytes(content)
    shutil.copyfile(sidecar_path(path), sidecar_path(target))
    return target, difference


def largest_difference(one: OwnModel, other: OwnModel) -> float:
    """Between the outputs of two models of the same sidecar for noise, from dark to bright; see `MAX_DIFFERENCE`.

    Not between probabilities: where they are 0 or 1 for any noise, they would hide what differs.
    """
    sidecar, random = one.sidecar, np.random.default_rng(_SEED)
    shape = (sidecar.frames, sidecar.height, sidecar.width, *(() if sidecar.color == "gray" else (3,)))
    brightest = np.linspace(2, 256, _TRIES).astype(int)
    clips = [list(random.integers(0, limit, shape, np.uint8, endpoint=False)) for limit in brightest]
    expected = one.outputs(clips)
    return float(np.abs(expected - other.outputs(clips)).max() / max(1.0, np.abs(expected).max()))


def _to_tflite(model: Any, path: Path, row: tuple[int, ...]) -> bytes:
    """With a free batch if TensorFlow Lite can express that, else (recurrent layers) with a batch of one."""
    if model.inputs[0].shape[0] is None:
        with suppress(SettingsError):
            return _converted(model, path)
        keras = import_tensorflow(path).keras
        inputs = keras.Input(batch_shape=(1, *row), dtype=model.inputs[0].dtype)
        model = keras.Model(inputs, model(inputs, training=False))
    return _converted(model, path)


def _converted(model: Any, path: Path) -> bytes:
    converter = import_tensorflow(path).lite.TFLiteConverter.from_keras_model(model)
    try:
        with redirect_stdout(io.StringIO()):  # it prints where it kept its intermediate files
            content: bytes = converter.convert()
    except Exception as error:  # errors of its own, and of the compiler beneath it
        raise SettingsError(f"TensorFlow Lite can't express the model {path.name}.") from error
    return content


if __name__ == "__main__":
    sys.exit(main())
