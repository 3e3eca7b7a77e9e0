"""The bundled model at run time: gray pictures to the motion between them, two seconds of that to a probability.

LiteRT runs the two halves of the network in batches (`training.network` makes it and says what is measured): each pair
of pictures is compared once, however many windows it lies in. A window's probability is that of the mean logit of the
window and its neighbours: what is violent is so for longer than one window, most false alarms are not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.detection.litert_file import SignatureNetwork, read_signatures
from shared.detection.scoring import Picture, PictureFormat
from shared.detection.windows import HOP_SECONDS, Window, Windower
from shared.errors import MediaUnusable, SettingsError
from shared.ports import ScoredWindow

FORMAT = 1
SIDE = 64
"""Pictures are squares of this many pixels, stretched."""

SAMPLE_HZ = 20.0
"""At most; a steady rate is divided so that the samples are evenly spaced: 15 of 30 frames a second, 12.5 of 25."""

MAX_PAIRS = 41
"""Pairs of consecutive samples in a window at most."""

SUMS = 2 * 8 * 8 * 7 + 2
"""Numbers that describe one pair."""

MAX_GAP_SECONDS = 0.22
"""Consecutive samples further apart are a gap, not motion: the slowest supported camera has 5 fps."""

_BATCH = 16
_LOGIT_LIMIT = 30.0  # probabilities beyond are 0 or 1 to all digits shown

Sums = NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """What the JSON file says. `network`: the `.tflite` file beside it. `smoothing`: windows averaged, odd.

    `rates`: rows (seconds between samples, slope, offset), rising. The network's logit times slope plus offset is what
    it would be at the rates it was mostly trained on. Interpolated between the rows; beyond them the nearest holds.
    """

    name: str
    version: str
    class_name: str
    network: str
    smoothing: int
    rates: tuple[tuple[float, float, float], ...]


class MotionModel:
    """Implements `scoring.Model` with windows of 2 s, every 0.5 s. Shared between threads."""

    def __init__(self, description: Description, network: SignatureNetwork) -> None:
        self._description = description
        self.network = network
        self.version = f"{description.name}-{description.version}"
        self.class_name = description.class_name
        self.pictures = PictureFormat(SIDE, SIDE, channels=1, hz=SAMPLE_HZ, even=True)

    def start(self) -> MotionScoring:
        """Begins a video."""
        return MotionScoring(self.network, self._description)


@dataclass(frozen=True)
class _Logit:
    start: float
    end: float
    value: float


class MotionScoring:
    """Implements `scoring.Scoring`. Keeps a batch of pictures, 2.5 s of sums and a few logits."""

    def __init__(self, network: SignatureNetwork, description: Description) -> None:
        self._network = network
        self._rates = description.rates
        self._cutter = PairWindows(network)
        self._smoother = _Smoother(description.smoothing)

    def push(self, seconds: float, picture: Picture) -> Iterable[ScoredWindow]:
        """Scores come a batch of pictures and a window late."""
        return self._scores(self._cutter.push(seconds, picture))

    def finish(self, end_seconds: float) -> Iterable[ScoredWindow]:
        """The last windows. Raises `MediaUnusable` (`too_few_pictures`) if no two pictures were close enough in time.

        Such a video, a single picture too, may show anything; it must not pass for calm.
        """
        yield from self._scores(self._cutter.finish(end_seconds))
        if not self._cutter.compared:
            raise MediaUnusable(
                "too_few_pictures",
                f"No two pictures are within {MAX_GAP_SECONDS} s of each other: too few to tell how anything moves.",
            )
        yield from self._smoother.finish()

    def _scores(self, windows: Sequence[PairWindow]) -> Iterator[ScoredWindow]:
        if not windows:
            return
        logits = self._network.run("judge", **stacked(windows))["logits"]
        for window, logit in zip(windows, logits, strict=True):
            evened = corrected(float(logit), window.gap, self._rates)
            yield from self._smoother.push(_Logit(window.start, window.end, evened))


@dataclass(frozen=True)
class PairWindow:
    """`sums` (pairs, SUMS) float32 of the pairs that lie in a window of time, at least one, at most `MAX_PAIRS`.

    `gap`: seconds between the pictures of a pair, the median.
    """

    start: float
    end: float
    sums: Sums
    gap: float


class Network(Protocol):
    """Runs `compare` and `judge`."""

    def run(self, signature: str, /, **inputs: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """The signature's outputs by name."""
        ...


class PairWindows:
    """Turns samples into windows of compared pairs, `_BATCH` samples at a time.

    Windows without two pictures that are close enough in time are left out: nothing can be said of them.
    `compared`: whether any two were so far.
    """

    def __init__(self, network: Network) -> None:
        self.compared = False
        self._seconds = -math.inf
        self._network = network
        self._windower: Windower[Sums] = Windower()
        self._last: Picture | None = None
        self._waiting: list[tuple[float, Picture]] = []

    def push(self, seconds: float, picture: Picture) -> list[PairWindow]:
        """The windows that this sample completes, mostly none."""
        self.compared = self.compared or seconds - self._seconds <= MAX_GAP_SECONDS
        self._seconds = seconds
        self._waiting.append((seconds, picture))
        return self._flush() if len(self._waiting) == _BATCH else []

    def finish(self, end_seconds: float) -> list[PairWindow]:
        """The last windows."""
        return [*self._flush(), *_pairs_of(self._windower.finish(end_seconds))]

    def _flush(self) -> list[PairWindow]:
        if not self._waiting:
            return []
        later = np.stack([picture for _, picture in self._waiting])
        before = later[:1] if self._last is None else self._last[None]
        compared = self._network.run("compare", earlier=np.concatenate([before, later[:-1]]), later=later)["sums"]
        self._last = later[-1]
        times, self._waiting = [seconds for seconds, _ in self._waiting], []
        return [
            window
            for seconds, sums in zip(times, compared, strict=True)
            for window in _pairs_of(self._windower.push(seconds, sums))
        ]


def _pairs_of(windows: Iterable[Window[Sums]]) -> Iterator[PairWindow]:
    """Each sample carries the pair that it ends; the first one's began before the window."""
    for window in windows:
        gaps = np.diff(np.asarray(window.times))
        whole = np.flatnonzero(gaps <= MAX_GAP_SECONDS)[:MAX_PAIRS]
        if len(whole):
            sums = np.stack([window.values[at + 1] for at in whole])
            yield PairWindow(window.start, window.end, sums, float(np.median(gaps[whole])))


def corrected(logit: float, gap: float, rates: Sequence[tuple[float, float, float]]) -> float:
    """`logit` as it would be at the rates trained on, see `Description.rates`."""
    gaps, slopes, offsets = zip(*rates, strict=True)
    return float(np.interp(gap, gaps, slopes) * logit + np.interp(gap, gaps, offsets))


def stacked(windows: Sequence[PairWindow]) -> dict[str, NDArray[np.float32]]:
    """Inputs of `judge`: `sums` (windows, MAX_PAIRS, SUMS), `present` (windows, MAX_PAIRS); zeros behind the pairs."""
    sums = np.zeros((len(windows), MAX_PAIRS, SUMS), np.float32)
    present = np.zeros((len(windows), MAX_PAIRS), np.float32)
    for row, window in enumerate(windows):
        sums[row, : len(window.sums)] = window.sums
        present[row, : len(window.sums)] = 1
    return {"sums": sums, "present": present}


class _Smoother:
    """Averages each logit with as many neighbours on both sides as there are, never across windows left out."""

    def __init__(self, width: int) -> None:
        self._reach = width // 2
        self._known: list[_Logit] = []
        self._done = 0

    def push(self, logit: _Logit) -> Iterator[ScoredWindow]:
        if self._known and logit.start - self._known[-1].start > HOP_SECONDS + 1e-6:
            yield from self.finish()
        self._known.append(logit)
        if len(self._known) - self._done > self._reach:
            yield self._next()

    def finish(self) -> Iterator[ScoredWindow]:
        while self._done < len(self._known):
            yield self._next()
        self._known, self._done = [], 0

    def _next(self) -> ScoredWindow:
        at = self._done
        mean = np.mean([logit.value for logit in self._known[max(0, at - self._reach) : at + self._reach + 1]])
        scored = ScoredWindow(self._known[at].start, self._known[at].end, _probability(float(mean)))
        self._done += 1
        if self._done > self._reach:  # what lies further back is needed no more
            del self._known[0]
            self._done -= 1
        return scored


def smoothed(logits: Iterable[float], width: int) -> list[float]:
    """The probabilities of consecutive windows without a gap, as a video's scoring gives them."""
    smoother = _Smoother(width)
    found = [scored for at, value in enumerate(logits) for scored in smoother.push(_Logit(at / 2, at / 2 + 2, value))]
    return [scored.probability for scored in (*found, *smoother.finish())]


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -_LOGIT_LIMIT), _LOGIT_LIMIT)))


def read_motion_model(path: Path) -> MotionModel:
    """The model that the JSON file at `path` describes. Raises `SettingsError`, saying what is wrong with it."""
    description = _description(path)
    return MotionModel(description, read_signatures(path.with_name(description.network), ("compare", "judge")))


def write_description(description: Description, heads: Mapping[str, Any], path: Path) -> None:
    """Writes what `read_motion_model` reads, and `heads`: the trained numbers, to build the network again from."""
    content = {"format": FORMAT, **asdict(description), "heads": heads}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _description(path: Path) -> Description:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The model {path.name} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"The model {path.name} is not JSON.") from error
    problem = _problem(data)
    if problem:
        raise SettingsError(f"The model {path.name} can't be used: {problem}.")
    rates = tuple((float(gap), float(slope), float(offset)) for gap, slope, offset in data["rates"])
    return Description(**{name: data[name] for name in (*_TEXTS, "smoothing")}, rates=rates)


_TEXTS = ("name", "version", "class_name", "network")


def _problem(data: Any) -> str | None:
    """What keeps the decoded JSON from being a model's description, or None."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return f'it is not an object with "format": {FORMAT}'
    if wrong := [name for name in _TEXTS if not isinstance(data.get(name), str) or not data[name]]:
        return f"{', '.join(wrong)} must be text"
    if Path(data["network"]).name != data["network"]:
        return "network must be the name of a file beside it"
    smoothing = data.get("smoothing")
    if not isinstance(smoothing, int) or isinstance(smoothing, bool) or not 1 <= smoothing <= 9 or smoothing % 2 == 0:
        return "smoothing must be an odd number from 1 to 9"
    return None if _are_rates(data.get("rates")) else "rates must be rows of three numbers, the first ones rising"


def _are_rates(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(row, list) and len(row) == 3 for row in value):
        return False
    numbers = [number for row in value for number in row]
    plain = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    return plain and bool(np.isfinite(numbers).all()) and all(a[0] < b[0] for a, b in pairwise(value))
