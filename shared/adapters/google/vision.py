"""The `ImageAnnotator` on Google Cloud: Vision, which is asked for all pictures and features in one request.

It must not know what is made of the answer. What Vision leaves out is an error of that picture, and never "clean".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.cloud import vision_v1 as vision
from google.cloud.vision_v1.services.image_annotator.transports import ImageAnnotatorGrpcTransport

from shared.adapters.google.analyser_calls import (
    LIKELIHOODS,
    failure_of_code,
    incomplete,
    malformed,
    plain_channel,
    repeating,
    share,
    translated,
)
from shared.errors import AnalyserFailed
from shared.ports import Feature, Frame, ImageAnnotation, Seen

TIMEOUT_SECONDS = 60.0
MAX_IMAGES = 16
"""Of one request."""
MAX_BYTES = 7_000_000
"""Of the pictures of one request: as JSON, which takes a third more, it may have 10 MB."""
MAX_RESULTS = 50
"""Of each feature and picture; without it, Vision stops at ten, and a crowd would never be one."""

SERVICE = "Cloud Vision"
_SAFE_SEARCH = ("adult", "violence", "racy", "spoof", "medical")
_TYPES: Mapping[Feature, int] = {
    Feature.SAFE_SEARCH: vision.Feature.Type.SAFE_SEARCH_DETECTION,
    Feature.OBJECTS: vision.Feature.Type.OBJECT_LOCALIZATION,
    Feature.LABELS: vision.Feature.Type.LABEL_DETECTION,
    Feature.FACES: vision.Feature.Type.FACE_DETECTION,
    Feature.LOGOS: vision.Feature.Type.LOGO_DETECTION,
    Feature.TEXT: vision.Feature.Type.TEXT_DETECTION,
}
_Box = tuple[float, float, float, float]


class VisionAnnotator:
    """Implements `ImageAnnotator`. `timeout`: seconds for one request, with all its repetitions."""

    name = "vision-v1"
    unable: Mapping[Feature, str] = {}

    def __init__(self, client: vision.ImageAnnotatorClient, timeout: float = TIMEOUT_SECONDS) -> None:
        self._client = client
        self._timeout = timeout

    def annotate(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        """See `ImageAnnotator.annotate`. What is too large for one request goes in several, which fail one by one."""
        asked = tuple(dict.fromkeys(features))
        if not asked:
            return [ImageAnnotation() for _ in frames]
        answers: list[ImageAnnotation] = []
        failures: list[AnalyserFailed] = []
        batches = list(in_requests(frames))
        for batch in batches:
            try:
                answers += self._ask(batch, asked)
            except AnalyserFailed as failure:
                failures.append(failure)
                answers += [ImageAnnotation(error=failure) for _ in batch]
        if failures and len(failures) == len(batches):
            raise failures[0]
        return answers

    def _ask(self, frames: Sequence[Frame], features: Sequence[Feature]) -> list[ImageAnnotation]:
        wanted = [vision.Feature(type_=_TYPES[feature], max_results=MAX_RESULTS) for feature in features]
        requests = [
            vision.AnnotateImageRequest(image=vision.Image(content=frame.jpeg), features=wanted) for frame in frames
        ]
        with translated(SERVICE):
            reply = self._client.batch_annotate_images(
                requests=requests, retry=repeating(self._timeout), timeout=self._timeout
            )
        if len(reply.responses) > len(frames):
            raise malformed(SERVICE)
        answered = [_read(each, frame, features) for each, frame in zip(reply.responses, frames, strict=False)]
        unanswered = len(frames) - len(answered)
        return answered + [ImageAnnotation(error=incomplete(SERVICE)) for _ in range(unanswered)]


def connect(*, endpoint: str | None = None, timeout: float = TIMEOUT_SECONDS) -> VisionAnnotator:
    """Vision with the function's own credentials. `endpoint`: host:port of an emulator, asked without any."""
    if endpoint is None:
        return VisionAnnotator(vision.ImageAnnotatorClient(), timeout)
    transport = ImageAnnotatorGrpcTransport(channel=plain_channel(endpoint))
    return VisionAnnotator(vision.ImageAnnotatorClient(transport=transport), timeout)


def in_requests(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """The frames in order, as few requests as the service's limits allow; one that is too large goes alone."""
    batch: list[Frame] = []
    size = 0
    for frame in frames:
        if batch and (len(batch) == MAX_IMAGES or size + len(frame.jpeg) > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(frame)
        size += len(frame.jpeg)
    if batch:
        yield batch


def _read(reply: vision.AnnotateImageResponse, frame: Frame, features: Sequence[Feature]) -> ImageAnnotation:
    """What is filled in is right even beside an error (the service says so), what is empty then says nothing."""
    error = _error_of(reply, features)
    found = {feature: _READERS[feature](reply, frame) for feature in features}
    if error is not None:
        found = {feature: value for feature, value in found.items() if value}
    return ImageAnnotation(**{feature.value: value for feature, value in found.items()}, error=error)


def _error_of(reply: vision.AnnotateImageResponse, features: Sequence[Feature]) -> AnalyserFailed | None:
    if reply.error.code or reply.error.message:
        return failure_of_code(reply.error.code, SERVICE)
    if Feature.SAFE_SEARCH in features and "safe_search_annotation" not in reply:
        return incomplete(SERVICE)
    return None


def _safe_search(reply: vision.AnnotateImageResponse, _frame: Frame) -> Mapping[str, str] | None:
    if "safe_search_annotation" not in reply:
        return None
    return {name: _likelihood(getattr(reply.safe_search_annotation, name)) for name in _SAFE_SEARCH}


def _likelihood(value: int) -> str:
    """A number that this library does not know yet is no signal."""
    return LIKELIHOODS[value] if 0 <= value < len(LIKELIHOODS) else "UNKNOWN"


def _objects(reply: vision.AnnotateImageResponse, _frame: Frame) -> tuple[Seen, ...]:
    return tuple(
        Seen(each.name, share(each.score), _box(each.bounding_poly.normalized_vertices, 1, 1))
        for each in reply.localized_object_annotations
    )


def _labels(reply: vision.AnnotateImageResponse, _frame: Frame) -> tuple[Seen, ...]:
    return tuple(Seen(each.description, share(each.score)) for each in reply.label_annotations)


def _faces(reply: vision.AnnotateImageResponse, frame: Frame) -> tuple[Seen, ...]:
    return tuple(
        Seen("face", share(each.detection_confidence), _box(each.bounding_poly.vertices, frame.width, frame.height))
        for each in reply.face_annotations
    )


def _logos(reply: vision.AnnotateImageResponse, frame: Frame) -> tuple[Seen, ...]:
    return tuple(
        Seen(each.description, share(each.score), _box(each.bounding_poly.vertices, frame.width, frame.height))
        for each in reply.logo_annotations
    )


def _text(reply: vision.AnnotateImageResponse, _frame: Frame) -> str:
    if reply.full_text_annotation.text:
        return str(reply.full_text_annotation.text)
    return str(reply.text_annotations[0].description) if reply.text_annotations else ""


def _box(corners: Sequence[Any], width: float, height: float) -> _Box | None:
    """The rectangle around `corners`, whose coordinates go to `width` and `height`; None where there are none."""
    if not corners or width <= 0 or height <= 0:
        return None
    across = [share(corner.x / width) for corner in corners]
    down = [share(corner.y / height) for corner in corners]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


_READERS: Mapping[Feature, Callable[[vision.AnnotateImageResponse, Frame], Any]] = {
    Feature.SAFE_SEARCH: _safe_search,
    Feature.OBJECTS: _objects,
    Feature.LABELS: _labels,
    Feature.FACES: _faces,
    Feature.LOGOS: _logos,
    Feature.TEXT: _text,
}
