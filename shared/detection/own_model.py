"""A user's own model as the detector sees it: pictures in, the alarming class's probability over time out.

The network comes from `litert_file` or `keras_file`, what its numbers mean from the `sidecar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.detection.network import Network, Values
from shared.detection.scoring import Picture, PictureFormat, Scoring
from shared.detection.sidecar import CHANNELS, Draft, Sidecar
from shared.detection.windows import Window, Windower
from shared.errors import MediaUnusable, SettingsError
from shared.ports import ScoredWindow

FRAME_WINDOW_SECONDS = 1.0
FRAME_HOP_SECONDS = 0.5
"""A frame classifier's windows. The mean over a second lets no single frame raise an alarm; being longer than the half
second under which a segment is dropped (SPEC §3), one window is enough to be reported; and as windows overlap, those
that count one after another make one segment."""

# What one call of the network gets at most: enough to keep the cores busy, little beside the decoder.
_BATCH_BYTES = 8 << 20
_MAX_BATCH = 32
# A model that says "probabilities" may round a little over 1.
_ROUNDING = 1e-3

Probabilities = NDArray[np.float64]


class OwnModel:
    """Implements `scoring.Model`. Raises `SettingsError` if the network can't do what the sidecar says."""

    def __init__(self, sidecar: Sidecar, network: Network) -> None:
        self.sidecar = sidecar
        self._network = network
        self.batch = max(1, min(_MAX_BATCH, _BATCH_BYTES // (4 * int(np.prod(sidecar.row)))))
        network.prepare(sidecar.row)
        self._try()

    @property
    def version(self) -> str:
        """The sidecar's name and version."""
        return f"{self.sidecar.name}-{self.sidecar.version}"

    @property
    def class_name(self) -> str:
        """The name of the alarming class."""
        return self.sidecar.alarm

    @property
    def pictures(self) -> PictureFormat:
        """As the model was trained with."""
        sidecar = self.sidecar
        return PictureFormat(sidecar.height, sidecar.width, CHANNELS[sidecar.color], sidecar.hz)

    def start(self) -> Scoring:
        """Begins a video."""
        return _FrameScoring(self) if self.sidecar.kind == "frame" else _ClipScoring(self)

    def probabilities(self, clips: Sequence[Sequence[Picture]]) -> list[float]:
        """That each clip (of one picture for a frame classifier) shows the alarming class.

        Raises `MediaUnusable` (`not_scored`) where the network gives no number.
        """
        scores = alarming(self.outputs(clips), self.sidecar)
        if not np.isfinite(scores).all():
            raise MediaUnusable("not_scored", "The model gives no probability for a part of the video.")
        return [float(score) for score in np.clip(scores, 0, 1)]

    def outputs(self, clips: Sequence[Sequence[Picture]]) -> Values:
        """(clips, outputs): the network's own numbers for at least one clip."""
        return self._network.run(to_rows(clips, self.sidecar))

    def _try(self) -> None:
        """Scores a black and a white clip, which any model must survive."""
        sidecar = self.sidecar
        pictures = [np.full((sidecar.height, sidecar.width, 3), level, np.uint8) for level in (0, 255)]
        if sidecar.color == "gray":
            pictures = [picture[..., 0] for picture in pictures]
        outputs = self.outputs([[picture] * sidecar.frames for picture in pictures])
        if outputs.shape[1] not in {len(sidecar.classes), 1} or (outputs.shape[1] == 1 and len(sidecar.classes) > 2):
            raise SettingsError(
                f"classes has {len(sidecar.classes)} names, but the model has {outputs.shape[1]} outputs"
            )
        if not np.isfinite(outputs).all():
            raise SettingsError("the model gives no finite number for a black or a white picture")
        if sidecar.output == "probabilities" and not _are_probabilities(outputs):
            raise SettingsError(
                f'output says "probabilities", but the model gives {_furthest(outputs):.3g}, as logits would'
            )


def load_own_model(path: Path, read: Callable[[Path], Network]) -> OwnModel:
    """The model at `path` with its sidecar. Raises `SettingsError` that names everything that is wrong with the two."""
    beside = sidecar_path(path)
    draft = Draft(beside)
    problems = []
    try:
        network = read(path)
        draft.compare(network.input_shape, network.outputs)
        if draft.sidecar is not None:
            return OwnModel(draft.sidecar, network)
    except SettingsError as error:
        problems.append(str(error))
    if draft.problems:
        problems.append(f"{beside.name}: " + "; ".join(draft.problems))
    raise SettingsError(f"The model {path.name} can't be used: " + "; ".join(problems) + ".")


def sidecar_path(model: Path) -> Path:
    """Where a model's sidecar lies."""
    return model.with_name(f"{model.name}.json")


def to_rows(clips: Sequence[Sequence[Picture]], sidecar: Sidecar) -> Values:
    """A batch in the layout, colours and scale that the model wants."""
    stack = np.stack([np.stack(clip) for clip in clips])
    stack = stack[..., None] if sidecar.color == "gray" else stack
    stack = stack[..., ::-1] if sidecar.color == "bgr" else stack
    values = stack * np.asarray(sidecar.factors, np.float32) + np.asarray(sidecar.summands, np.float32)
    axes = sidecar.layout + "".join(axis for axis in "TC" if axis not in sidecar.layout)
    ordered = values.transpose(["NTHWC".index(axis) for axis in axes])
    return np.ascontiguousarray(ordered.reshape(len(clips), *sidecar.row), np.float32)


def alarming(outputs: Values, sidecar: Sidecar) -> Probabilities:
    """(rows,) from (rows, outputs). A single output is the only class's, or the second one's of two."""
    values = outputs.astype(np.float64)
    if outputs.shape[1] == 1:
        positive = values[:, 0] if sidecar.output == "probabilities" else _sigmoid(values[:, 0])
        return positive if sidecar.alarm == sidecar.classes[-1] else 1 - positive
    chosen = sidecar.classes.index(sidecar.alarm)
    return (values if sidecar.output == "probabilities" else _softmax(values))[:, chosen]


class _FrameScoring:
    """Implements `scoring.Scoring`: frames in batches, then the mean of each window's probabilities."""

    def __init__(self, model: OwnModel) -> None:
        self._model = model
        self._waiting: list[tuple[float, Picture]] = []
        self._windower: Windower[float] = Windower(FRAME_WINDOW_SECONDS, FRAME_HOP_SECONDS)

    def push(self, seconds: float, picture: Picture) -> Iterator[ScoredWindow]:
        self._waiting.append((seconds, picture))
        if len(self._waiting) >= self._model.batch:
            yield from self._flush()

    def finish(self, end_seconds: float) -> Iterator[ScoredWindow]:
        yield from self._flush()
        yield from map(_mean, self._windower.finish(end_seconds))

    def _flush(self) -> Iterator[ScoredWindow]:
        waiting, self._waiting = self._waiting, []
        scores = self._model.probabilities([[picture] for _, picture in waiting]) if waiting else []
        for (seconds, _), score in zip(waiting, scores, strict=True):
            yield from map(_mean, self._windower.push(seconds, score))


class _ClipScoring:
    """Implements `scoring.Scoring`: windows as long as a clip, in batches."""

    def __init__(self, model: OwnModel) -> None:
        self._model = model
        self._waiting: list[Window[Picture]] = []
        sidecar = model.sidecar
        self._windower: Windower[Picture] = Windower(sidecar.frames / sidecar.hz, sidecar.hop_seconds)

    def push(self, seconds: float, picture: Picture) -> Iterator[ScoredWindow]:
        self._waiting.extend(self._windower.push(seconds, picture))
        while len(self._waiting) >= self._model.batch:
            yield from self._flush()

    def finish(self, end_seconds: float) -> Iterator[ScoredWindow]:
        self._waiting.extend(self._windower.finish(end_seconds))
        while self._waiting:
            yield from self._flush()

    def _flush(self) -> Iterator[ScoredWindow]:
        count = self._model.batch
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        sidecar = self._model.sidecar
        scores = self._model.probabilities([on_grid(window, sidecar.frames, sidecar.hz) for window in batch])
        for window, score in zip(batch, scores, strict=True):
            yield ScoredWindow(window.start, window.end, score)


def on_grid(window: Window[Picture], frames: int, hz: float) -> list[Picture]:
    """`frames` pictures, `hz` a second from the window's start: each time the nearest sample of the window.

    The nearest, not the one before: of a video whose rate is no multiple of `hz`, samples come a little after their
    tick, so that the one before would show every other picture twice.
    """
    times = np.asarray(window.times)
    grid = window.start + np.arange(frames) / hz
    # A sample stands for the time up to halfway to its neighbours; halfway itself is the earlier one's.
    nearest = np.searchsorted((times[1:] + times[:-1]) / 2, grid)
    return [window.values[index] for index in nearest]


def _mean(window: Window[float]) -> ScoredWindow:
    return ScoredWindow(window.start, window.end, float(np.mean(window.values)))


def _sigmoid(logits: Probabilities) -> Probabilities:
    return 0.5 * (1 + np.tanh(logits / 2))  # never overflows


def _softmax(logits: Probabilities) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _are_probabilities(outputs: Values) -> bool:
    return bool(outputs.min() >= -_ROUNDING and outputs.max() <= 1 + _ROUNDING)


def _furthest(outputs: Values) -> float:
    return float(outputs.flat[np.abs(outputs - 0.5).argmax()])
