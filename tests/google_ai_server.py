"""A server that speaks Vision, Natural Language, Video Intelligence and their operations, over gRPC as Google does.

Google's own client libraries talk to it (`*_ENDPOINT` is its `address`). It checks what it is asked, remembers it
(`calls`), answers by content (`see`, `moderate`, `feel`, `watch`), and fails as it is told (`fail`, `hang`, `answer`).

    with running_google_ai() as server:
        server.see = lambda jpeg: picture(adult="VERY_LIKELY", objects=[("Gun", 0.9)])
        server.fail(Method.IMAGES, grpc.StatusCode.UNAVAILABLE, times=1)
        server.watch = lambda request: Plan(result=video(labels=[("Fire", 0.8, 1.0, 2.0)]), after_polls=2)
        server.write = lambda uri, data: blobs.put(...)
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, NoReturn

import grpc
from google.cloud import language_v2 as language
from google.cloud import videointelligence_v1 as videointelligence
from google.cloud import vision_v1 as vision
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2, json_format
from google.rpc import status_pb2

WORDS = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
"""By their numbers."""
MAX_IMAGES = 16
MAX_IMAGE_BYTES = 7_500_000
"""Of all pictures of one request; as JSON that is 10 MB."""
MAX_TEXT_BYTES = 1_000_000
LANGUAGES = frozenset({"ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pt", "ru", "zh"})
"""Those that the real service knows, or most of them."""


class Method(StrEnum):
    """What can be called."""

    IMAGES = "BatchAnnotateImages"
    MODERATE = "ModerateText"
    FEEL = "AnalyzeSentiment"
    VIDEO = "AnnotateVideo"
    GET = "GetOperation"
    CANCEL = "CancelOperation"
    DELETE = "DeleteOperation"
    LIST = "ListOperations"


class Spelling(StrEnum):
    """How a result object is written: Cloud Storage gets the one, REST the other; both are seen in the wild."""

    SNAKE = "snake_case, durations as objects, likelihoods as numbers"
    CAMEL = "camelCase, durations as strings, likelihoods as names"


@dataclass(frozen=True)
class Call:
    """One request that arrived, failed ones too."""

    method: Method
    request: Any


@dataclass(frozen=True)
class Plan:
    """What becomes of an operation.

    It ends at the poll after `after_polls`, or `after_seconds` from its start, or (neither) when `finish` is called.
    `fails`: the code it ends with, and then it writes nothing. `lost`: it is unknown as soon as it has been started.
    """

    result: videointelligence.AnnotateVideoResponse = field(default_factory=lambda: video())  # noqa: PLW0108
    after_polls: int | None = None
    after_seconds: float | None = None
    fails: grpc.StatusCode | None = None
    lost: bool = False
    spelling: Spelling = Spelling.SNAKE


@dataclass
class _Running:
    plan: Plan
    output_uri: str
    polls: int = 0
    ended: bool = False
    error: int = 0


@dataclass
class _Failure:
    code: grpc.StatusCode
    message: str
    times: int | None


class GoogleAi:
    """One server; `behave` makes it new again. All its methods can be called while it runs."""

    see: Callable[[bytes], vision.AnnotateImageResponse]
    """The answer to one JPEG, cut down to the features that were asked for."""
    moderate: Callable[[str], Mapping[str, float]]
    """The confidence of each category in a text."""
    feel: Callable[[str], float]
    """The mood of a text, -1 to 1."""
    language_of: Callable[[str], str]
    """The language of a text; one that is not in `LANGUAGES` is refused by FEEL, and MODERATE does its best."""
    watch: Callable[[videointelligence.AnnotateVideoRequest], Plan]
    """What becomes of the operation that looks at a video."""
    write: Callable[[str, bytes], None]
    """Gets the `gs://` address and the JSON of each result."""

    def __init__(self) -> None:
        self.address = ""
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._timers: list[threading.Timer] = []
        self.behave()

    def behave(self) -> None:
        """Forgets calls, operations and every instruction: all is calm, and nothing fails."""
        with self._lock:
            for timer in self._timers:
                timer.cancel()
            self._timers = []
            self.calls: list[Call] = []
            self.see = lambda _jpeg: picture()
            self.moderate = lambda _text: {"Toxic": 0.01}
            self.feel = lambda _text: 0.0
            self.language_of = lambda _text: "en"
            self.watch = lambda _request: Plan()
            self.write = lambda _uri, _data: None
            self._failures: dict[Method, _Failure] = {}
            self._pauses: dict[Method, float] = {}
            self._answers: dict[Method, Any] = {}
            self._operations: dict[str, _Running] = {}
            self._numbers = itertools.count(1)

    def fail(
        self, method: Method, code: grpc.StatusCode, *, times: int | None = None, message: str = "as told"
    ) -> None:
        """Lets the next `times` calls of `method` fail (None: all)."""
        with self._lock:
            self._failures[method] = _Failure(code, message, times)

    def hang(self, method: Method, seconds: float) -> None:
        """Lets every call of `method` wait before it is answered."""
        with self._lock:
            self._pauses[method] = seconds

    def answer(self, method: Method, message: Any) -> None:
        """Lets every call of `method` be answered with exactly this message, however wrong it is."""
        with self._lock:
            self._answers[method] = message

    def called(self, method: Method) -> list[Any]:
        """The requests of one method, in order."""
        with self._lock:
            return [call.request for call in self.calls if call.method is method]

    def running(self) -> list[str]:
        """The names of the operations that have not ended."""
        with self._lock:
            return [name for name, each in self._operations.items() if not each.ended]

    def finish(self, name: str) -> None:
        """Ends an operation now, as its plan says; nothing happens if it has ended."""
        with self._lock:
            running = self._operations[name]
        self._end(running)

    def _end(self, running: _Running) -> None:
        with self._lock:
            if running.ended:
                return
            running.ended = True
            if running.plan.fails is not None:
                running.error = running.plan.fails.value[0]
                return
        self.write(running.output_uri, result_json(running.plan.result, running.plan.spelling))

    # ----------------------------------------------------------------- the services

    def annotate_images(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.IMAGES, request, context)
        if told is not None:
            return told
        size = sum(len(each.image.content) for each in request.requests)
        if not 0 < len(request.requests) <= MAX_IMAGES or size > MAX_IMAGE_BYTES:
            _refuse(context, "Request is too large, or has no images.")
        return vision.BatchAnnotateImagesResponse(responses=[self._annotate(each) for each in request.requests])

    def _annotate(self, request: vision.AnnotateImageRequest) -> vision.AnnotateImageResponse:
        if not request.features or not request.image.content:
            return unread_picture(grpc.StatusCode.INVALID_ARGUMENT, "Bad image data.")
        return _asked_for(self.see(bytes(request.image.content)), request.features)

    def moderate_text(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.MODERATE, request, context)
        if told is not None:
            return told
        text = _checked_text(request.document, context)
        spoken = self.language_of(text)
        return language.ModerateTextResponse(
            moderation_categories=[
                language.ClassificationCategory(name=name, confidence=confidence)
                for name, confidence in self.moderate(text).items()
            ],
            language_code=spoken,
            language_supported=spoken in LANGUAGES,
        )

    def analyze_sentiment(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.FEEL, request, context)
        if told is not None:
            return told
        text = _checked_text(request.document, context)
        spoken = self.language_of(text)
        if spoken not in LANGUAGES:
            _refuse(context, f"The language {spoken} is not supported for document_sentiment analysis.")
        return language.AnalyzeSentimentResponse(
            document_sentiment=language.Sentiment(score=self.feel(text), magnitude=1.0),
            language_code=spoken,
            language_supported=True,
        )

    def annotate_video(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.VIDEO, request, context)
        if told is not None:
            return told
        addresses = (request.input_uri, request.output_uri)
        if not request.features or not all(uri.startswith("gs://") for uri in addresses):
            _refuse(context, "Needs features, input_uri and output_uri.")
        plan = self.watch(request)
        with self._lock:
            name = f"projects/1/locations/us-east1/operations/{next(self._numbers)}"
            if not plan.lost:
                self._operations[name] = _Running(plan, request.output_uri)
        if plan.after_seconds is not None and not plan.lost:
            self._end_later(plan.after_seconds, name)
        return operations_pb2.Operation(name=name)

    def _end_later(self, seconds: float, name: str) -> None:
        timer = threading.Timer(seconds, self.finish, [name])
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    # ----------------------------------------------------------------- operations

    def get_operation(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.GET, request, context)
        if told is not None:
            return told
        running = self._running(request.name, context)
        with self._lock:
            due = running.plan.after_polls is not None and running.polls >= running.plan.after_polls
            running.polls += 1
        if due:
            self.finish(request.name)
        return _operation(request.name, running)

    def cancel_operation(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.CANCEL, request, context)
        if told is not None:
            return told
        running = self._running(request.name, context)
        with self._lock:
            if running.ended:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "The operation has ended.")
            running.ended, running.error = True, grpc.StatusCode.CANCELLED.value[0]
        return empty_pb2.Empty()

    def delete_operation(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.DELETE, request, context)
        if told is not None:
            return told
        self._running(request.name, context)
        with self._lock:
            del self._operations[request.name]
        return empty_pb2.Empty()

    def list_operations(self, request: Any, context: grpc.ServicerContext) -> Any:
        told = self._told(Method.LIST, request, context)
        if told is not None:
            return told
        with self._lock:
            listed = [_operation(name, running) for name, running in self._operations.items()]
        return operations_pb2.ListOperationsResponse(operations=listed)

    def _running(self, name: str, context: grpc.ServicerContext) -> _Running:
        with self._lock:
            found = self._operations.get(name)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Operation not found: {name}")
        assert found is not None
        return found

    def _told(self, method: Method, request: Any, context: grpc.ServicerContext) -> Any:
        """What was ordered for this call: a failure, a pause, an answer; None when it is answered as always."""
        with self._lock:
            self.calls.append(Call(method, request))
            failure, pause = self._failures.get(method), self._pauses.get(method, 0.0)
            if failure is not None and failure.times is not None:
                failure.times -= 1
                if failure.times == 0:
                    del self._failures[method]
            answer = self._answers.get(method)
        if pause:
            self._stopped.wait(pause)
        if failure is not None:
            context.abort(failure.code, failure.message)
        return answer

    def stop(self) -> None:
        """Wakes every call that hangs."""
        self._stopped.set()


@contextmanager
def running_google_ai() -> Iterator[GoogleAi]:
    """A server on a free port of this machine."""
    ai = GoogleAi()
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(16), options=unlimited)
    server.add_generic_rpc_handlers(_handlers(ai))
    operations_pb2_grpc.add_OperationsServicer_to_server(_Operations(ai), server)
    ai.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield ai
    finally:
        ai.stop()
        server.stop(grace=None).wait()


class _Operations(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """google.longrunning.Operations, by its names."""

    def __init__(self, ai: GoogleAi) -> None:
        self.GetOperation = ai.get_operation
        self.CancelOperation = ai.cancel_operation
        self.DeleteOperation = ai.delete_operation
        self.ListOperations = ai.list_operations


def _handlers(ai: GoogleAi) -> tuple[Any, ...]:
    def unary(call: Callable[..., Any], request: Any, response: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(call, request.deserialize, response)

    images = unary(ai.annotate_images, vision.BatchAnnotateImagesRequest, vision.BatchAnnotateImagesResponse.serialize)
    moderation = unary(ai.moderate_text, language.ModerateTextRequest, language.ModerateTextResponse.serialize)
    mood = unary(ai.analyze_sentiment, language.AnalyzeSentimentRequest, language.AnalyzeSentimentResponse.serialize)
    videos = unary(
        ai.annotate_video, videointelligence.AnnotateVideoRequest, operations_pb2.Operation.SerializeToString
    )
    services: dict[str, dict[str, Any]] = {
        "google.cloud.vision.v1.ImageAnnotator": {Method.IMAGES.value: images},
        "google.cloud.language.v2.LanguageService": {Method.MODERATE.value: moderation, Method.FEEL.value: mood},
        "google.cloud.videointelligence.v1.VideoIntelligenceService": {Method.VIDEO.value: videos},
    }
    return tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items())


# --------------------------------------------------------------------------- what it says


def picture(
    *,
    objects: Sequence[tuple[str, float]] = (),
    labels: Sequence[tuple[str, float]] = (),
    logos: Sequence[tuple[str, float]] = (),
    faces: int = 0,
    text: str = "",
    **safe_search: str,
) -> vision.AnnotateImageResponse:
    """What Vision says of one picture; a likelihood that is not given is VERY_UNLIKELY."""
    words = dict.fromkeys(("adult", "violence", "racy", "spoof", "medical"), "VERY_UNLIKELY") | safe_search
    return vision.AnnotateImageResponse(
        safe_search_annotation=vision.SafeSearchAnnotation(**{name: WORDS.index(word) for name, word in words.items()}),
        localized_object_annotations=[
            vision.LocalizedObjectAnnotation(name=name, score=score, bounding_poly=_corners(0.25, 0.25, 0.75, 0.5))
            for name, score in objects
        ],
        label_annotations=[vision.EntityAnnotation(description=name, score=score) for name, score in labels],
        logo_annotations=[
            vision.EntityAnnotation(description=name, score=score, bounding_poly=_pixels(10, 10, 20, 20))
            for name, score in logos
        ],
        face_annotations=[
            vision.FaceAnnotation(detection_confidence=0.9, bounding_poly=_pixels(0, 0, 10, 10)) for _ in range(faces)
        ],
        full_text_annotation=vision.TextAnnotation(text=text),
        text_annotations=[vision.EntityAnnotation(description=text)] if text else [],
    )


def unread_picture(code: grpc.StatusCode, message: str = "as told") -> vision.AnnotateImageResponse:
    """What Vision says of a picture that it can't look at."""
    return vision.AnnotateImageResponse(error=status_pb2.Status(code=code.value[0], message=message))


def video(
    *,
    explicit: Sequence[tuple[str, float]] = (("VERY_UNLIKELY", 0.0),),
    labels: Sequence[tuple[str, float, float, float]] = (),
    shots: int = 1,
    texts: Sequence[tuple[str, float, float, float]] = (),
) -> videointelligence.AnnotateVideoResponse:
    """What Video Intelligence says: (likelihood, second), (name, confidence, from, to), how many shots."""
    vi = videointelligence
    frames = [
        vi.ExplicitContentFrame(time_offset=_duration(at), pornography_likelihood=WORDS.index(word))
        for word, at in explicit
    ]
    results = vi.VideoAnnotationResults(
        explicit_annotation=vi.ExplicitContentAnnotation(frames=frames),
        shot_annotations=[vi.VideoSegment(end_time_offset=_duration(1.0 + number)) for number in range(shots)],
        shot_label_annotations=[
            vi.LabelAnnotation(
                entity=vi.Entity(description=name),
                segments=[vi.LabelSegment(segment=_span(start, end), confidence=confidence)],
            )
            for name, confidence, start, end in labels
        ],
        text_annotations=[
            vi.TextAnnotation(text=text, segments=[vi.TextSegment(segment=_span(start, end), confidence=confidence)])
            for text, confidence, start, end in texts
        ],
    )
    return vi.AnnotateVideoResponse(annotation_results=[results])


def result_json(result: videointelligence.AnnotateVideoResponse, spelling: Spelling) -> bytes:
    """The result object as the service writes it."""
    message = videointelligence.AnnotateVideoResponse.pb(result)
    if spelling is Spelling.CAMEL:
        return str(json_format.MessageToJson(message)).encode()
    snake = json_format.MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)
    return json.dumps(_durations_as_objects(snake)).encode()


def _durations_as_objects(value: Any) -> Any:
    if isinstance(value, list):
        return [_durations_as_objects(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _duration_object(each) if key.endswith("time_offset") else _durations_as_objects(each)
        for key, each in value.items()
    }


def _duration_object(written: str) -> dict[str, int]:
    nanos = round(float(written.removesuffix("s")) * 1e9)
    return {"seconds": nanos // 10**9, "nanos": nanos % 10**9}


def _operation(name: str, running: _Running) -> Any:
    operation = operations_pb2.Operation(name=name, done=running.ended)
    percent = 100 if running.ended else min(10 * running.polls, 90)
    progress = videointelligence.AnnotateVideoProgress(
        annotation_progress=[videointelligence.VideoAnnotationProgress(progress_percent=percent)]
    )
    operation.metadata.Pack(videointelligence.AnnotateVideoProgress.pb(progress))
    if running.error:
        operation.error.CopyFrom(status_pb2.Status(code=running.error, message="told to fail"))
    elif running.ended:
        operation.response.Pack(videointelligence.AnnotateVideoResponse.pb(running.plan.result))
    return operation


def _asked_for(
    answer: vision.AnnotateImageResponse, features: Sequence[vision.Feature]
) -> vision.AnnotateImageResponse:
    """Only what was asked for, and no more of it than asked."""
    limits = {feature.type_: feature.max_results or 10 for feature in features}
    cut = vision.AnnotateImageResponse()
    if answer.error.code:
        cut.error = answer.error
    for feature, name in _FIELDS.items():
        if feature in limits and name in answer:
            value = getattr(answer, name)
            setattr(cut, name, value[: limits[feature]] if name in _LISTS else value)
    if vision.Feature.Type.TEXT_DETECTION in limits:
        cut.full_text_annotation = answer.full_text_annotation
    return cut


_FIELDS = {
    vision.Feature.Type.SAFE_SEARCH_DETECTION: "safe_search_annotation",
    vision.Feature.Type.OBJECT_LOCALIZATION: "localized_object_annotations",
    vision.Feature.Type.LABEL_DETECTION: "label_annotations",
    vision.Feature.Type.FACE_DETECTION: "face_annotations",
    vision.Feature.Type.LOGO_DETECTION: "logo_annotations",
    vision.Feature.Type.TEXT_DETECTION: "text_annotations",
}
_LISTS = frozenset(name for name in _FIELDS.values() if name != "safe_search_annotation")


def _checked_text(document: language.Document, context: grpc.ServicerContext) -> str:
    if not document.content.strip() or len(document.content.encode()) > MAX_TEXT_BYTES:
        _refuse(context, "The document is empty or too large.")
    return str(document.content)


def _refuse(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
    raise AssertionError("abort always raises")


def _corners(left: float, top: float, right: float, bottom: float) -> vision.BoundingPoly:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return vision.BoundingPoly(normalized_vertices=[vision.NormalizedVertex(x=x, y=y) for x, y in corners])


def _pixels(left: int, top: int, right: int, bottom: int) -> vision.BoundingPoly:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return vision.BoundingPoly(vertices=[vision.Vertex(x=x, y=y) for x, y in corners])


def _span(start: float, end: float) -> videointelligence.VideoSegment:
    return videointelligence.VideoSegment(start_time_offset=_duration(start), end_time_offset=_duration(end))


def _duration(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
