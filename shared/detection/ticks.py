"""Which frames are looked at: the first to be displayed in each tick of 1/hz s, told from time stamps alone.

It knows times in the order of display (frames) and in the order of decoding (packets), and must not see either.
"""

from __future__ import annotations

from collections import deque

# Time stamps in milliseconds (Matroska) put every other 15 Hz frame just before its tick.
_TOLERANCE_SECONDS = 0.005
# More than any format lets decoding run ahead of display (16 frames in H.264 and HEVC).
_REMEMBERED = 32


class Ticks:
    """The ticks of one video, `hz` a second. All times are seconds from its beginning."""

    def __init__(self, hz: float) -> None:
        self._hz = hz
        self._last = -1
        self._coming: deque[float] = deque(maxlen=_REMEMBERED)

    def takes(self, seconds: float) -> bool:
        """Whether the next frame in the order of display is looked at: the first one of its tick is."""
        tick = self._tick(seconds)
        if tick <= self._last:
            return False
        self._last = tick
        return True

    def spares(self, seconds: float) -> bool:
        """Whether the next frame in the order of decoding may stay undecoded.

        That is so only if an earlier one of the same tick is certain to be decoded, so that `takes` comes to the same.
        """
        tick = self._tick(seconds)
        if any(earlier < seconds and self._tick(earlier) == tick for earlier in self._coming):
            return True
        self._coming.append(seconds)
        return False

    def _tick(self, seconds: float) -> int:
        return int((seconds + _TOLERANCE_SECONDS) * self._hz)
