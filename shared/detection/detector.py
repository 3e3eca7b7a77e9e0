"""The detector: a video goes in as a stream, probabilities over time come out, in memory that doesn't grow.

Sensitivity, segments and risk are the domain's business, not this module's.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from shared.detection.decode import Decoding
from shared.detection.features import window_features
from shared.detection.model import LinearModel, read_model
from shared.detection.video import open_video
from shared.detection.windows import Window, Windower
from shared.ports import DetectionRun, ScoredWindow


class WindowDetector:
    """Implements `shared.ports.Detector` with a linear model over windows of 2 s, every 0.5 s.

    Safe to share between threads: it holds nothing but the model.
    """

    def __init__(self, model: LinearModel) -> None:
        self._model = model

    @property
    def class_name(self) -> str:
        """The name of the alarming class."""
        return self._model.class_name

    @property
    def version(self) -> str:
        """Such as `violence-floor-1`."""
        return f"{self._model.name}-{self._model.version}"

    def detect(self, stream: BinaryIO, *, step: int = 1) -> DetectionRun:
        """Scores the video in `stream`, which is read from its beginning and stays open.

        `duration` is the end of the last picture that was decoded, in seconds. Keeps 2.5 s of 64 x 64 pictures, and the
        windows' scores. Raises `MediaUnusable` as `open_video` and `Decoding.pictures` do, and what the stream raises.
        """
        windower = Windower()
        scored: list[ScoredWindow] = []
        with open_video(stream) as video:
            decoding = Decoding(video)
            for seconds, picture in decoding.samples(step=step):
                scored.extend(self._score(window) for window in windower.push(seconds, picture))
            scored.extend(self._score(window) for window in windower.finish(decoding.end))
            return DetectionRun(tuple(scored), decoding.end, decoding.truncated)

    def _score(self, window: Window) -> ScoredWindow:
        vector = window_features(window.times, window.pictures)
        return ScoredWindow(window.start, window.end, self._model.probability(vector))


def load_detector(path: Path) -> WindowDetector:
    """The detector with the model file at `path`. Raises `SettingsError` if that is no usable model."""
    return WindowDetector(read_model(path))
