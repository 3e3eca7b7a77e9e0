"""Runs a `.tflite` file by LiteRT, several videos at once.

An interpreter serves one thread at a time, so there is a pool of them: as many as ever ran at once, each kept for the
next. The library is imported with the first file, so that a process with another kind of model starts without it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.detection.network import Shape, Values, run_in_parts
from shared.errors import SettingsError

_MAX_THREADS = 16
_GREETING = Lock()
# FlatBuffers name their kind at this place.
_FILE_IDENTIFIER = b"TFL3"


T = TypeVar("T")


class _Pool(Generic[T]):
    """What serves one thread at a time, as many as ever ran at once."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: deque[T] = deque()

    @contextmanager
    def one(self) -> Iterator[T]:
        """One for this thread alone. After an error it isn't used again: it may be unusable."""
        try:
            taken = self._idle.pop()
        except IndexError:
            taken = self._make()
        yield taken
        self._idle.append(taken)


class LiteRtNetwork:
    """Implements `network.Network`. `content`: the bytes of a `.tflite` file.

    Raises `SettingsError` for what is no such file, or has more than one input or output.
    """

    def __init__(self, content: bytes) -> None:
        self._pool = _Pool(lambda: _Instance(content))
        with self._pool.one() as first:
            self.input_shape, self.outputs = first.input_shape, first.outputs
        self._rows = self.input_shape[0]

    def prepare(self, row: tuple[int, ...]) -> None:
        """A model whose batch is free on paper may be unable to take two rows; it then gets one at a time."""
        if self._rows is None and not self._takes_two(row):
            self._rows = 1
        try:
            self.run(np.zeros((1, *row), np.float32))
        except (RuntimeError, ValueError) as error:
            raise SettingsError(_why_not(str(error))) from error

    def _takes_two(self, row: tuple[int, ...]) -> bool:
        try:
            return len(self.run(np.zeros((2, *row), np.float32))) == 2
        except (RuntimeError, ValueError):
            return False

    def run(self, batch: Values) -> Values:
        """(rows, outputs), dequantised."""
        with self._pool.one() as instance:
            return instance.run(batch) if self._rows is None else run_in_parts(instance.run, batch, self._rows)


class _Instance:
    """One interpreter, for one thread at a time."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = _interpreter(content, min(os.cpu_count() or 1, _MAX_THREADS))
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if (len(inputs), len(outputs)) != (1, 1):
            raise SettingsError(f"it has {len(inputs)} inputs and {len(outputs)} outputs; one of each can be used")
        self._input, self._output = inputs[0], outputs[0]
        self._shape: tuple[int, ...] | None = None
        self.input_shape: Shape = tuple(None if side < 0 else int(side) for side in self._input["shape_signature"])
        row = [int(side) for side in self._output["shape_signature"][1:]]
        self.outputs = int(np.prod(row)) if min(row, default=1) > 0 else None

    def run(self, batch: Values) -> Values:
        if batch.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], batch.shape)
            self._interpreter.allocate_tensors()
            self._shape = batch.shape
        self._interpreter.set_tensor(self._input["index"], _quantised(batch, self._input))
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return _dequantised(output, self._output).reshape(output.shape[0], -1)


class SignatureNetwork:
    """Runs a `.tflite` file's signatures by name, for several threads at once. One core: its work is small.

    LiteRT is loaded with the first run, not with the file, so that a function starts without waiting for it.
    """

    def __init__(self, content: bytes, signatures: Iterable[str]) -> None:
        """Raises `SettingsError` for what doesn't even begin as such a file."""
        if content[4:8] != _FILE_IDENTIFIER:
            raise SettingsError("it is no TensorFlow Lite file")
        self._content = content
        self._signatures = tuple(signatures)
        self._pool = _Pool(self._runners)

    def run(self, signature: str, /, **inputs: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """The outputs by name, each with as many rows as the inputs have.

        Raises `SettingsError` where the file is damaged or lacks a signature.
        """
        with self._pool.one() as runners:
            outputs: dict[str, NDArray[np.float32]] = runners[signature](**inputs)
            return outputs

    def _runners(self) -> dict[str, Any]:
        interpreter = _interpreter(self._content, 1)
        missing = set(self._signatures) - set(interpreter.get_signature_list())
        if missing:
            raise SettingsError(f"it lacks the signature {', '.join(sorted(missing))}")
        return {name: interpreter.get_signature_runner(name) for name in self._signatures}


def read_signatures(path: Path, signatures: Iterable[str]) -> SignatureNetwork:
    """The `.tflite` file at `path`. Raises `SettingsError` that names it."""
    try:
        return SignatureNetwork(path.read_bytes(), signatures)
    except OSError as error:
        raise SettingsError(f"The network {path.name} can't be read: {error.strerror}.") from error
    except SettingsError as error:
        raise SettingsError(f"The network {path.name} can't be used: {error}.") from error


def _interpreter(content: bytes, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter  # takes 0.25 s

    with _without_greeting():
        try:
            interpreter = Interpreter(model_content=content, num_threads=threads)
        except ValueError as error:
            raise SettingsError("it is no TensorFlow Lite file") from error
        with suppress(RuntimeError, ValueError):  # a file that can't be run is found out when it is run
            interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _without_greeting() -> Iterator[None]:
    """LiteRT greets once a process on the standard error, where every line is to be JSON, and can't be asked not to.

    What anyone writes there meanwhile is held back for these milliseconds, not lost.
    """
    with _GREETING, tempfile.TemporaryFile() as held_back:
        standard_error = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            held_back.seek(0)
            for line in held_back:
                if b"TensorFlow Lite XNNPACK delegate" not in line:
                    os.write(standard_error, line)
            os.close(standard_error)


def read_litert(path: Path) -> LiteRtNetwork:
    """The network in the `.tflite` file at `path`. Raises `SettingsError`."""
    try:
        return LiteRtNetwork(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"it can't be read ({error.strerror})") from error


def _quantised(values: Values, tensor: Mapping[str, Any]) -> NDArray[Any]:
    """As the tensor's type; whole numbers by its own scale and zero point, if it has them."""
    kind = np.dtype(tensor["dtype"])
    if kind.kind not in "iu":
        return values.astype(kind, copy=False)
    scale, zero = tensor["quantization"]
    whole = np.rint(values / scale + zero if scale else values)
    limits = np.iinfo(kind)
    return np.clip(whole, limits.min, limits.max).astype(kind)


def _dequantised(output: NDArray[Any], tensor: Mapping[str, Any]) -> Values:
    scale, zero = tensor["quantization"]
    values = output.astype(np.float32)
    return (values - np.float32(zero)) * np.float32(scale) if scale and output.dtype.kind in "iu" else values


def _why_not(said: str) -> str:
    """LiteRT's complaint as a reason a user can act upon."""
    missing = re.search(r"\((Flex\w+)\)|custom op: (\w+)", said)
    if missing or "Select TensorFlow op" in said:
        name = next(filter(None, missing.groups()), "") if missing else "SELECT_TF_OPS"
        return (
            f"it needs operations of TensorFlow that LiteRT doesn't have ({name}); convert it with "
            "TFLITE_BUILTINS only, or use the .keras file with TensorFlow installed"
        )
    return f"LiteRT can't run it ({said.strip().splitlines()[0] if said.strip() else 'no reason given'})"
