"""A day of a fleet of cameras, second by second: what arrives, what the functions keep up with, what waits.

Clips arrive by chance, more of them in the evening, and once a day a storm: many cameras record in one minute (a power
cut, a thunderstorm). Each stage works off what the stage before it finished, at most as fast as its instances allow;
the rest waits in its subscription. Pure: the same fleet and seed give the same day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra import topology

DAY = 86_400
UPSTREAM: Mapping[str, str | None] = {
    "ingest": None,
    "detect": "ingest",
    "context": "detect",
    "correlate": "detect",
    "moderate": "detect",
    "escalate": "moderate",
}
"""Whose finished work each stage works on; the order is that of the pipeline."""


@dataclass(frozen=True)
class Fleet:
    """What is assumed of cameras and people; every figure may be set on the command line or here.

    `clips_a_day` of one camera, which records on motion. `violent`, `doubtful` and `with_text`: shares of clips, 0-1.
    `signals_a_day` of one camera's own analytics; `pictured`: the share of them with a picture. `storm`: the share of
    cameras that record in one and the same minute, once a day. `evening`: how many times the mean rate the busiest hour
    sees. `cameras_a_screen`: one operator's open page for so many cameras; it reads the list every `refresh` seconds.
    `kept_days`: how long clips are kept.
    """

    cameras: int
    clips_a_day: float = 24.0
    clip_seconds: float = 30.0
    clip_megabytes: float = 7.5
    violent: float = 0.002
    doubtful: float = 0.01
    with_text: float = 0.3
    signals_a_day: float = 0.1
    pictured: float = 0.5
    storm: float = 0.05
    evening: float = 2.0
    cameras_a_screen: int = 200
    refresh: float = 30.0
    kept_days: float = 30.0

    @property
    def clips(self) -> float:
        """Expected clips of a day."""
        return self.cameras * (self.clips_a_day + self.storm)

    @property
    def signals(self) -> float:
        """Expected signals of a day."""
        return self.cameras * self.signals_a_day

    @property
    def screens(self) -> int:
        """Open pages of operators, day and night."""
        return max(1, math.ceil(self.cameras / self.cameras_a_screen))


@dataclass(frozen=True)
class Line:
    """How one stage got on. `needed`: instances at the busiest minute if there were enough of them.

    `waiting`: the longest queue, in clips. `delay`: the longest wait in it, in seconds.
    """

    function: str
    allowed: int
    needed: float
    waiting: float
    delay: float


@dataclass(frozen=True)
class Day:
    """What a day was like. `arrivals`: clips, shape (86,400,), one a second."""

    fleet: Fleet
    arrivals: NDArray[np.float64]
    lines: tuple[Line, ...]
    finished: Mapping[str, NDArray[np.float64]] = field(repr=False)

    @property
    def peak_second(self) -> float:
        """The most clips in a second, as a mean over the busiest ten."""
        return float(_means(self.arrivals, 10).max())

    @property
    def peak_minute(self) -> float:
        """The most clips in a minute."""
        return float(_means(self.arrivals, 60).max() * 60)

    @property
    def delay(self) -> float:
        """The longest that a clip waited in queues, of all its stages together, in seconds; an upper bound."""
        return sum(line.delay for line in self.lines)


def arrivals(fleet: Fleet, seed: int = 7) -> NDArray[np.float64]:
    """Clips that arrive in each second of a day; shape (86,400,)."""
    random = np.random.default_rng(seed)
    hour = np.arange(DAY) / 3600
    curve = 1 + (fleet.evening - 1) * np.cos((hour - 20) / 24 * 2 * np.pi)
    rate = fleet.cameras * fleet.clips_a_day / DAY * np.clip(curve, 0.05, None)
    rate *= fleet.cameras * fleet.clips_a_day / max(float(rate.sum()), 1e-12)
    found = random.poisson(rate).astype(np.float64)
    began = 20 * 3600  # at the busiest hour, so that it hurts
    found[began : began + 60] += random.poisson(fleet.cameras * fleet.storm / 60, 60)
    return found


def simulate(fleet: Fleet, seconds: Mapping[str, float], declared: topology.Topology, seed: int = 7) -> Day:
    """The day. `seconds`: how long each stage works on one clip."""
    arrived = arrivals(fleet, seed)
    finished: dict[str, NDArray[np.float64]] = {}
    lines = []
    for name, upstream in UPSTREAM.items():
        function = declared.functions[name]
        came = arrived if upstream is None else finished[upstream]
        rate = function.max_instances * function.concurrency / seconds[name]
        finished[name], queue = work_off(came, rate)
        demanded = float(_means(came, 60).max()) * seconds[name] / function.concurrency
        lines.append(Line(name, function.max_instances, demanded, float(queue.max()), float(queue.max()) / rate))
    return Day(fleet, arrived, tuple(lines), finished)


def work_off(came: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is finished in each second at no more than `rate` a second, and what waits at its end; shapes as `came`."""
    owed = np.cumsum(came - rate)
    waiting = owed - np.minimum.accumulate(np.minimum(owed, 0.0))
    return came - np.diff(waiting, prepend=0.0), waiting


def _means(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means over each `window` seconds in a row."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[window:] - sums[:-window]) / window
    return means
