"""Small models whose right answer is known, made by Keras: how bright a picture is, how much brighter a clip gets.

TensorFlow takes seconds to import, so only the functions do it, and the tests that call them share one process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.detection.videos import Paint, Picture

HEIGHT, WIDTH, FRAMES = 24, 32, 8

FRAME: dict[str, Any] = {
    "kind": "frame",
    "name": "brightness",
    "version": "3",
    "input": {"height": HEIGHT, "width": WIDTH, "layout": "NHWC", "color": "rgb"},
    "scaling": "0..1",
    "hz": 5,
    "classes": ["bright"],
    "alarm": "bright",
    "output": "probabilities",
}
CLIP: dict[str, Any] = {
    **FRAME,
    "kind": "clip",
    "name": "dawn",
    "input": {"frames": FRAMES, "height": HEIGHT, "width": WIDTH, "layout": "NTHWC", "color": "gray"},
    "hz": 8,
    "hop_seconds": 0.25,
    "classes": ["dawn"],
    "alarm": "dawn",
}


def changed(sidecar: dict[str, Any], **entries: Any) -> dict[str, Any]:
    """A copy with other entries; those of `input` are merged into it."""
    copy = {**sidecar, **entries}
    if isinstance(entries.get("input"), dict):
        copy["input"] = {**sidecar["input"], **entries["input"]}
    return copy


def beside(path: Path, sidecar: dict[str, Any]) -> Path:
    """Writes the sidecar of the model at `path`, which is returned."""
    path.with_name(path.name + ".json").write_text(json.dumps(sidecar))
    return path


def lit(*levels: tuple[float, int]) -> Paint:
    """A video at 25 fps that shows gray `level` (0-255) from each second on."""

    def paint(number: int, width: int, height: int) -> Picture:
        level = next(level for second, level in reversed(levels) if number >= second * 25 - 1e-6)
        return np.full((height, width, 3), level, np.uint8)

    return paint


def frame_model(
    *, classes: int = 1, gain: float = 1.0, bias: float = 0.0, channels: tuple[float, ...] = (1, 1, 1), **how: Any
) -> Any:
    """(N, HEIGHT, WIDTH, 3) to (N, classes): 0 but in the last class, gain * brightness + bias there.

    `how`: `first` puts the channels before the pixels, `batch` fixes the number of rows.
    """
    import keras

    first = how.get("first", False)
    shape = (3, HEIGHT, WIDTH) if first else (HEIGHT, WIDTH, 3)
    inputs = keras.Input(shape, batch_size=how.get("batch"))
    order = "channels_first" if first else "channels_last"
    pooled = keras.layers.GlobalAveragePooling2D(data_format=order)(inputs)
    dense = keras.layers.Dense(classes)
    outputs = dense(pooled)
    weights, biases = np.zeros((3, classes)), np.zeros(classes)
    weights[:, -1], biases[-1] = gain * np.array(channels) / sum(channels), bias
    dense.set_weights([weights, biases])
    return keras.Model(inputs, outputs)


def clip_model() -> Any:
    """(N, FRAMES, HEIGHT, WIDTH, 1) to (N, 1): how much brighter the last picture is than the first, or 0."""
    import keras

    inputs = keras.Input((FRAMES, HEIGHT, WIDTH, 1))
    pictures = keras.layers.Reshape((FRAMES, HEIGHT, WIDTH))(inputs)
    means = keras.layers.GlobalAveragePooling2D(data_format="channels_first")(pictures)
    dense = keras.layers.Dense(1, use_bias=False, activation="relu")
    outputs = dense(means)
    weights = np.zeros((FRAMES, 1))
    weights[0], weights[-1] = -1, 1
    dense.set_weights([weights])
    return keras.Model(inputs, outputs)


def recurrent_model() -> Any:
    """A clip model that TensorFlow Lite can only express for one clip at a time."""
    import keras

    keras.utils.set_random_seed(1)
    inputs = keras.Input((FRAMES, HEIGHT, WIDTH, 1))
    pooled = keras.layers.TimeDistributed(keras.layers.GlobalAveragePooling2D())(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.LSTM(4)(pooled)))


def to_tflite(model: Any, *, quantised: str = "", flex: bool = False) -> bytes:
    """The bytes of a `.tflite` file; `quantised`: to "uint8" or "int8", inputs and outputs too."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [np.full((1, *model.inputs[0].shape[1:]), level, np.float32)] for level in np.linspace(0, 1, 50)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, quantised)
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    content: bytes = converter.convert()
    return content
