"""What a user states about a model of their own: the JSON file beside it, `<model file>.json`.

Reads it, says everything that is wrong with it at once, and compares it with what the model file itself states. It
must not run anything. The entries are described in README.md, "Your own model".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.detection.network import Shape
from shared.errors import Malformed
from shared.json_objects import read_object

RANGES: Mapping[str, tuple[float, float]] = {"0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0), "0..255": (1.0, 0.0)}
"""(factor, summand) that bring a pixel of 0-255 into the range."""

CHANNELS: Mapping[str, int] = {"gray": 1, "rgb": 3, "bgr": 3}

_MAX_SIDE = 1024
_MAX_FRAMES = 512
# One row is held as float32, some times over.
_MAX_VALUES = 32 << 20
_HOP_SECONDS = 0.5


@dataclass(frozen=True)
class Sidecar:
    """A checked sidecar.

    A pixel p (0-255) of channel c becomes `factors[c] * p + summands[c]`. `layout`: the axes of the model's input, N
    first; T and C may be missing where their size is 1. `frames` is 1 for a frame classifier. `hz`: frames a second.
    """

    kind: str
    name: str
    version: str
    height: int
    width: int
    frames: int
    color: str
    layout: str
    factors: tuple[float, ...]
    summands: tuple[float, ...]
    hz: float
    hop_seconds: float
    classes: tuple[str, ...]
    alarm: str
    output: str

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of one sample of the input, without the batch."""
        sizes = {"T": self.frames, "H": self.height, "W": self.width, "C": CHANNELS[self.color]}
        return tuple(sizes[axis] for axis in self.layout[1:])


class Draft:
    """A sidecar that may be wrong: `problems` says how, in words; `sidecar` is None if there is any."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._values: dict[str, Any] = {}
        try:
            data = read_object(path.read_bytes())
        except OSError:
            self.problems.append('it is missing; "Your own model" in README.md shows one')
        except Malformed as error:
            self.problems.append(error.sentence.rstrip("."))
        else:
            self._read(_Entries(data, self.problems))

    @property
    def sidecar(self) -> Sidecar | None:
        """The checked sidecar."""
        return None if self.problems else Sidecar(**self._values)

    def compare(self, shape: Shape, outputs: int | None) -> None:
        """Adds a problem for each disagreement with the model file's own input shape (batch first) and outputs."""
        values = self._values
        sizes = {"T": values.get("frames"), "H": values.get("height"), "W": values.get("width")}
        sizes["C"] = CHANNELS.get(values.get("color") or "")
        layout = values.get("layout")
        if layout and not _agree([sizes[axis] for axis in layout[1:]], shape[1:]):
            stated = " x ".join(["N", *(str(sizes[axis] or "?") for axis in layout[1:])])
            held = " x ".join(["N", *("any" if size is None else str(size) for size in shape[1:])])
            self.problems.append(f"input says {stated} ({layout}), but the model's own input is {held}")
        classes = values.get("classes")
        if classes and outputs is not None and not _counts_agree(len(classes), outputs):
            self.problems.append(f"classes has {len(classes)} names, but the model has {outputs} outputs")

    def _read(self, entries: _Entries) -> None:
        kind = entries.take("kind", 'must be "frame" or "clip"', _one_of("frame", "clip"))
        hz = entries.take("hz", "must be a number from 1 to 60", _between(1, 60))
        values = {"kind": kind, "hz": hz, **_read_input(entries.inner("input"), kind)}
        values["hop_seconds"] = _read_hop(entries, kind, values["frames"], hz)
        channels = CHANNELS.get(values["color"] or "")
        values["factors"], values["summands"] = _read_scaling(entries, channels)
        for name in ("name", "version"):
            values[name] = entries.take(name, "must be a text of 1 to 64 characters", _text)
        classes = entries.take("classes", "must be a list of different names", _names)
        values["classes"] = tuple(classes or ())
        values["alarm"] = entries.take(
            "alarm", "must be one of classes", lambda name: _text(name) and (not classes or name in classes)
        )
        values["output"] = entries.take(
            "output", 'must be "probabilities" or "logits"', _one_of("probabilities", "logits")
        )
        entries.finish()
        self._values = values


def _read_input(entries: _Entries, kind: str | None) -> dict[str, Any]:
    side = f"must be a whole number from 1 to {_MAX_SIDE}"
    height = entries.take("height", side, _whole(1, _MAX_SIDE))
    width = entries.take("width", side, _whole(1, _MAX_SIDE))
    frames = 1
    if kind != "frame":
        says = f"must be a whole number from 2 to {_MAX_FRAMES}"
        frames = entries.take("frames", says, _whole(2, _MAX_FRAMES), required=kind == "clip")
    color = entries.take("color", 'must be "gray", "rgb" or "bgr"', _one_of(*CHANNELS))
    axes = "HWC" if kind == "frame" else "THWC"
    example = "NHWC" if kind == "frame" else "NTHWC"
    says = (
        f'must be N and then {", ".join(axes)} in the model\'s order, such as "{example}" (C may be left out of gray)'
    )
    layout = entries.take("layout", says, lambda value: _is_layout(value, kind, color))
    if (height or 0) * (width or 0) * (frames or 0) * CHANNELS.get(color or "", 0) > _MAX_VALUES:
        entries.complain(f"holds more than {_MAX_VALUES >> 20} million values")
    entries.finish()
    return {"height": height, "width": width, "frames": frames, "color": color, "layout": layout}


def _is_layout(value: Any, kind: str | None, color: str | None) -> bool:
    if not isinstance(value, str) or value[:1] != "N":
        return False
    axes = {"frame": ["HWC"], "clip": ["THWC"]}.get(kind or "", ["HWC", "THWC"])
    allowed = axes + ([one.replace("C", "") for one in axes] if color in {None, "gray"} else [])
    return sorted(value[1:]) in [sorted(one) for one in allowed]


def _read_hop(entries: _Entries, kind: str | None, frames: int | None, hz: float | None) -> float:
    """Half a second, or a clip's length if that is shorter; a longer hop would leave parts of a video unseen."""
    if kind == "frame" or not frames or not hz:
        if kind != "frame":
            entries.skip("hop_seconds")
        return _HOP_SECONDS
    length = frames / hz
    says = f"must be a number of seconds from 0.05 to the clip's length (frames / hz = {length:.4g})"
    hop = entries.take("hop_seconds", says, _between(0.05, length), required=False)
    return float(hop) if hop is not None else min(_HOP_SECONDS, length)


def _read_scaling(entries: _Entries, channels: int | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(factors, summands), one a channel: first into the range, then less the mean, by the deviation."""
    named = ", ".join(f'"{name}"' for name in RANGES)
    says = f"must be {named}, or an object with range or scale and offset, and perhaps mean and std"
    value = entries.take("scaling", says, lambda value: isinstance(value, dict) or _one_of(*RANGES)(value))
    given = {"range": value} if isinstance(value, str) else value or {"range": "0..255"}
    inner = _Entries(given, entries.problems, "scaling.")
    factor, summand = 1.0, 0.0
    if "scale" in given:
        factor = inner.take("scale", "must be a number other than 0", lambda value: _number(value) and value != 0)
        summand = inner.take("offset", "must be a number", _number, required=False) or 0.0
    else:
        factor, summand = RANGES.get(inner.take("range", f"must be one of {named}", _one_of(*RANGES)) or "", (1, 0))
    count = channels or 3
    means, deviations = [0.0] * count, [1.0] * count
    if "mean" in given or "std" in given:
        says = f"must be a list of {channels or '1 or 3'} numbers, one a channel in the order of color"
        means = inner.take("mean", says, _numbers(channels)) or means
        deviations = inner.take("std", f"{says}, above 0", _numbers(channels, above=0)) or deviations
    inner.finish()
    pairs = list(zip(means, deviations, strict=False))
    return (
        tuple((factor or 1.0) / deviation for _, deviation in pairs),
        tuple((summand - mean) / deviation for mean, deviation in pairs),
    )


class _Entries:
    """The entries of one JSON object. Complaints go to `problems`, each with the entry's full name."""

    def __init__(self, data: Mapping[str, Any], problems: list[str], prefix: str = "") -> None:
        self._data = data
        self.problems = problems
        self._prefix = prefix
        self._known: set[str] = set()

    def take(self, key: str, says: str, valid: Callable[[Any], bool], *, required: bool = True) -> Any:
        """The value, or None if it is missing or wrong; `says` completes the sentence that begins with its name."""
        self._known.add(key)
        if key in self._data and valid(self._data[key]):
            return self._data[key]
        if key in self._data:
            self.problems.append(f"{self._prefix}{key} {says}")
        elif required:
            self.problems.append(f"{self._prefix}{key} is missing: it {says}")
        return None

    def inner(self, key: str) -> _Entries:
        """The object under `key`, empty if it isn't one."""
        value = self.take(key, "must be an object", lambda value: isinstance(value, dict), required=False)
        return _Entries(value or {}, self.problems, f"{self._prefix}{key}.")

    def skip(self, key: str) -> None:
        """Lets an entry be that can't be judged."""
        self._known.add(key)

    def complain(self, what: str) -> None:
        """About the object as a whole."""
        self.problems.append(f"{self._prefix.rstrip('.')} {what}")

    def finish(self) -> None:
        """A misspelt entry would otherwise be ignored in silence."""
        unknown = [key for key in self._data if key not in self._known]
        self.problems.extend(f'"{self._prefix}{key}" is no known entry' for key in unknown)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e9 <= value <= 1e9


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: _number(value) and low <= value <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and _between(low, high)(value)


def _numbers(count: int | None, above: float = -1e9) -> Callable[[Any], bool]:
    counts = {1, 3} if count is None else {count}
    return lambda value: (
        isinstance(value, list) and len(value) in counts and all(_number(one) and one > above for one in value)
    )


def _one_of(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in allowed


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value.strip()) > 0 and len(value) <= 64 and value.isprintable()


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text, value)) and len(set(value)) == len(value)


def _agree(stated: Sequence[int | None], held: Sequence[int | None]) -> bool:
    pairs = zip(stated, held, strict=False)
    return len(stated) == len(held) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _counts_agree(classes: int, outputs: int) -> bool:
    """One output may stand for two classes: it is the second one's."""
    return classes == outputs or (outputs == 1 and classes == 2)
