"""Runs a `.keras` file by TensorFlow, where that is installed. The only module at run time that may import it.

TensorFlow takes seconds to import and hundreds of megabytes, so it is imported with the first file. Keras' safe mode
stays on: a file that brings code of its own (a Lambda layer) is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shared.detection.network import Shape, Values, run_in_parts
from shared.errors import SettingsError


class KerasNetwork:
    """Implements `network.Network` with one compiled function, which any number of threads may call.

    `model`: a Sequential or functional Keras model. Raises `SettingsError` unless it has one input and one output.
    """

    def __init__(self, model: Any) -> None:
        inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
        if not inputs or not outputs:
            raise SettingsError("it states no input shape; a Sequential or functional model can be used")
        if (len(inputs), len(outputs)) != (1, 1):
            raise SettingsError(f"it has {len(inputs)} inputs and {len(outputs)} outputs; one of each can be used")
        self.model = model
        self.input_shape: Shape = tuple(inputs[0].shape)
        row = outputs[0].shape[1:]
        self.outputs = None if None in row else int(np.prod(row))
        self._integer = np.dtype(inputs[0].dtype).kind in "iu"
        self._function: Any = None

    def prepare(self, row: tuple[int, ...]) -> None:
        """Compiles it for this shape."""
        self._function = _compiled(self.model, (self.input_shape[0], *row))
        try:
            self.run(np.zeros((1, *row), np.float32))
        except Exception as error:  # whatever TensorFlow raises, the process must not start with such a model
            raise SettingsError(f"TensorFlow can't run it ({type(error).__name__})") from error

    def run(self, batch: Values) -> Values:
        """(rows, outputs)."""
        rows = self.input_shape[0]
        return self._run(batch) if rows is None else run_in_parts(self._run, batch, rows)

    def _run(self, batch: Values) -> Values:
        scores: Values = self._function(np.rint(batch) if self._integer else batch).numpy().astype(np.float32)
        return scores.reshape(scores.shape[0], -1)


def read_keras(path: Path) -> KerasNetwork:
    """The network in the `.keras` file at `path`. Raises `SettingsError`, also where TensorFlow is missing."""
    tensorflow = import_tensorflow(path)
    try:
        model = tensorflow.keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises almost anything for a file it can't load
        raise SettingsError(f"Keras can't load it ({_first_line(error)})") from error
    return KerasNetwork(model)


def import_tensorflow(path: Path) -> Any:
    """The module. Raises `SettingsError` that says what to do instead for the model at `path`."""
    try:
        import tensorflow  # takes seconds, and only a .keras model needs it
    except ImportError as error:
        raise SettingsError(
            "a .keras file needs TensorFlow, which isn't installed here; convert it once on a machine that has it "
            f"(python -m shared.detection.convert {path.name} --out DIR, which uses tf.lite.TFLiteConverter) and use "
            "the .tflite file, or install the locked one (pip install --require-hashes -r requirements.lock)"
        ) from error
    return tensorflow


def _compiled(model: Any, shape: Shape) -> Any:
    """`model` as a `tf.function` of one tensor of `shape`, batch in front, in the state of inference."""
    import tensorflow  # after `import_tensorflow`

    signature = tensorflow.TensorSpec(shape, tensorflow.float32)
    kind = model.inputs[0].dtype

    def infer(batch: Any) -> Any:
        return tensorflow.nest.flatten(model(tensorflow.cast(batch, kind), training=False))[0]

    return tensorflow.function(infer, input_signature=[signature])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
