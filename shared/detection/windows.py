"""Cuts a stream of samples into overlapping windows of time, keeping no more of it than one window needs.

It must not look at the pictures.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from shared.detection.decode import Gray

WINDOW_SECONDS = 2.0
HOP_SECONDS = 0.5
# A rest shorter than this behind the last full window isn't worth a window of its own.
_REST_SECONDS = 0.1
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Window:
    """The samples with start <= time < end, in seconds; at least one. The pictures are shared, not copied."""

    start: float
    end: float
    times: tuple[float, ...]
    pictures: tuple[Gray, ...]


class Windower:
    """Windows of 2 s start at 0, 0.5, 1, ...; the video's end has one that ends there; a shorter video is one window.

    Windows without any sample (a gap in the video) are left out.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Gray]] = deque()
        self._next = 0

    def push(self, seconds: float, picture: Gray) -> Iterator[Window]:
        """Takes the next sample (times must rise) and yields the windows that are complete before it."""
        while seconds + _ROUNDING >= self._start + WINDOW_SECONDS:
            yield from self._cut(self._start, self._start + WINDOW_SECONDS)
            self._advance()
        self._samples.append((seconds, picture))

    def finish(self, end: float) -> Iterator[Window]:
        """Yields the last windows of a video that ends at `end` seconds (not before its last sample)."""
        while self._start + WINDOW_SECONDS <= end + _ROUNDING:
            yield from self._cut(self._start, self._start + WINDOW_SECONDS)
            self._advance()
        covered = self._start - HOP_SECONDS + WINDOW_SECONDS if self._next else 0.0
        if end - covered > _REST_SECONDS or not self._next:
            yield from self._cut(max(end - WINDOW_SECONDS, 0.0), end, until=math.inf)

    @property
    def _start(self) -> float:
        return self._next * HOP_SECONDS

    def _advance(self) -> None:
        self._next += 1
        # One hop more than the next window needs: the window at the video's end may begin before it.
        while self._samples and self._samples[0][0] < self._start - HOP_SECONDS - _ROUNDING:
            self._samples.popleft()

    def _cut(self, start: float, end: float, until: float | None = None) -> Iterator[Window]:
        until = end - _ROUNDING if until is None else until
        inside = [sample for sample in self._samples if start - _ROUNDING <= sample[0] < until]
        if inside:
            times, pictures = zip(*inside, strict=True)
            yield Window(start, end, times, pictures)
