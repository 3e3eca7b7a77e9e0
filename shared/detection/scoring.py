"""What the detector asks of a model, whatever it is made of: how it wants its pictures, and scores for one video.

Nothing here reads a file or runs a network; every kind of model has a module of its own that implements `Model`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.ports import ScoredWindow

Picture = NDArray[np.uint8]
"""0-255: gray (height, width), or RGB (height, width, 3)."""


@dataclass(frozen=True)
class PictureFormat:
    """`channels`: 1 (gray) or 3 (RGB). `hz`: samples a second at most; slower videos give each frame once.

    `even`: rather fewer samples than unevenly spaced ones, so 12.5 a second of a video with 25, not 15 or 20.
    """

    height: int
    width: int
    channels: int
    hz: float
    even: bool = False


class Scoring(Protocol):
    """The scoring of one video, by one thread at a time. Exhaust what a method returns before the next call."""

    def push(self, seconds: float, picture: Picture) -> Iterable[ScoredWindow]:
        """Takes the next sample and gives the windows that are finished, in order of time; they may come late.

        `seconds` rise strictly. `picture` has the model's format and is not changed. Raises `MediaUnusable` where the
        model gives no probability.
        """
        ...

    def finish(self, end_seconds: float) -> Iterable[ScoredWindow]:
        """The remaining windows of a video that ends at `end_seconds`, not before its last sample. Raises as `push`."""
        ...


class Model(Protocol):
    """A loaded, checked model. Safe to share between threads; each video gets a `Scoring` of its own."""

    @property
    def version(self) -> str:
        """Name and version, such as `violence-motion-1`."""
        ...

    @property
    def class_name(self) -> str:
        """The name of the alarming class."""
        ...

    @property
    def pictures(self) -> PictureFormat:
        """How the samples must come."""
        ...

    def start(self) -> Scoring:
        """Begins a video. Cheap: what takes time was done when the model was loaded, or is kept for the next video."""
        ...
