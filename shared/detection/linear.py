"""The bundled model as the detector sees it: features of 2 s of small gray pictures at 15 Hz, one linear model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.detection.features import window_features
from shared.detection.model import LinearModel, read_model
from shared.detection.scoring import Picture, PictureFormat
from shared.detection.windows import Window, Windower
from shared.ports import ScoredWindow

SAMPLE_HZ = 15
SIDE = 64


@dataclass(frozen=True)
class FeatureModel:
    """Implements `scoring.Model` with windows of 2 s, every 0.5 s."""

    linear: LinearModel

    @property
    def version(self) -> str:
        """Such as `violence-floor-1`."""
        return f"{self.linear.name}-{self.linear.version}"

    @property
    def class_name(self) -> str:
        """The name of the alarming class."""
        return self.linear.class_name

    @property
    def pictures(self) -> PictureFormat:
        """Gray, square, stretched."""
        return PictureFormat(SIDE, SIDE, channels=1, hz=SAMPLE_HZ)

    def start(self) -> FeatureScoring:
        """Begins a video."""
        return FeatureScoring(self.linear)


class FeatureScoring:
    """Implements `scoring.Scoring`. Keeps 2.5 s of pictures."""

    def __init__(self, linear: LinearModel) -> None:
        self._linear = linear
        self._windower: Windower[Picture] = Windower()

    def push(self, seconds: float, picture: Picture) -> Iterable[ScoredWindow]:
        """Scores each window as soon as it is complete."""
        return map(self._score, self._windower.push(seconds, picture))

    def finish(self, end_seconds: float) -> Iterable[ScoredWindow]:
        """The last windows."""
        return map(self._score, self._windower.finish(end_seconds))

    def _score(self, window: Window[Picture]) -> ScoredWindow:
        vector = window_features(window.times, window.values)
        return ScoredWindow(window.start, window.end, self._linear.probability(vector))


def read_feature_model(path: Path) -> FeatureModel:
    """The model in the JSON file at `path`. Raises `SettingsError` as `read_model`."""
    return FeatureModel(read_model(path))
