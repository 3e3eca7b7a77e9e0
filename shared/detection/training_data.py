"""Labelled clips on disk to tables of feature vectors, with varied copies. For training only, not for run time.

Expects a folder with `scfd.csv` (columns clip, label, group) and `calm/` (clips without violence). The footage is read
where it lies; nothing of it is written anywhere.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.detection.decode import Decoding, Gray
from shared.detection.features import window_features
from shared.detection.linear import SAMPLE_HZ, SIDE
from shared.detection.scoring import PictureFormat
from shared.detection.video import open_video
from shared.detection.windows import Windower

VIEWS = 4
"""Varied copies of each clip, beside the clip itself."""

# Decoded larger than the detector sees it, so that a cropped copy isn't a blurred one.
_DECODED_SIDE = 96
_DECODED = PictureFormat(_DECODED_SIDE, _DECODED_SIDE, channels=1, hz=SAMPLE_HZ)
# A long calm recording may not outweigh the others, nor does it need varied copies.
_MAX_WINDOWS = 12
_LONG_SECONDS = 60.0

Table = NDArray[np.float64]
"""(windows, features)."""


@dataclass(frozen=True)
class Clip:
    """One labelled clip. `own`: its windows as the detector sees them; `varied` and `frozen`: only to train on.

    `group` names the recording it comes from; `calm` clips are hard negatives that don't count as accuracy.
    `frozen`: a still from it with a camera's noise, which is never violent.
    """

    name: str
    label: int
    group: str
    calm: bool
    own: Table
    varied: Table
    frozen: Table


def load_clips(folder: Path, seed: int) -> list[Clip]:
    """Every clip of the data set, in a fixed order. Raises `MediaUnusable` for one that can't be decoded."""
    with (folder / "scfd.csv").open(newline="", encoding="utf-8") as file:
        listed = [(folder / row["clip"], int(row["label"]), row["group"], False) for row in csv.DictReader(file)]
    listed += [(path, 0, _calm_group(path), True) for path in sorted((folder / "calm").iterdir())]
    return [_load(*entry, np.random.default_rng([seed, number])) for number, entry in enumerate(listed)]


def _calm_group(path: Path) -> str:
    """The sign-language clips (Matroska) are one series of recordings; the others are one recording each."""
    return "calm-signs" if path.suffix == ".mkv" else f"calm-{path.stem}"


def _load(path: Path, label: int, group: str, calm: bool, rng: np.random.Generator) -> Clip:
    with path.open("rb") as stream, open_video(stream) as video:
        decoding = Decoding(video)
        samples = list(decoding.samples(_DECODED))
    times = np.array([seconds for seconds, _ in samples])
    large = [picture for _, picture in samples]
    own = _table(times, [_resize(picture) for picture in large], decoding.end)
    views = 0 if decoding.end > _LONG_SECONDS else VIEWS
    varied = [_vary(times, large, decoding.end, rng) for _ in range(views)]
    still = [_noisy(_resize(large[0]).astype(np.float32), rng.uniform(0, 2), rng) for _ in large[: 2 * SAMPLE_HZ]]
    frozen = _table(times[: len(still)], still, min(decoding.end, 2.0))
    return Clip(path.name, label, group, calm, own, np.concatenate(varied or [own[:0]])[:_MAX_WINDOWS], frozen)


def _table(times: NDArray[np.float64], pictures: list[Gray], end: float) -> Table:
    return np.stack([window_features(*window) for window in _windows(times, pictures, end)])


def _windows(
    times: NDArray[np.float64], pictures: list[Gray], end: float
) -> Iterator[tuple[tuple[float, ...], tuple[Gray, ...]]]:
    """The windows the detector would cut."""
    windower: Windower[Gray] = Windower()
    for seconds, picture in zip(times, pictures, strict=True):
        for window in windower.push(float(seconds), picture):
            yield window.times, window.values
    for window in windower.finish(end):
        yield window.times, window.values


def _vary(times: NDArray[np.float64], large: list[Gray], end: float, rng: np.random.Generator) -> Table:
    """The windows of a copy at another speed, crop, contrast, brightness and noise."""
    speed = rng.uniform(0.8, 1.25)
    width = rng.uniform(0.75, 1) * _DECODED_SIDE
    left, top = rng.uniform(0, _DECODED_SIDE - width, 2)
    gain, lift, noise = rng.uniform(0.8, 1.2), rng.uniform(-15, 15), rng.uniform(0, 3)
    ticks = np.floor((times / speed + 0.005) * SAMPLE_HZ)
    kept = np.unique(ticks, return_index=True)[1]
    pictures = []
    for index in kept:
        picture = _resize(large[index], (left, top, left + width, top + width)).astype(np.float32)
        pictures.append(_noisy((picture - 128) * gain + 128 + lift, noise, rng))
    return _table(times[kept] / speed, pictures, end / speed)


def _noisy(picture: NDArray[np.float32], noise: float, rng: np.random.Generator) -> Gray:
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def _resize(picture: Gray, box: tuple[float, float, float, float] | None = None) -> Gray:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX, box=box))
