"""When two videos show the same recording, told from their fingerprints over time (`DetectionRun.fingerprint`).

A 64-bit hash says that two videos look alike, and those of one fixed camera always do. What tells recordings apart is
what moves: so every half second is compared, and in it every cell; one cell that differs is another recording. Where
nothing moves nothing can be told, and then they are not the same. The limits were measured with real cameras
(`python -m bench twins`): copies stay far below them, other scenes of one camera far above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.ports import FINGERPRINT_SIDE

MOST_DIFFERENCE = 16.0
LEAST_MOVEMENT = 16.0
LEAST_AGREEMENT = 0.85
LEAST_SLOTS = 3
MOST_SLOTS_MISSING = 1

# Between full and limited range of brightness, which encoders confuse, lie a factor of 255 / 219 and 16 levels.
_GAINS = (0.8, 1.25)
_MOST_SHIFT = 24.0

_BLOCK_SLOTS = 512

_Slots = NDArray[np.uint8]
_Levels = NDArray[np.float64]


class Verdict(StrEnum):
    """Whether two fingerprints are of one recording; if not, why not."""

    SAME = "same"
    TOO_SHORT = "too_short"
    OTHER_LENGTH = "other_length"
    TOO_STILL = "too_still"
    LOOKS_DIFFERENT = "looks_different"
    MOVES_DIFFERENTLY = "moves_differently"


@dataclass(frozen=True)
class Likeness:
    """How two videos compare, once one's contrast and brightness are fitted to the other's. In gray levels (0-255):

    `difference`: the most that any cell of any half second differs. `movement`: the most that any cell of the stiller
    one changes from one half second to the next. `shift`: how far the brightness had to be moved. `agreement`: the
    correlation (-1 to 1) of the changes.
    """

    difference: float
    movement: float
    shift: float
    agreement: float


def judge(one: bytes, other: bytes) -> Verdict:
    """Whether two fingerprints of one model's version show the same recording. The order does not matter."""
    first, second = _slots(one), _slots(other)
    if min(len(first), len(second)) < LEAST_SLOTS:
        return Verdict.TOO_SHORT
    if abs(len(first) - len(second)) > MOST_SLOTS_MISSING:
        return Verdict.OTHER_LENGTH
    found = likeness(one, other)
    if found.movement < LEAST_MOVEMENT:
        return Verdict.TOO_STILL
    if found.difference > MOST_DIFFERENCE or found.shift > _MOST_SHIFT:
        return Verdict.LOOKS_DIFFERENT
    return Verdict.SAME if found.agreement >= LEAST_AGREEMENT else Verdict.MOVES_DIFFERENTLY


def likeness(one: bytes, other: bytes) -> Likeness:
    """The measures, of two fingerprints with at least two slots; what the longer one has more is left out."""
    first, second = _slots(one), _slots(other)
    count = min(len(first), len(second))
    first, second = first[:count], second[:count]
    (mean, spread), (other_mean, other_spread) = _moments(first), _moments(second)
    # Of both regressions the geometric mean: the same factor, turned round, whichever comes first.
    gain = min(max(spread / other_spread, _GAINS[0]), _GAINS[1]) if spread and other_spread else 1.0
    # In the levels of the stronger one, or a lower contrast would make everything more alike.
    scale = min(gain, 1.0)
    difference, movements, products = 0.0, np.zeros(2), np.zeros(3)
    for mine, theirs in _blocks(first, second):
        difference = max(difference, float(np.abs((mine - mean) - gain * (theirs - other_mean)).max()) / scale)
        change, other_change = np.diff(mine, axis=0), np.diff(theirs, axis=0)
        movements = np.maximum(movements, [np.abs(each).max(initial=0) for each in (change, other_change)])
        products += [(change * other_change).sum(), (change**2).sum(), (other_change**2).sum()]
    strength = math.sqrt(products[1] * products[2])
    return Likeness(
        difference=difference,
        movement=float(movements.min()),
        shift=abs(mean - gain * other_mean) / scale,
        agreement=float(products[0]) / strength if strength else 0.0,
    )


def _blocks(first: _Slots, second: _Slots) -> Iterator[tuple[_Levels, _Levels]]:
    """Both in stretches that overlap by one slot, so that no change is left out and memory doesn't grow."""
    for start in range(0, max(len(first) - 1, 1), _BLOCK_SLOTS):
        stretch = slice(start, start + _BLOCK_SLOTS + 1)
        yield first[stretch].astype(np.float64), second[stretch].astype(np.float64)


def _moments(slots: _Slots) -> tuple[float, float]:
    """(mean, standard deviation) of all levels."""
    counts = np.zeros(256)
    for start in range(0, len(slots), _BLOCK_SLOTS):
        counts += np.bincount(slots[start : start + _BLOCK_SLOTS].ravel(), minlength=256)
    levels = np.arange(256)
    mean = float((counts * levels).sum() / counts.sum())
    return mean, math.sqrt(float((counts * (levels - mean) ** 2).sum() / counts.sum()))


def _slots(fingerprint: bytes) -> _Slots:
    cells = FINGERPRINT_SIDE * FINGERPRINT_SIDE
    return np.frombuffer(fingerprint, np.uint8, len(fingerprint) // cells * cells).reshape(-1, cells)
