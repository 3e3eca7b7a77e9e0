"""The object that Video Intelligence writes: an `AnnotateVideoResponse` as JSON, of any size, read as it arrives.

Both spellings of its keys are read (`shot_annotations`, `shotAnnotations`). Memory is bounded whatever arrives: only
known keys are kept, of each kind the most confident, and names only so long. What is no JSON, is cut off, too deep or
has an endless word is refused whole: half a result must not pass for one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, BinaryIO

import ijson
from ijson.common import JSONError

from shared.adapters.google.analyser_calls import LIKELIHOODS
from shared.errors import Malformed
from shared.ports import Spotted, VideoAnnotation

KEPT = 200
"""Of explicit frames and of labels: the most confident, of labels one for each name."""
KEPT_TEXTS = 1000
"""Of texts, one for each. What is worst is seldom what is surest here, so that more are a problem that is told."""
MAX_NAME = 500
"""Characters."""
MAX_DEPTH = 64
CHUNK_BYTES = 64 << 10
MAX_WORD_BYTES = 1 << 20
"""Of one string or number. The longest real ones are lines of text."""

Path = tuple[str, ...]

_ENTRY: Path = ("annotation_results",)
_EXPLICIT: Path = (*_ENTRY, "explicit_annotation")
_SHOTS: Path = (*_ENTRY, "shot_annotations")
_TEXTS: Path = (*_ENTRY, "text_annotations")
_LABELS: tuple[Path, ...] = ((*_ENTRY, "segment_label_annotations"), (*_ENTRY, "shot_label_annotations"))

_OFFSETS = ("start_time_offset", "end_time_offset")
_SPAN: tuple[Path, ...] = (
    ("segments",),
    ("segments", "segment"),
    *(("segments", "segment", each) for each in _OFFSETS),
)

_LISTS: Mapping[Path, str] = {_SHOTS: "shots", _TEXTS: "texts", **dict.fromkeys(_LABELS, "labels")}
"""What has been evaluated when its list is there; of explicit content, frames must say something."""
_OPENED: frozenset[Path] = frozenset(
    {
        (),
        _ENTRY,
        (*_ENTRY, "error"),
        _EXPLICIT,
        (*_EXPLICIT, "frames"),
        (*_EXPLICIT, "frames", "time_offset"),
        *_LISTS,
        *((*label, "entity") for label in _LABELS),
        *((*owner, *rest) for owner in (_TEXTS, *_LABELS) for rest in _SPAN),
    }
)
"""The objects that are read, by the keys that lead to them; lists add nothing to a path. All others are skipped."""
_KEPT_VALUES = frozenset(
    {
        "code",
        "message",
        "pornography_likelihood",
        "time_offset",
        "description",
        "text",
        "confidence",
        "seconds",
        "nanos",
        *_OFFSETS,
    }
)
_NESTING = frozenset({"start_map", "start_array", "end_map", "end_array"})
_CONFIDENCES: Mapping[str, float] = {"UNLIKELY": 0.35, "POSSIBLE": 0.6, "LIKELY": 0.8, "VERY_LIKELY": 0.95}
"""The numbers that stand for the words everywhere in Sightline. What is less than UNLIKELY is not kept."""

_FAILED = "Video Intelligence could not evaluate this of the video."
_INCOMPLETE = "Video Intelligence evaluated this of a part of the video only."
_TOO_MANY = f"The video shows more than {KEPT_TEXTS} texts: those that were recognised least surely were not judged."
_LEFT_OUT = "Video Intelligence's result says nothing of this."


def read_result(stream: BinaryIO, backend: Any = ijson) -> VideoAnnotation:
    """See `VideoAnnotator.read`. `backend`: one of ijson's, by default its fastest. What the stream raises passes.

    Numbers are read as floats: that backend goes astray over a whole number of thousands of digits. Read so, it refuses
    those of more than 64 bits, which the service never writes.
    """
    events: list[tuple[str, Any]] = ijson.sendable_list()
    parser = backend.basic_parse_coro(events, use_float=True)
    reading, silent_bytes = _Reading(), 0
    try:
        while chunk := stream.read(CHUNK_BYTES):
            _feed(parser, chunk)
            silent_bytes = 0 if events else silent_bytes + len(chunk)
            if silent_bytes > MAX_WORD_BYTES:
                raise _malformed("has a word without an end")
            reading.take_all(events)
        with _json_refused():
            parser.close()
        reading.take_all(events)
    finally:
        with suppress(Exception):  # an abandoned parser complains that its document is incomplete
            parser.close()
    return reading.result()


def _feed(parser: Any, chunk: bytes) -> None:
    with _json_refused():
        parser.send(chunk)


@contextmanager
def _json_refused() -> Iterator[None]:
    try:
        yield
    except (JSONError, ArithmeticError, ValueError) as error:
        raise _malformed("is no JSON, or cut off") from error


def _malformed(what: str) -> Malformed:
    return Malformed("malformed_result", f"The result of Video Intelligence {what}.")


@dataclass
class _Best:
    """The most confident ones, at most `most` when asked, at most twice as many in between."""

    most: int = KEPT
    by_key: dict[object, Spotted] = field(default_factory=dict)
    lowest: float = -1.0

    def add(self, key: object, spotted: Spotted) -> None:
        known = self.by_key.get(key)
        if spotted.confidence <= (known.confidence if known else self.lowest):
            return
        self.by_key[key] = spotted
        if len(self.by_key) >= 2 * self.most:
            self._cut()

    def _cut(self) -> None:
        kept = sorted(self.by_key.items(), key=lambda item: (-item[1].confidence, item[1].start))[: self.most]
        self.by_key, self.lowest = dict(kept), kept[-1][1].confidence

    def all(self) -> tuple[Spotted, ...]:
        return tuple(sorted(self.by_key.values(), key=_surest)[: self.most])

    @property
    def is_cut(self) -> bool:
        """Whether there were more than are kept."""
        return self.lowest >= 0 or len(self.by_key) > self.most


def _surest(each: Spotted) -> tuple[float, float, str]:
    return -each.confidence, each.start, each.name


@dataclass
class _Open:
    """An object or list that has begun: where, and the known values of it so far; a list shares its owner's."""

    path: Path
    values: dict[str, Any]
    is_list: bool


class _Reading:
    """The result so far. Takes one event after the other."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._skipped = 0  # how deep inside of what is not read
        self._key = ""
        self._entries = 0
        self._seen: set[str] = set()
        self._seen_in_entry: set[str] = set()
        self._troubled: set[str] = set()
        self._failed = False
        self._shots = 0
        self._found = {"explicit": _Best(), "labels": _Best(), "texts": _Best(KEPT_TEXTS)}

    def take_all(self, events: list[tuple[str, Any]]) -> None:
        """Takes the parser's events, and empties the list."""
        for event, value in events:
            if not self._skipped or event in _NESTING:
                self._take(event, value)
        events.clear()

    def _take(self, event: str, value: Any) -> None:
        """One event of the parser. Raises `Malformed` for what is no object, or too deep."""
        if event in {"start_map", "start_array"}:
            self._begin(is_list=event == "start_array")
        elif event in {"end_map", "end_array"}:
            self._end()
        elif event == "map_key":
            self._key = _snake(value) if len(value) <= MAX_NAME else ""
        elif not self._open:
            raise _malformed("is no object")
        elif self._key in _KEPT_VALUES and not self._open[-1].is_list:
            self._open[-1].values[self._key] = value[:MAX_NAME] if isinstance(value, str) else value

    def result(self) -> VideoAnnotation:
        """What was found. Raises `Malformed` where the service says nothing at all."""
        if not self._entries:
            raise _malformed("holds no results")
        looked = bool(self._seen & {"explicit", "shots"})
        problems = self._problems(looked)
        return VideoAnnotation(
            explicit=self._found["explicit"].all() if "explicit" in self._seen else None,
            labels=self._found["labels"].all() if self._evaluated("labels", problems) else None,
            shots=self._shots if "shots" in self._seen else None,
            texts=self._found["texts"].all() if self._evaluated("texts", problems) else None,
            problems=problems,
        )

    def _problems(self, looked: bool) -> dict[str, str]:
        """Empty lists are not written: labels and texts may be absent where there are none, frames and shots never."""
        problems: dict[str, str] = {}
        for kind in ("explicit", "labels", "shots", "texts"):
            if kind in self._troubled:
                problems[kind] = _INCOMPLETE
            elif kind not in self._seen and self._failed:
                problems[kind] = _FAILED
            elif kind not in self._seen and not (looked and kind in {"labels", "texts"}):
                problems[kind] = _LEFT_OUT
        if self._found["texts"].is_cut:
            problems.setdefault("texts", _TOO_MANY)
        return problems

    def _evaluated(self, kind: str, problems: Mapping[str, str]) -> bool:
        return kind in self._seen or kind not in problems

    def _begin(self, *, is_list: bool) -> None:
        if len(self._open) + self._skipped >= MAX_DEPTH:
            raise _malformed("is nested too deeply")
        if not self._open and is_list:
            raise _malformed("is no object")
        path = self._child_path()
        if self._skipped or path not in _OPENED:
            self._skipped += 1
            return
        if path in _LISTS:
            self._seen_in_entry.add(_LISTS[path])
        owner = self._open[-1].values if self._open else {}
        self._open.append(_Open(path, owner if is_list else {}, is_list))

    def _child_path(self) -> Path:
        if not self._open:
            return ()
        parent = self._open[-1]
        return parent.path if parent.is_list else (*parent.path, self._key)

    def _end(self) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        ended = self._open.pop()
        if ended.is_list or not self._open:
            return
        take = _TAKERS.get(ended.path)
        if take is not None:
            take(self, ended.values, self._open[-1].values)
        else:
            self._open[-1].values[ended.path[-1]] = ended.values

    def take_entry(self, entry: Mapping[str, Any], _owner: dict[str, Any]) -> None:
        """One of the results: of one feature, or of one part of the video."""
        self._entries += 1
        error = entry.get("error", {})
        if isinstance(error, Mapping) and (_number(error.get("code")) or error.get("message")):
            self._failed = True
            self._troubled |= self._seen_in_entry
        self._seen |= self._seen_in_entry
        self._seen_in_entry = set()

    def take_shot(self, _shot: Mapping[str, Any], _owner: dict[str, Any]) -> None:
        """One shot."""
        self._shots += 1

    def take_frame(self, frame: Mapping[str, Any], _owner: dict[str, Any]) -> None:
        """One picture that was looked at for explicit content."""
        likelihood = _likelihood(frame.get("pornography_likelihood"))
        if likelihood != "UNKNOWN":
            self._seen_in_entry.add("explicit")
        if likelihood in _CONFIDENCES:
            at = _seconds(frame.get("time_offset"))
            self._found["explicit"].add(at, Spotted(likelihood, _CONFIDENCES[likelihood], at, at))

    def take_segment(self, segment: Mapping[str, Any], owner: dict[str, Any]) -> None:
        """Where a label or a text was seen. Its owner keeps the most confident one; the owner's name may come later."""
        confidence = min(max(_number(segment.get("confidence")), 0.0), 1.0)
        if "best" in owner and confidence <= owner["best"][0]:
            return
        span = segment.get("segment", {})
        start, end = (_seconds(span.get(offset)) if isinstance(span, Mapping) else 0.0 for offset in _OFFSETS)
        owner["best"] = (confidence, start, max(start, end))

    def take_label(self, label: Mapping[str, Any], _owner: dict[str, Any]) -> None:
        """One label, with all its segments."""
        entity = label.get("entity", {})
        self._add("labels", entity.get("description") if isinstance(entity, Mapping) else None, label)

    def take_text(self, text: Mapping[str, Any], _owner: dict[str, Any]) -> None:
        """One text, with all its segments."""
        self._add("texts", text.get("text"), text)

    def _add(self, kind: str, name: object, values: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not name:
            return
        readable = name.encode("utf-8", "replace").decode("utf-8")
        confidence, start, end = values.get("best", (0.0, 0.0, 0.0))
        self._found[kind].add(readable, Spotted(readable, confidence, start, end))


_TAKERS: Mapping[Path, Callable[[_Reading, Mapping[str, Any], dict[str, Any]], None]] = {
    _ENTRY: _Reading.take_entry,
    _SHOTS: _Reading.take_shot,
    (*_EXPLICIT, "frames"): _Reading.take_frame,
    _TEXTS: _Reading.take_text,
    **dict.fromkeys(_LABELS, _Reading.take_label),
    **{(*owner, "segments"): _Reading.take_segment for owner in (_TEXTS, *_LABELS)},
}
"""What to do with an object that has ended; those of other paths become a value of their owner."""


@cache
def _known_keys() -> Mapping[str, str]:
    """Both spellings of every key that is read, and how it is spelt here."""
    keys = _KEPT_VALUES | {key for path in _OPENED for key in path}
    return {spelling: key for key in keys for spelling in (key, _camel(key))}


def _snake(key: str) -> str:
    return _known_keys().get(key, "")


def _camel(key: str) -> str:
    return re.sub(r"_(.)", lambda found: found[1].upper(), key)


def _likelihood(value: object) -> str:
    """The word for a word or a number; UNKNOWN for anything else."""
    if isinstance(value, str):
        return value if value in LIKELIHOODS else "UNKNOWN"
    number = _number(value)
    return LIKELIHOODS[int(number)] if 0 <= number < len(LIKELIHOODS) else "UNKNOWN"


def _seconds(value: object) -> float:
    """A Duration, as `"1.5s"` or as `{"seconds": 1, "nanos": 500000000}`; 0 where it can't be read."""
    if isinstance(value, Mapping):
        return max(_number(value.get("seconds")) + _number(value.get("nanos")) / 1e9, 0.0)
    return max(_number(value.removesuffix("s")), 0.0) if isinstance(value, str) else 0.0


def _number(value: object) -> float:
    """A number, or one written as a string as JSON does with long ones; 0 for what is none, or has no end."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0
