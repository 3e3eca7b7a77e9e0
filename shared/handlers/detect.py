"""The second stage: score the video over time and keep the segments in which the alarming class shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from shared import ids
from shared.delivery import Consumer, Outcome, Work
from shared.domain import detections
from shared.domain.assets import Detection
from shared.domain.stages import Stage
from shared.messages import MediaDetected, MediaUploaded, decode
from shared.ports import Blobs, Detector, Documents
from shared.repositories import assets


@dataclass(frozen=True)
class Deps:
    """What detect needs of the world."""

    documents: Documents
    media: Blobs
    detector: Detector


def prepare(message: MediaUploaded, _: Deps) -> Work:
    """The piece of work of this object's generation."""
    key = ids.work_key(message.bucket, message.object_name, message.generation, Stage.DETECT)
    return Work(key, message.asset_id, Stage.DETECT)


def handle(message: MediaUploaded, deps: Deps, piece: Work) -> Outcome:
    """Streams the video through the detector. Raises `MediaUnusable`, and `NotFound` when the object is gone."""
    with deps.media.open(message.object_name, generation=message.generation) as stream:
        run = deps.detector.detect(stream)
    found = Detection(
        segments=detections.find_segments(run.windows, deps.detector.class_name),
        peak_probability=detections.peak_probability(run.windows),
        duration=run.duration,
        truncated=run.truncated,
        model=deps.detector.version,
    )
    announced = MediaDetected(
        asset_id=piece.asset_id,
        bucket=message.bucket,
        object_name=message.object_name,
        generation=message.generation,
        segments=found.segments,
        confidence=detections.confidence(found.segments),
        model=found.model,
    )
    return Outcome(
        writes=(assets.detection_update(piece.asset_id, found),),
        messages=(announced,),
        version=found.model,
    )


consumer: Consumer[MediaUploaded, Deps] = Consumer(Stage.DETECT, partial(decode, MediaUploaded), prepare, handle)
