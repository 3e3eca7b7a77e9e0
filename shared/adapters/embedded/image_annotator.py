"""Looks at pictures with nothing but Python packages: text by RapidOCR, faces by a cascade of OpenCV.

Both bring their models in their wheels; nothing is ever fetched. They are imported and loaded by the first request, so
that a start stays fast. What needs more (adult content, weapons, scenes, logos) is in `unable`, never said to be clean.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.adapters.embedded.packages import Condition, installed, version_of
from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation, Seen

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
"""(height, width, 3), blue first, as OpenCV has it."""

LONGEST_SIDE = 1280
FACE_CONFIDENCE = 0.9
"""Of every face alike: 34 of 37 boxes were faces (6 of 6 in photographs, 28 of 31 in pictures of real videos), and the
cascade's own levels overlap: from 54.8 on for faces, up to 55.3 for what is none."""

# Text is looked for in a picture of this size, and read in the larger one. Smaller pictures are enlarged to it, at most
# twofold: of a receipt in a photograph of 512 pixels, 94 characters were read instead of 24.
_SEARCHED_SIDE = 960
_MOST_ENLARGED = 2.0
# A page of small print has some 100 lines, and reading each takes 10 to 200 ms.
_MOST_LINES = 200
# The text detector's grid: it can't see what is thinner.
_THINNEST = 32
# In 64 photographs and pictures of real videos it gave 26 boxes, all of them faces; the default cascade gave these but
# one, and 8 that were none or a face's second; "alt" found 25 with looser settings, "alt_tree" 13.
_CASCADE = "haarcascade_frontalface_alt2.xml"
_SCALE_STEP, _NEIGHBOURS, _SMALLEST_FACE = 1.1, 5, 30

_NEEDED: Mapping[Feature, tuple[str, ...]] = {
    Feature.TEXT: ("rapidocr", "onnxruntime", "cv2"),
    Feature.FACES: ("cv2",),
}
_UNABLE: Mapping[Feature, str] = {
    Feature.SAFE_SEARCH: "Nothing here sees what is adult, racy or violent in a picture; only Google's Vision does.",
    Feature.OBJECTS: "No analyser here recognises objects such as weapons; only Google's Vision does.",
    Feature.LABELS: "No analyser here recognises scenes; only Google's Vision does.",
    Feature.LOGOS: "No analyser here recognises logos; only Google's Vision does.",
}
_NOT_INSTALLED = "The packages that {} needs are not installed."
_WORDS: Mapping[Feature, str] = {Feature.TEXT: "reading text", Feature.FACES: "finding faces"}

_LOADING = threading.Lock()
# RapidOCR keeps no state between pictures, and a core each is faster than sharing them (its threads wait by spinning).
# A picture that is being read takes some 150 MB.
_READING = threading.BoundedSemaphore(2)
# The cascade keeps state while it looks.
_FINDING = threading.Lock()


class RapidAnnotator:
    """Implements `shared.ports.ImageAnnotator`. All instances share the loaded models."""

    def __init__(self) -> None:
        self._failing: set[Feature] = set()

    @property
    def name(self) -> str:
        """See `ImageAnnotator.name`."""
        return f"rapidocr-{version_of('rapidocr')}+opencv-{version_of('opencv-python-headless')}"

    @property
    def unable(self) -> Mapping[Feature, str]:
        """See `ImageAnnotator.unable`."""
        missing = [feature for feature in _NEEDED if self.condition(feature) == "off"]
        return {**_UNABLE, **{feature: _NOT_INSTALLED.format(_WORDS[feature]) for feature in missing}}

    def condition(self, feature: Feature) -> Condition:
        """How TEXT or FACES is, without loading it: `degraded` if it could not be loaded when it was last tried."""
        if not installed(*_NEEDED[feature]):
            return "off"
        return "degraded" if feature in self._failing else "ok"

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        """See `ImageAnnotator.annotate`; pictures are looked at one by one, so there may be any number of them.

        Raises `AnalyserFailed` (`unavailable`) when a model can't be loaded.
        """
        wanted = [feature for feature in _NEEDED if feature in features and feature not in self.unable]
        if not wanted:
            return [ImageAnnotation() for _ in frames]
        with _LOADING:
            lookers = {feature: self._looker(feature) for feature in wanted}
        try:
            return [_annotation(frame, lookers) for frame in frames]
        finally:
            _trim()(0)

    def _looker(self, feature: Feature) -> Callable[[Picture], Any]:
        """What looks for the feature, loaded with the first request."""
        try:
            looker = _LOADERS[feature]()
        except Exception as error:  # a broken package fails in whatever way it likes
            log.warning("%s can't be loaded", feature, exc_info=error)
            self._failing.add(feature)
            raise AnalyserFailed("unavailable", f"What {_WORDS[feature]} needs can't be loaded.", tries=1) from error
        self._failing.discard(feature)
        return looker


def _annotation(frame: Frame, lookers: Mapping[Feature, Callable[[Picture], Any]]) -> ImageAnnotation:
    """What was seen in one picture. None of them, however strange, costs the others."""
    try:
        picture = _decoded(frame.jpeg)
        seen = {feature: look(picture) for feature, look in lookers.items()}
    except AnalyserFailed as error:
        return ImageAnnotation(error=error)
    except Exception as error:  # the libraries fail in whatever way they like
        log.warning("a picture can't be looked at", exc_info=error)
        sentence = "This picture could not be looked at."
        return ImageAnnotation(error=AnalyserFailed("analysis_failed", sentence, tries=1))
    return ImageAnnotation(text=seen.get(Feature.TEXT), faces=seen.get(Feature.FACES))


def _decoded(jpeg: bytes) -> Picture:
    """The picture, at most `LONGEST_SIDE` pixels long. Raises `AnalyserFailed` (`unreadable_picture`)."""
    import cv2

    picture: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise AnalyserFailed("unreadable_picture", "This picture is damaged: it can't be decoded.", tries=1)
    height, width = picture.shape[:2]
    scale = min(LONGEST_SIDE / max(height, width), 1.0)
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    shown: Picture = picture
    return shown


@cache
def _load_reader() -> Callable[[Picture], str]:
    """Reads a picture: its lines from above to below, one a line."""
    import cv2
    import rapidocr

    read: Any = rapidocr.RapidOCR(params=_reading_options(Path(rapidocr.__file__).parent / "models"))

    def lines_of(picture: Picture) -> str:
        height, width = picture.shape[:2]
        below, right = max(_THINNEST - height, 0), max(_THINNEST - width, 0)
        padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
        scale = min(_SEARCHED_SIDE / max(padded.shape[:2]), _MOST_ENLARGED)
        if scale > 1:
            padded = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        with _READING:
            found = read(padded)
        return "\n".join(line.strip() for line in getattr(found, "txts", None) or ())

    return lines_of


def _reading_options(models: Path) -> dict[str, object]:
    return {
        # Critical: what it has to say is on the console, in colour, and about each picture without text.
        "Global.log_level": "critical",
        # With a path it looks for nothing; without, it would fetch what it takes for missing or changed.
        "Det.model_path": _only(models, "*_det_*.onnx"),
        "Cls.model_path": _only(models, "*_cls_*.onnx"),
        "Rec.model_path": _only(models, "*_rec_*.onnx"),
        "Det.limit_type": "max",
        "Det.limit_side_len": _SEARCHED_SIDE,
        "Det.max_candidates": _MOST_LINES,
        # A batch is padded to its longest line, which costs memory and, on few cores, wins nothing.
        "Rec.rec_batch_num": 1,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
    }


def _only(folder: Path, pattern: str) -> str:
    (found,) = folder.glob(pattern)
    return str(found)


@cache
def _load_face_finder() -> Callable[[Picture], tuple[Seen, ...]]:
    """Finds the faces that look into the camera, from 30 pixels on."""
    import cv2
    import cv2.data

    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / _CASCADE))
    if cascade.empty():
        raise FileNotFoundError(_CASCADE)

    def faces_in(picture: Picture) -> tuple[Seen, ...]:
        height, width = picture.shape[:2]
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        smallest = (_SMALLEST_FACE, _SMALLEST_FACE)
        found: Any = cascade.detectMultiScale(gray, scaleFactor=_SCALE_STEP, minNeighbors=_NEIGHBOURS, minSize=smallest)
        boxes = [[int(side) for side in box] for box in found]
        return tuple(
            Seen("face", FACE_CONFIDENCE, (left / width, top / height, wide / width, high / height))
            for left, top, wide, high in boxes
        )

    return faces_in


_LOADERS: Mapping[Feature, Callable[[], Callable[[Picture], Any]]] = {
    Feature.TEXT: _load_reader,
    Feature.FACES: _load_face_finder,
}


@cache
def _trim() -> Callable[[int], object]:
    """Gives freed memory back to the system. The networks' pictures in between leave glibc holding some 200 MB."""
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library: it does as it likes
        return lambda _: None
    return trim
