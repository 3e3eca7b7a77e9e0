"""A model that notes when the first window that counts is known, and is otherwise the one it is made of."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator

from shared.detection.scoring import Model, Picture, PictureFormat, Scoring
from shared.domain.detections import DEFAULT_SENSITIVITY, threshold
from shared.ports import ScoredWindow


class WatchedModel:
    """Implements `scoring.Model`. `first_at`: a time of `time.perf_counter`, NaN before there was any."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.first_at = math.nan

    @property
    def version(self) -> str:
        """The model's."""
        return self._model.version

    @property
    def class_name(self) -> str:
        """The model's."""
        return self._model.class_name

    @property
    def pictures(self) -> PictureFormat:
        """The model's."""
        return self._model.pictures

    def start(self) -> Scoring:
        """A scoring that is watched."""
        return _WatchedScoring(self, self._model.start())

    def watch(self, windows: Iterable[ScoredWindow]) -> Iterator[ScoredWindow]:
        """Hands the windows on."""
        for window in windows:
            if math.isnan(self.first_at) and window.probability >= threshold(DEFAULT_SENSITIVITY):
                self.first_at = time.perf_counter()
            yield window


class _WatchedScoring:
    def __init__(self, watched: WatchedModel, scoring: Scoring) -> None:
        self._watched = watched
        self._scoring = scoring

    def push(self, seconds: float, picture: Picture) -> Iterable[ScoredWindow]:
        return self._watched.watch(self._scoring.push(seconds, picture))

    def finish(self, end_seconds: float) -> Iterable[ScoredWindow]:
        return self._watched.watch(self._scoring.finish(end_seconds))
