"""A model file that was loaded: numbers in, numbers out, whatever runs it. It must not know what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
"""One row a sample, whatever shape a row has."""

Shape = tuple[int | None, ...]
"""None: any size will do."""


class Network(Protocol):
    """One input, one output. Safe to share between threads."""

    @property
    def input_shape(self) -> Shape:
        """With the batch in front, as the file states it."""
        ...

    @property
    def outputs(self) -> int | None:
        """Numbers in a row of the output; None if only running it tells."""
        ...

    def prepare(self, row: tuple[int, ...]) -> None:
        """Tries it out with rows of this shape (without the batch). Raises `SettingsError` if it can't be run."""
        ...

    def run(self, batch: Values) -> Values:
        """(rows, outputs) for at least one row of the prepared shape. Not changed: `batch`."""
        ...


def run_in_parts(run: Callable[[Values], Values], batch: Values, rows: int) -> Values:
    """`run` on `rows` rows at a time, for a model that takes exactly so many; the last part is filled up with zeros."""
    missing = -len(batch) % rows
    filled = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.float32)])
    parts = [run(filled[at : at + rows]) for at in range(0, len(filled), rows)]
    return np.concatenate(parts)[: len(batch)]
