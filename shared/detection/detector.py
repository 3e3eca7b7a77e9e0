"""The detector: a video goes in as a stream, probabilities over time come out, in memory that doesn't grow.

Which model scores is a file's business: `load_detector` chooses by its ending. Sensitivity, segments and risk are the
domain's business, not this module's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shared.detection.decode import Decoding
from shared.detection.fingerprint import Fingerprinting
from shared.detection.keras_file import read_keras
from shared.detection.litert_file import read_litert
from shared.detection.motion import read_motion_model
from shared.detection.own_model import load_own_model
from shared.detection.scoring import Model
from shared.detection.video import open_video
from shared.errors import MediaUnusable, SettingsError
from shared.ports import DetectionRun, ScoredWindow

READERS: Mapping[str, Callable[[Path], Model]] = {
    ".json": read_motion_model,
    ".tflite": lambda path: load_own_model(path, read_litert),
    ".keras": lambda path: load_own_model(path, read_keras),
}
"""What reads a model file, by its ending."""


class WindowDetector:
    """Implements `shared.ports.Detector` with any model. Safe to share between threads: it holds nothing else."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def class_name(self) -> str:
        """The name of the alarming class."""
        return self._model.class_name

    @property
    def version(self) -> str:
        """Such as `violence-motion-1`."""
        return self._model.version

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        """Scores the video in `stream`, which is read from its beginning and stays open.

        `duration` is the end of the last picture that was decoded, in seconds. Keeps the pictures of about a window,
        the windows' scores and the fingerprint. Raises `MediaUnusable` as `open_video`, `Decoding.pictures` and
        `Scoring.push` do, and what the stream raises.
        """
        scoring = self._model.start()
        fingerprinting = Fingerprinting(self._model.pictures)
        scored: list[ScoredWindow] = []
        with open_video(stream) as video:
            decoding = Decoding(video)
            length = video.declared_seconds
            for seconds, picture in decoding.samples(self._model.pictures, step=step):
                scored.extend(scoring.push(seconds, picture))
                fingerprinting.push(seconds, picture)
                if length:
                    report(min(seconds / length, 1.0))
            with _step_explained(step):
                scored.extend(scoring.finish(decoding.end))
            fingerprint = fingerprinting.finish(decoding.end)
            return DetectionRun(tuple(scored), decoding.end, decoding.truncated, fingerprint)


@contextmanager
def _step_explained(step: int) -> Iterator[None]:
    """Where a `step` left too few pictures, the reason says so."""
    try:
        yield
    except MediaUnusable as error:
        if step == 1 or error.code != "too_few_pictures":
            raise
        raise MediaUnusable(error.code, f"{error.sentence} A step below {step} leaves more of them.") from error


def load_detector(path: Path, *, setting: str = "MODEL_PATH") -> WindowDetector:
    """The detector with the model file at `path`, checked as far as it can be without a video.

    Raises `SettingsError` if that is no usable model; it begins with `setting`, the variable that chose the file.
    """
    reader = READERS.get(path.suffix.lower())
    try:
        if reader is None:
            raise SettingsError(f"The model {path.name} can't be used: it must be a .tflite or a .keras file.")
        return WindowDetector(reader(path))
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error}") from error
