"""Labelled clips on disk to tables of features, with varied copies.

Expects a folder with `scfd.csv` (columns clip, label, group) and `calm/` (clips without violence). The footage
is read where it lies; nothing of it is written anywhere. A clip's own windows come through the very code that the
detector runs, so that what is measured here is what a user gets.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.detection.decode import Decoding, Gray
from shared.detection.motion import SAMPLE_HZ, SIDE, PairWindow, PairWindows, stacked
from shared.detection.scoring import PictureFormat
from shared.detection.training import network, views
from shared.detection.video import open_video

GAPS = (0.1, 0.125, 0.167, 0.2)
"""Seconds between the samples of slow cameras, down to 5 pictures a second."""

VIEWS = 8
STILLS = 6
"""Varied copies, and stills, of each clip."""

Table = NDArray[np.float64]
"""(windows, network.FEATURES)."""

# Decoded larger than the detector sees it, so that a cropped copy isn't a blurred one.
_LARGE = PictureFormat(120, 160, channels=1, hz=31.0, even=True)
_DENSE = PictureFormat(SIDE, SIDE, channels=1, hz=31.0, even=True)
_SEEN = PictureFormat(SIDE, SIDE, channels=1, hz=SAMPLE_HZ, even=True)
# A varied copy of a long recording is made of this much of it.
_VARIED_SECONDS = 4.0
_KEPT_PICTURES = 8


@dataclass(frozen=True)
class Thinned:
    """A clip's windows as a slow camera would have taken it; `gap`: the median seconds between its pictures."""

    gap: float
    table: Table


@dataclass(frozen=True)
class Clip:
    """One labelled clip. `own`: its windows as the detector sees them; `varied` and `stills`: only to train on.

    `thinned`: what it would be with pictures at least so many seconds apart, of each of `GAPS` above its own.
    `pictures` (a few, SIDE, SIDE) and the `first` window are kept to compare the exported network on.
    `group` names the recording it comes from, `height` its lines, `gap` the median seconds between samples;
    `calm` clips don't count as accuracy.
    """

    name: str
    label: int
    group: str
    calm: bool
    height: int
    seconds: float
    gap: float
    pictures: NDArray[np.uint8]
    first: PairWindow
    own: Table
    thinned: dict[float, Thinned]
    varied: Table
    stills: Table


class _Network:
    """The network as TensorFlow runs it; the part of `litert_file.SignatureNetwork` that cutting windows needs."""

    def __init__(self) -> None:
        picture = tf.TensorSpec([None, SIDE, SIDE], tf.uint8)
        self._compare: Any = tf.function(network.compare, input_signature=[picture, picture])
        self._statistics: Any = tf.function(network.statistics, reduce_retracing=True)

    def run(self, _: str, /, **inputs: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        return {"sums": self._compare(inputs["earlier"], inputs["later"]).numpy()}

    def features(self, windows: Sequence[PairWindow]) -> Table:
        ready = stacked(windows)
        parts = [
            self._statistics(ready["sums"][at : at + 64], ready["present"][at : at + 64]).numpy()
            for at in range(0, len(windows), 64)
        ]
        return np.concatenate(parts).astype(np.float64)


def load_clips(folder: Path, seed: int) -> list[Clip]:
    """Every clip of the data set, in a fixed order. Raises `MediaUnusable` for one that can't be decoded."""
    with (folder / "scfd.csv").open(newline="", encoding="utf-8") as file:
        listed = [(folder / row["clip"], int(row["label"]), row["group"], False) for row in csv.DictReader(file)]
    listed += [(path, 0, _calm_group(path), True) for path in sorted((folder / "calm").iterdir())]
    runner = _Network()
    return [_load(*entry, runner, np.random.default_rng([seed, number])) for number, entry in enumerate(listed)]


def _calm_group(path: Path) -> str:
    """The sign-language clips (Matroska) are one series of recordings; the others are one recording each."""
    return "calm-signs" if path.suffix == ".mkv" else f"calm-{path.stem}"


def _load(path: Path, label: int, group: str, calm: bool, runner: _Network, rng: np.random.Generator) -> Clip:
    times, pictures, end, _ = _decoded(path, _SEEN)
    own = _windows(views.View(times, pictures, end), runner)
    spacing = float(np.median(np.diff(times)))
    thinned = _thinned(path, spacing, runner)
    large_times, large, _, height = _decoded(path, _LARGE)
    varied = [_some(_windows(_vary(large_times, large, rng), runner), rng) for _ in range(VIEWS)]
    stills = [_windows(views.still(large[rng.integers(len(large))], rng), runner)[0] for _ in range(STILLS)]
    return Clip(
        path.name,
        label,
        group,
        calm,
        height,
        end,
        spacing,
        np.stack(pictures[:_KEPT_PICTURES]),
        own[0],
        runner.features(own),
        thinned,
        runner.features(varied),
        runner.features(stills),
    )


def _decoded(path: Path, wanted: PictureFormat) -> tuple[views.Times, list[Gray], float, int]:
    """(times, pictures, end in seconds, lines of the video)."""
    with path.open("rb") as stream, open_video(stream) as video:
        decoding = Decoding(video)
        samples = list(decoding.samples(wanted))
        height = video.stream.codec_context.height
    return np.array([seconds for seconds, _ in samples]), [picture for _, picture in samples], decoding.end, height


def _thinned(path: Path, spacing: float, runner: _Network) -> dict[float, Thinned]:
    times, pictures, end, _ = _decoded(path, _DENSE)
    found = {}
    for gap in GAPS:
        chosen = views.spaced(times, gap)
        windows = _windows(views.View(times[chosen], [pictures[at] for at in chosen], end), runner)
        if gap > spacing + 0.005 and windows:
            found[gap] = Thinned(float(np.median(np.diff(times[chosen]))), runner.features(windows))
    return found


def _vary(times: views.Times, pictures: list[Gray], rng: np.random.Generator) -> views.View:
    begin = rng.uniform(0, max(times[-1] - _VARIED_SECONDS, 0))
    part = np.flatnonzero((times >= begin) & (times < begin + _VARIED_SECONDS))
    return views.varied(times[part] - times[part[0]], [pictures[at] for at in part], rng)


def _windows(view: views.View, runner: _Network) -> list[PairWindow]:
    """The windows the detector would cut."""
    cutter = PairWindows(runner)
    found = [
        w for time, picture in zip(view.times, view.pictures, strict=True) for w in cutter.push(float(time), picture)
    ]
    return [*found, *cutter.finish(max(view.end, float(view.times[-1])))]


def _some(windows: list[PairWindow], rng: np.random.Generator) -> PairWindow:
    return windows[rng.integers(len(windows))]
