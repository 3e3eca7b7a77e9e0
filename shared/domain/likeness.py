"""When two videos show the same recording, told from their fingerprints over time (`DetectionRun.fingerprint`).

A 64-bit hash says that two videos look alike, and those of one fixed camera always do. What tells recordings apart is
what moves: so every half second is compared, and in it every cell; one cell that differs is another recording. Where
nothing moves nothing can be told, and then they are not the same. The limits were measured with real cameras
(`python -m bench twins`): copies stay far below them, other scenes of one camera far above.
"""

from __future__ import annotations

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

_Slots = NDArray[np.float64]


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
    around, gain = _fitted(first, second)
    changes = np.diff(first, axis=0), np.diff(second, axis=0)
    strength = float(np.sqrt((changes[0] ** 2).sum() * (changes[1] ** 2).sum()))
    return Likeness(
        difference=float(np.abs(around).max()),
        movement=min(float(np.abs(change).max()) for change in changes),
        shift=abs(float(first.mean()) - gain * float(second.mean())) / min(gain, 1.0),
        agreement=float((changes[0] * changes[1]).sum()) / strength if strength else 0.0,
    )


def _fitted(first: _Slots, second: _Slots) -> tuple[_Slots, float]:
    """(what is left of the first without the second, the factor of contrast that leaves the least)."""
    mine, theirs = first - first.mean(), second - second.mean()
    # The geometric mean of both regressions: the same factor, turned round, whichever comes first.
    mine_strength, theirs_strength = float((mine**2).sum()), float((theirs**2).sum())
    gain = float(np.sqrt(mine_strength / theirs_strength)) if mine_strength and theirs_strength else 1.0
    gain = min(max(gain, _GAINS[0]), _GAINS[1])
    # In the levels of the stronger one, or a lower contrast would make everything more alike.
    return (mine - gain * theirs) / min(gain, 1.0), gain


def _slots(fingerprint: bytes) -> _Slots:
    cells = FINGERPRINT_SIDE * FINGERPRINT_SIDE
    whole = len(fingerprint) - len(fingerprint) % cells
    return np.frombuffer(fingerprint, np.uint8, whole).reshape(-1, cells).astype(np.float64)
