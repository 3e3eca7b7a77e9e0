"""What a video looks like over time, in 512 bytes a second: enough to tell a copy from another scene of one camera.

Each half second is the mean of its pictures, reduced to 16 x 16 gray levels. Averaging over time and area is what
another size, frame rate, codec or quality leaves nearly as it was; that somebody moves through the picture it does not.
When two of them show the same is the domain's business (`shared/domain/likeness.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.detection.scoring import Picture, PictureFormat
from shared.ports import FINGERPRINT_HZ, FINGERPRINT_SIDE

# Another frame rate moves the end of a video by up to two frames; a slot that lacks no more than that is whole.
_TOLERANCE_SECONDS = 0.1


class Fingerprinting:
    """The fingerprint of one video. Keeps the sum of half a second of pictures, and what is finished."""

    def __init__(self, pictures: PictureFormat) -> None:
        self._rows = _areas(pictures.height)
        self._columns = _areas(pictures.width).T
        self._sum = np.zeros((FINGERPRINT_SIDE, FINGERPRINT_SIDE))
        self._count = 0
        self._slots: list[bytes] = []

    def push(self, seconds: float, picture: Picture) -> None:
        """Takes the next picture; `seconds` rise. A slot without one looks as the one before it."""
        slot = int(seconds * FINGERPRINT_HZ)
        if self._count and slot > len(self._slots):
            self._slots.extend([self._mean()] * (slot - len(self._slots)))
            self._sum[:], self._count = 0, 0
        gray = picture if picture.ndim == 2 else picture.mean(axis=2)
        self._sum += self._rows @ gray @ self._columns
        self._count += 1

    def finish(self, end_seconds: float) -> bytes:
        """The slots one after the other, 256 bytes each, by rows; what is left of the last one only if it is whole."""
        whole = (len(self._slots) + 1) / FINGERPRINT_HZ - end_seconds <= _TOLERANCE_SECONDS
        last = [self._mean()] if self._count and whole else []
        return b"".join([*self._slots, *last])

    def _mean(self) -> bytes:
        return np.rint(self._sum / self._count).astype(np.uint8).tobytes()


def _areas(pixels: int) -> NDArray[np.float64]:
    """(FINGERPRINT_SIDE, pixels): the share that each pixel has in each cell; every row sums to 1."""
    edges = np.linspace(0, pixels, FINGERPRINT_SIDE + 1)
    starts = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    shares: NDArray[np.float64] = np.clip(overlap, 0, None) * FINGERPRINT_SIDE / pixels
    return shares
