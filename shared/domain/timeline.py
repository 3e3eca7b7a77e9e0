"""From the windows of one video to a curve over time, and to the moments worth a look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.domain.detections import Segment
from shared.ports import Moment, ScoredWindow

ANALYSIS_PREFIX = "analysis/"
"""What the names of objects begin with that are kept beside an upload of how it looks."""

HZ = 2
"""Entries of a timeline a second."""

MAX_MOMENTS = 24

STILLS = 12
"""Pictures that stand for a whole video."""

# Window times are sums of binary fractions: what differs by less than this is the same.
_TIME_TOLERANCE = 1e-6
_TIME_DIGITS = 6


@dataclass(frozen=True)
class Timeline:
    """One video at `HZ`; `duration` in seconds, `probabilities` as of `probabilities_over_time`.

    `contact_sheet`: whether there is one beside it.
    """

    asset_id: str
    model: str
    class_name: str
    duration: float
    truncated: bool
    probabilities: tuple[float | None, ...]
    segments: tuple[Segment, ...]
    contact_sheet: bool


def probabilities_over_time(windows: Iterable[ScoredWindow], duration: float) -> tuple[float | None, ...]:
    """Probabilities (0-1) at 2 Hz over `duration` seconds: entry k stands for [k/2, (k+1)/2), the last up to the end.

    An entry takes the probability of the window whose centre is nearest to the entry's middle, among those that cover
    that middle; of two that are equally near, the higher one. None where no window covers it: a gap, not a zero.
    Windows may have any length and order.
    """
    nearest: list[tuple[float, float] | None] = [None] * math.ceil(duration * HZ - _TIME_TOLERANCE)
    for window in windows:
        centre = (window.start + window.end) / 2
        for number in _entries_touched(window, len(nearest)):
            middle = (number / HZ + min((number + 1) / HZ, duration)) / 2
            if not window.start <= middle < window.end:
                continue
            rank = (round(abs(centre - middle), _TIME_DIGITS), -window.probability)
            held = nearest[number]
            nearest[number] = rank if held is None else min(held, rank)
    return tuple(None if rank is None else -rank[1] for rank in nearest)


def strongest_moments(windows: Sequence[ScoredWindow], segments: Sequence[Segment]) -> tuple[Moment, ...]:
    """The middle of the strongest window of each segment, in order of time; of many segments the 24 strongest.

    `segments` must have been found in `windows`.
    """
    strongest = sorted(segments, key=lambda segment: -segment.confidence)[:MAX_MOMENTS]
    return tuple(_moment(windows, segment) for segment in sorted(strongest, key=lambda segment: segment.start))


def spread_moments(
    duration: float,
    probabilities: Sequence[float | None] = (),
    segments: Sequence[Segment] = (),
    count: int = STILLS,
) -> tuple[Moment, ...]:
    """At most `count` moments that stand for a video of `duration` seconds (above 0), in order of time, without labels.

    Up to half of them are the peaks of the strongest segments, the others are spread evenly; none are nearer to each
    other than one entry of the timeline, so that a short video has fewer.
    """
    wanted = [*peaks(probabilities, segments, count // 2), *spread_evenly(duration, count)]
    return tuple(Moment(seconds, "") for seconds in apart(wanted, duration, count))


def peaks(probabilities: Sequence[float | None], segments: Sequence[Segment], count: int) -> list[float]:
    """The seconds at which the `count` strongest segments are at their highest, the strongest first."""
    strongest = sorted(segments, key=lambda segment: -segment.confidence)[:count]
    return [_peak(segment, probabilities) for segment in strongest]


def spread_evenly(duration: float, count: int) -> list[float]:
    """`count` seconds over `duration`, so ordered that what is left out for want of room leaves no end unseen."""
    spread = [(number + 0.5) * duration / count for number in range(count)]
    return [*spread[::2], *spread[1::2]]


def apart(wanted: Iterable[float], duration: float, count: int) -> tuple[float, ...]:
    """The first `count` of the wanted seconds that lie in the video, none nearer to each other than an entry; sorted.

    What comes first wins.
    """
    chosen: list[float] = []
    for seconds in wanted:
        near = any(abs(seconds - other) < 1 / HZ for other in chosen)
        if len(chosen) < count and 0 <= seconds < duration and not near:
            chosen.append(seconds)
    return tuple(sorted(chosen))


def _peak(segment: Segment, probabilities: Sequence[float | None]) -> float:
    """The middle of the segment's highest entry; of the segment itself where the timeline has none."""
    numbers = range(max(math.floor(segment.start * HZ), 0), min(math.ceil(segment.end * HZ), len(probabilities)))
    known = {number: value for number in numbers if (value := probabilities[number]) is not None}
    if not known:
        return (segment.start + segment.end) / 2
    return (max(known, key=lambda number: known[number]) + 0.5) / HZ


def _entries_touched(window: ScoredWindow, count: int) -> range:
    return range(max(math.floor(window.start * HZ), 0), min(math.ceil(window.end * HZ), count))


def _moment(windows: Sequence[ScoredWindow], segment: Segment) -> Moment:
    inside = (window for window in windows if segment.start <= window.start and window.end <= segment.end)
    peak = max(inside, key=lambda window: window.probability)
    return Moment((peak.start + peak.end) / 2, f"{peak.probability:.2f}")
