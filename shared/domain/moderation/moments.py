"""At which moments a video is looked at: where the detector is surest, then once a scene, then evenly spread.

Scenes are told from the fingerprint that the detector's look leaves behind (`DetectionRun.fingerprint`), so that
nothing is decoded for it. It has two pictures a second, each the mean of half a second: a scene that lasts less than a
second is not seen as one. The limits were measured with real recordings put one behind the other: of 300 cuts 290 are
found. A car that fills the picture or a camera thrown about is taken for a cut now and then, which costs nothing but
one more picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.domain import timeline
from shared.domain.detections import Segment
from shared.ports import FINGERPRINT_HZ, FINGERPRINT_SIDE

MOST_FRAMES = 10

SHOT_WITNESS = "scenes-2hz"
"""Who counts shots by these scenes: of shots shorter than a second, fewer than there are."""

NEAR_SECONDS = 1.51
"""A picture this near stands for its moment; those who take pictures take none that is further off than 1.5 s."""

LEAST_CHANGE = 16.0
"""Gray levels (0-255), the mean over the picture. A fingerprint too still to be kept (`likeness.LEAST_MOVEMENT`) has no
cut by this measure, so that one scene is what is true of it."""

_TIMES_USUAL = 3.0
# Four seconds to either side: what changes all the time there is the camera, or the light.
_NEIGHBOURS = 8
# So that cuts themselves, up to every second slot, are not what is usual.
_USUAL_PERCENTILE = 25


def frame_moments(
    duration: float,
    probabilities: Sequence[float | None],
    segments: Sequence[Segment],
    count: int = MOST_FRAMES,
    scenes: Sequence[float] = (),
) -> tuple[float, ...]:
    """At most `count` moments (seconds, in order) of a video of `duration` seconds (above 0); a short one has fewer.

    Up to half are the peaks of the strongest segments, then come the middles of the longest of `scenes` (where each
    begins, as of `scene_starts`) that have none yet, then what is spread evenly.
    """
    peaks = timeline.peaks(probabilities, segments, count // 2)
    wanted = [*peaks, *_unseen(scenes, duration, peaks), *timeline.spread_evenly(duration, count)]
    return timeline.apart(wanted, duration, count)


def without_picture(moments: Sequence[float], shown: Sequence[float | None]) -> int:
    """How many of the moments no picture is near that could be taken: nobody saw what is there."""
    times = [time for time in shown if time is not None]
    return sum(all(abs(moment - time) > NEAR_SECONDS for time in times) for moment in moments)


def scene_starts(fingerprint: bytes) -> tuple[float, ...]:
    """Where each scene begins, in seconds; the first at 0.

    A cut is where everything of the second before differs from everything of the second after, by far more than is
    usual around it: a flash, a flicker or a shaking camera is none, a slow fade mostly none. No two are nearer than a
    second.
    """
    changes = _changes(fingerprint)
    cuts: list[int] = []
    for slot in np.flatnonzero(changes >= LEAST_CHANGE):
        around = changes[max(slot - _NEIGHBOURS, 0) : slot + _NEIGHBOURS + 1]
        stands_out = changes[slot] >= _TIMES_USUAL * np.percentile(around, _USUAL_PERCENTILE)
        highest = changes[slot] >= changes[max(slot - 1, 0) : slot + 2].max()
        if stands_out and highest and (not cuts or slot - cuts[-1] > 1):
            cuts.append(int(slot))
    return (0.0, *(slot / FINGERPRINT_HZ for slot in cuts))


def _unseen(scenes: Sequence[float], duration: float, seen: Sequence[float]) -> list[float]:
    """The middles of the scenes without one of the `seen` moments, the longest scene first; none of a single scene."""
    if len(scenes) < 2:
        return []
    stretches = [(start, end) for start, end in pairwise([*scenes, duration]) if start < end]
    left = [each for each in stretches if not any(each[0] <= moment < each[1] for moment in seen)]
    return [(start + end) / 2 for start, end in sorted(left, key=lambda each: each[0] - each[1])]


def _changes(fingerprint: bytes) -> NDArray[np.float64]:
    """For each slot, how far the two before it are from it and the next: the least mean difference of any two.

    0 for the first two slots and the last one, which have no second before or after them.
    """
    cells = FINGERPRINT_SIDE**2
    slots = np.frombuffer(fingerprint, np.uint8, len(fingerprint) // cells * cells).reshape(-1, cells).astype(np.int16)
    changes = np.zeros(len(slots))
    if len(slots) >= 4:
        apart = [_difference(slots, distance) for distance in (1, 2, 3)]
        inner = np.arange(2, len(slots) - 1)
        pairs = [apart[0][inner - 1], apart[1][inner - 2], apart[1][inner - 1], apart[2][inner - 2]]
        changes[inner] = np.minimum.reduce(pairs)
    return changes


def _difference(slots: NDArray[np.int16], distance: int) -> NDArray[np.float64]:
    """Entry k: the mean difference of the cells of slots k and k + `distance`."""
    means: NDArray[np.float64] = np.abs(slots[distance:] - slots[:-distance]).mean(axis=1)
    return means
