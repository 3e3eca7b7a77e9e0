"""Varied copies of a clip's pictures, as the detector would see them; and camera work on a still, which is no violence.

Pure but for the random generator that is handed in. Gray pictures (height, width) uint8 in, squares of `SIDE` out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from shared.detection.decode import Gray
from shared.detection.motion import SIDE

Times = NDArray[np.float64]
Box = tuple[float, float, float, float]
T = TypeVar("T")

STILL_SECONDS = 2.0
_GAPS = (0.049, 0.06, 0.08, 0.1)
_GAP_SHARES = (0.7, 0.15, 0.1, 0.05)
_STILL_HZ = (10.0, 12.5, 15.0, 15.0, 20.0)


@dataclass(frozen=True)
class View:
    """`times` in seconds from 0, rising; as many `pictures`, (SIDE, SIDE); `end` of the last one."""

    times: Times
    pictures: list[Gray]
    end: float


def varied(times: Times, pictures: Sequence[Gray], rng: np.random.Generator) -> View:
    """The clip at another speed, frame rate, crop, side, contrast, brightness, sharpness and noise, perhaps shaking."""
    times = times / np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    chosen = spaced(times, float(rng.choice(_GAPS, p=_GAP_SHARES)))
    height, width = pictures[0].shape
    box = _crop(width, height, rng)
    offsets = _shake(len(chosen), 0.0035 * width * rng.uniform(0.2, 1.0), rng) if rng.random() < 0.1 else None
    boxes = [
        _moved(box, offsets[number] if offsets is not None else (0, 0), width, height) for number in range(len(chosen))
    ]
    flipped, paint = rng.random() < 0.5, _paint(rng)
    made = [paint(_cut(pictures[at], area, flipped)) for at, area in zip(chosen, boxes, strict=True)]
    kept = times[chosen]
    return View(kept, made, _end(kept))


def still(picture: Gray, rng: np.random.Generator) -> View:
    """Two seconds of one picture, with noise, under a camera that rests, pans, shakes or zooms, in flickering light."""
    times = np.arange(0, STILL_SECONDS, 1 / rng.choice(_STILL_HZ))
    height, width = picture.shape
    offsets, zooms = _camera_work(times, width, rng)
    flicker = rng.normal(1, rng.uniform(0, 0.08), len(times)) if rng.random() < 0.3 else np.ones(len(times))
    noise = rng.uniform(0, 1.8)
    made = []
    for offset, zoom, light in zip(offsets, zooms, flicker, strict=True):
        margin = (1 - 0.8 / zoom) / 2
        box = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
        cut = _cut(picture, _moved(box, offset, width, height), False).astype(np.float32)
        made.append(_gray(cut * light + rng.normal(0, noise, cut.shape)))
    return View(times, made, STILL_SECONDS)


def spaced(times: Times, gap: float) -> NDArray[np.intp]:
    """Indices of the samples at least `gap` seconds apart, beginning with the first."""
    kept = [0]
    for at in range(1, len(times)):
        if times[at] - times[kept[-1]] >= gap - 0.002:
            kept.append(at)
    return np.array(kept)


def _crop(width: int, height: int, rng: np.random.Generator) -> Box:
    """75 to 100 % of the picture, a little wider or narrower than it."""
    size, stretch = rng.uniform(0.75, 1.0), np.exp(rng.uniform(-0.1, 0.1))
    across, down = min(1.0, size * stretch) * width, min(1.0, size / stretch) * height
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    return left, top, left + across, top + down


def _shake(count: int, step: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 2) pixels of a random walk that stays near 0."""
    walk = np.cumsum(rng.normal(0, step, (count, 2)), axis=0)
    return np.asarray(walk - walk.mean(axis=0))


def _camera_work(times: Times, width: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (times, 2) in pixels and zoom factors (times,)."""
    offsets, zooms = np.zeros((len(times), 2)), np.ones(len(times))
    kind = rng.choice(("rest", "pan", "shake", "shake", "zoom"))
    if kind == "pan":
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.2) * width
        offsets = np.outer(times - 1, [np.cos(angle), np.sin(angle)]) * speed
    if kind == "shake":
        smooth = int(rng.integers(1, 5))
        steps = rng.normal(0, np.exp(rng.uniform(np.log(0.001), np.log(0.025))) * width, (len(times) + smooth, 2))
        offsets = np.stack([steps[at : at + smooth].sum(axis=0) for at in range(len(times))]) / np.sqrt(smooth)
    if kind == "zoom":
        zooms = np.exp(rng.uniform(-0.15, 0.15) * (times - 1))
    return offsets, zooms


def _moved(box: Box, offset: Sequence[float] | NDArray[np.float64], width: int, height: int) -> Box:
    """`box` shifted by `offset` as far as the picture reaches."""
    left, top, right, bottom = box
    across = min(max(float(offset[0]), -left), width - right)
    down = min(max(float(offset[1]), -top), height - bottom)
    return left + across, top + down, right + across, bottom + down


def _paint(rng: np.random.Generator) -> Callable[[Gray], Gray]:
    """One camera: gamma, contrast, brightness, sharpness; noise anew in every picture."""
    gamma, gain, lift = np.exp(rng.uniform(-0.25, 0.25)), rng.uniform(0.8, 1.2), rng.uniform(-15, 15)
    blur = rng.uniform(0.2, 0.5) if rng.random() < 0.2 else 0.0
    noise = rng.uniform(0, 1)
    curve = np.clip((255 * (np.arange(256) / 255) ** gamma - 128) * gain + 128 + lift, 0, 255).astype(np.float32)

    def paint(picture: Gray) -> Gray:
        if blur:
            picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(blur)))
        return _gray(curve[picture] + rng.normal(0, noise, picture.shape))

    return paint


def _cut(picture: Gray, box: Box, flipped: bool) -> Gray:
    right, bottom = min(box[2], picture.shape[1]), min(box[3], picture.shape[0])
    small = Image.fromarray(picture).resize(
        (SIDE, SIDE), Image.Resampling.BOX, box=(max(box[0], 0), max(box[1], 0), right, bottom)
    )
    cut = np.asarray(small)
    return np.ascontiguousarray(cut[:, ::-1]) if flipped else cut


def _gray(values: NDArray[np.float32] | NDArray[np.float64]) -> Gray:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _end(times: Times) -> float:
    return float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.04))
