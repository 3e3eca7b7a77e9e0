"""What is measured of two seconds of video: how much moves, how fast, how jerkily, and whether it stays in one place.

Pure: (times, gray pictures) in, one vector out, finite for any input. It looks at pixels and time only, never at file
size, resolution, frame rate or sound, which would tell recordings apart instead of behaviour.

Every statistic is taken on an 8 x 8 grid of blocks, from the change between consecutive pictures. Sources: the motion
of a block is Lucas and Kanade's least-squares solution ("An Iterative Image Registration Technique", IJCAI 1981);
describing violence by how motion changes rather than by its shape follows Hassner, Itcher and Kliper-Gross ("Violent
Flows", CVPRW 2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Stack = NDArray[np.float32]
"""Pictures or block maps over time, (time, rows, columns)."""

BLOCKS = 8
"""Blocks along each side of the picture."""

# Consecutive pictures further apart than this are a gap, not motion: the slowest supported camera has 5 fps.
_MAX_GAP_SECONDS = 0.22
# Stands for "nothing" in ratios and logarithms, well under what a camera's noise gives (gray levels, pixels a step).
_CHANGE_FLOOR = 0.5
_MOTION_FLOOR = 0.02
# Summed squared gradient below which a block has no texture to follow: about 2 gray levels a pixel.
_TEXTURE_FLOOR = 200.0
# A block whose mean change exceeds this many gray levels is in motion.
_ACTIVE = 6.0

FEATURE_NAMES: tuple[str, ...] = (
    "contrast",
    "change_top1",
    "change_top4",
    "change_top16",
    "unrest_top1",
    "unrest_top4",
    "unrest_top16",
    "unrest_to_change",
    "evenness_of_window",
    "evenness_of_moment",
    "blocks_ever_active",
    "blocks_active",
    "persistence_next",
    "persistence_later",
    "motion_top1",
    "motion_top4",
    "motion_top16",
    "motion_top1_deviation",
    "motion_top4_deviation",
    "motion_top16_deviation",
    "motion_weighted",
    "motion_weighted_deviation",
    "acceleration",
    "acceleration_to_motion",
    "turning",
    "unexplained",
)
"""The features in the order of the vector."""


def window_features(times: Sequence[float], pictures: Sequence[NDArray[np.uint8]]) -> Vector:
    """The vector (float64, as long as `FEATURE_NAMES`) of one window.

    `times`: seconds, rising; `pictures`: as many, at least one, gray uint8 arrays (n, n) with n divisible by `BLOCKS`.
    Without two pictures close enough in time (a still, a gap) the vector is that of a scene where nothing moves.
    """
    stack: Stack = np.stack(pictures).astype(np.float32)
    stack -= stack.mean(axis=(1, 2), keepdims=True)  # the sun or the exposure changing is not motion
    later = np.flatnonzero(np.diff(np.asarray(times, np.float64)) <= _MAX_GAP_SECONDS) + 1
    if not len(later):
        stack, later = np.repeat(stack[:1], 2, axis=0), np.array([1])
    change: Stack = stack[later] - stack[later - 1]
    texture: Stack = (stack[later] + stack[later - 1]) * np.float32(0.5)
    parts = [[np.log1p(stack.std())], _change_features(change), _motion_features(change, texture)]
    return np.concatenate(parts).astype(np.float64)


def _change_features(change: Stack) -> list[float]:
    """How much changes in the blocks that change most, how unevenly in time, and how it is spread over the picture."""
    blocks = _block_sums(np.abs(change)) / (change.shape[1] // BLOCKS) ** 2
    mean = np.sort(blocks.mean(axis=0), axis=None)[::-1]
    unrest = np.sort(blocks.std(axis=0), axis=None)[::-1]
    moments = blocks.reshape(len(blocks), -1)
    return [
        *(float(np.log1p(mean[:count].mean())) for count in (1, 4, 16)),
        *(float(np.log1p(unrest[:count].mean())) for count in (1, 4, 16)),
        float(np.log((unrest[:8].mean() + _CHANGE_FLOOR) / (mean[:8].mean() + _CHANGE_FLOOR))),
        float(_entropy(moments.mean(axis=0, keepdims=True)).mean()),
        float(_entropy(moments).mean()),
        float((moments.max(axis=0) > _ACTIVE).mean()),
        float((moments > _ACTIVE).mean()),
        _persistence(moments, 1),
        _persistence(moments, 4),
    ]


def _motion_features(change: Stack, texture: Stack) -> list[float]:
    """How fast the blocks move, how much that varies and turns, and how much of the change no motion explains."""
    across, down, unexplained, energy = _block_motion(change, texture)
    speed = np.hypot(across, down)
    fastest = np.sort(speed.reshape(len(speed), -1), axis=1)[:, ::-1]
    tops = [np.log1p(fastest[:, :count].mean(axis=1)) for count in (1, 4, 16)]
    weight = energy / (energy.sum(axis=(1, 2), keepdims=True) + 1)
    weighted = np.log1p((speed * weight).sum(axis=(1, 2)))
    return [
        *(float(top.mean()) for top in tops),
        *(float(top.std()) for top in tops),
        float(weighted.mean()),
        float(weighted.std()),
        *_changes_of_motion(across, down, weight, float(speed.mean())),
        float(np.log((unexplained.mean() + 10) / (energy.mean() + 10))),
    ]


def _changes_of_motion(across: Stack, down: Stack, weight: Stack, mean_speed: float) -> list[float]:
    """Acceleration in the moving blocks, the same over the picture in relation to speed, and turning of the whole."""
    if len(across) < 2:
        return [0.0, 0.0, 0.0]
    jolt = np.hypot(np.diff(across, axis=0), np.diff(down, axis=0))
    whole = [(part * weight).sum(axis=(1, 2)) for part in (across, down)]
    return [
        float(np.log1p((jolt * weight[1:]).sum(axis=(1, 2))).mean()),
        float(np.log((jolt.mean() + _MOTION_FLOOR) / (mean_speed + _MOTION_FLOOR))),
        float(np.hypot(np.diff(whole[0]), np.diff(whole[1])).mean()),
    ]


def _block_motion(change: Stack, texture: Stack) -> tuple[Stack, Stack, Stack, Stack]:
    """Lucas and Kanade per block: (pixels a step across, down, squared change left over, squared change)."""
    slope_x, slope_y = np.zeros_like(texture), np.zeros_like(texture)
    slope_x[:, :, 1:-1] = (texture[:, :, 2:] - texture[:, :, :-2]) / 2
    slope_y[:, 1:-1] = (texture[:, 2:] - texture[:, :-2]) / 2
    xx = _block_sums(slope_x * slope_x) + _TEXTURE_FLOOR
    yy = _block_sums(slope_y * slope_y) + _TEXTURE_FLOOR
    xy = _block_sums(slope_x * slope_y)
    xt, yt, energy = _block_sums(slope_x * change), _block_sums(slope_y * change), _block_sums(change * change)
    determinant = xx * yy - xy * xy  # at least the floor squared
    across = (xy * yt - yy * xt) / determinant
    down = (xy * xt - xx * yt) / determinant
    left_over = np.maximum(energy + across * xt + down * yt, 0)
    return across, down, left_over, energy


def _block_sums(maps: Stack) -> Stack:
    """(time, n, n) summed to (time, BLOCKS, BLOCKS)."""
    side = maps.shape[1] // BLOCKS
    return np.asarray(maps.reshape(len(maps), BLOCKS, side, BLOCKS, side).sum(axis=(2, 4)))


def _entropy(rows: Stack) -> NDArray[np.float32]:
    """Of each row taken as shares of its sum: 0 if all is in one place, log 64 if it is everywhere alike."""
    share = rows / (rows.sum(axis=1, keepdims=True) + 1)
    return np.asarray(-(share * np.log(share + 1e-9)).sum(axis=1))


def _persistence(moments: Stack, steps: int) -> float:
    """How much the change is where it was `steps` (or as many as there are) pictures ago: mean cosine, 0 to 1."""
    steps = min(steps, len(moments) - 1)
    if steps < 1:
        return 0.0
    lengths = np.linalg.norm(moments, axis=1) + 1
    products = (moments[steps:] * moments[:-steps]).sum(axis=1)
    return float((products / (lengths[steps:] * lengths[:-steps])).mean())
