"""The `VideoAnnotator` on Google Cloud: Video Intelligence, which reads the video in place and writes an object.

Nothing here waits: an operation is started, and its result object arrives later as an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from google.api_core.exceptions import FailedPrecondition, NotFound
from google.cloud import videointelligence_v1 as videointelligence
from google.cloud.videointelligence_v1.services.video_intelligence_service.transports import (
    VideoIntelligenceServiceGrpcTransport,
)

from shared.adapters.google.analyser_calls import (
    ONCE,
    failure_of_code,
    plain_channel,
    repeating,
    share,
    translated,
)
from shared.adapters.google.video_results import read_result
from shared.buckets import Buckets
from shared.errors import AnalyserFailed
from shared.ports import Operation, OperationState, VideoAnnotation

START_SECONDS = 60.0
LOOK_SECONDS = 20.0
START_PAUSES: Mapping[str, float] = {"initial": 1.0, "maximum": 120.0, "multiplier": 2.5}
"""Of the library's own policy for starting; all other calls have `repeating`'s."""
SERVICE = "Video Intelligence"

_FEATURES = (
    videointelligence.Feature.EXPLICIT_CONTENT_DETECTION,
    videointelligence.Feature.LABEL_DETECTION,
    videointelligence.Feature.SHOT_CHANGE_DETECTION,
    videointelligence.Feature.TEXT_DETECTION,
)
_WILDCARDS = frozenset("*?")


@dataclass(frozen=True)
class VideoIntelligence:
    """Implements `VideoAnnotator` for objects in `buckets`. The timeouts are seconds for all tries of a call."""

    client: videointelligence.VideoIntelligenceServiceClient
    buckets: Buckets
    start_timeout: float = START_SECONDS
    look_timeout: float = LOOK_SECONDS
    name: str = field(default="video-intelligence-v1", init=False)

    def start(self, object_name: str, output_name: str) -> str:
        """See `VideoAnnotator.start`. A name with a wildcard is refused: the service would look at other videos too."""
        if _WILDCARDS & {*object_name, *output_name}:
            raise AnalyserFailed("unsafe_object_name", f"{SERVICE} takes this name for several.", tries=ONCE)
        request = videointelligence.AnnotateVideoRequest(
            input_uri=self.buckets.uri(object_name),
            output_uri=self.buckets.uri(output_name),
            features=_FEATURES,
            video_context=videointelligence.VideoContext(
                label_detection_config=videointelligence.LabelDetectionConfig(
                    label_detection_mode=videointelligence.LabelDetectionMode.SHOT_MODE
                )
            ),
        )
        policy = repeating(self.start_timeout, **START_PAUSES)
        with translated(SERVICE):
            started = self.client.annotate_video(request=request, retry=policy, timeout=self.start_timeout)
        return str(started.operation.name)

    def look_up(self, operation: str) -> Operation:
        """See `VideoAnnotator.look_up`."""
        try:
            with translated(SERVICE):
                found = self._operations.get_operation(
                    operation, retry=repeating(self.look_timeout), timeout=self.look_timeout
                )
        except AnalyserFailed as failure:
            if isinstance(failure.__cause__, NotFound):
                return Operation(operation, OperationState.LOST)
            raise
        return _read(operation, found)

    def cancel(self, operation: str) -> None:
        """See `VideoAnnotator.cancel`."""
        try:
            with translated(SERVICE):
                self._operations.cancel_operation(
                    operation, retry=repeating(self.look_timeout), timeout=self.look_timeout
                )
        except AnalyserFailed as failure:
            if not isinstance(failure.__cause__, NotFound | FailedPrecondition):
                raise

    def read(self, stream: BinaryIO) -> VideoAnnotation:
        """See `VideoAnnotator.read`."""
        return read_result(stream)

    @property
    def _operations(self) -> Any:
        """Google's `OperationsClient`, which carries no types."""
        return self.client.transport.operations_client


def connect(
    buckets: Buckets,
    *,
    endpoint: str | None = None,
    start_timeout: float = START_SECONDS,
    look_timeout: float = LOOK_SECONDS,
) -> VideoIntelligence:
    """Video Intelligence with the function's own credentials. `endpoint`: host:port of an emulator, without any."""
    if endpoint is None:
        client = videointelligence.VideoIntelligenceServiceClient()
    else:
        transport = VideoIntelligenceServiceGrpcTransport(channel=plain_channel(endpoint))
        client = videointelligence.VideoIntelligenceServiceClient(transport=transport)
    return VideoIntelligence(client, buckets, start_timeout, look_timeout)


def _read(name: str, found: Any) -> Operation:
    if not found.done:
        return Operation(name, OperationState.RUNNING, _progress(found.metadata))
    if not found.HasField("error"):
        return Operation(name, OperationState.SUCCEEDED, 1.0)
    failure = failure_of_code(found.error.code, SERVICE)
    return Operation(name, OperationState.FAILED, _progress(found.metadata), failure.code, failure.sentence)


def _progress(metadata: Any) -> float:
    """0-1: each feature reports its own, and all have the same weight. 0 where nothing is said."""
    progress = videointelligence.AnnotateVideoProgress.pb()()
    if not metadata.Is(progress.DESCRIPTOR):
        return 0.0
    metadata.Unpack(progress)
    reported = [each.progress_percent for each in progress.annotation_progress]
    return share(sum(reported) / len(reported) / 100) if reported else 0.0
