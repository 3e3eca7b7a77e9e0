"""Cuts a stream of samples into overlapping windows of time, keeping no more of it than one window needs.

It must not look at what is sampled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

WINDOW_SECONDS = 2.0
HOP_SECONDS = 0.5
# A rest shorter than this behind the last full window isn't worth a window of its own.
_REST_SECONDS = 0.1
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Window(Generic[T]):
    """The samples with start <= time < end, in seconds; at least one. The values are shared, not copied."""

    start: float
    end: float
    times: tuple[float, ...]
    values: tuple[T, ...]


class Windower(Generic[T]):
    """Windows start at 0, 0.5, 1, ... (the hop); the video's end has one that ends there; a shorter video is one.

    Windows without any sample (a gap in the video) are left out. `hop` is no longer than `length`, both in seconds.
    """

    def __init__(self, length: float = WINDOW_SECONDS, hop: float = HOP_SECONDS) -> None:
        self._length = length
        self._hop = hop
        self._samples: deque[tuple[float, T]] = deque()
        self._next = 0

    def push(self, seconds: float, value: T) -> Iterator[Window[T]]:
        """Takes the next sample (times must rise) and yields the windows that are complete before it."""
        while seconds + _ROUNDING >= self._start + self._length:
            yield from self._cut(self._start, self._start + self._length)
            self._advance()
        self._samples.append((seconds, value))

    def finish(self, end: float) -> Iterator[Window[T]]:
        """Yields the last windows of a video that ends at `end` seconds (not before its last sample)."""
        while self._start + self._length <= end + _ROUNDING:
            yield from self._cut(self._start, self._start + self._length)
            self._advance()
        covered = self._start - self._hop + self._length if self._next else 0.0
        if end - covered > _REST_SECONDS or not self._next:
            yield from self._cut(max(end - self._length, 0.0), end, until=math.inf)

    @property
    def _start(self) -> float:
        return self._next * self._hop

    def _advance(self) -> None:
        self._next += 1
        # One hop more than the next window needs: the window at the video's end may begin before it.
        while self._samples and self._samples[0][0] < self._start - self._hop - _ROUNDING:
            self._samples.popleft()

    def _cut(self, start: float, end: float, until: float | None = None) -> Iterator[Window[T]]:
        until = end - _ROUNDING if until is None else until
        inside = [sample for sample in self._samples if start - _ROUNDING <= sample[0] < until]
        if inside:
            times, values = zip(*inside, strict=True)
            yield Window(start, end, times, values)
