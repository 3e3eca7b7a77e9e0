"""The second stage: score the video over time, keep the segments in which the alarming class shows, announce them."""

from __future__ import annotations

from functools import partial

from shared import ids
from shared.delivery import Consumer, Outcome, Work
from shared.domain import detections
from shared.domain.stages import Stage
from shared.handlers import scoring
from shared.messages import MediaDetected, MediaUploaded, decode
from shared.repositories import assets


def prepare(message: MediaUploaded, _: scoring.Deps) -> Work:
    """The piece of work of this object's generation."""
    key = ids.work_key(message.bucket, message.object_name, message.generation, Stage.DETECT)
    return Work(key, message.asset_id, Stage.DETECT)


def handle(message: MediaUploaded, deps: scoring.Deps, piece: Work) -> Outcome:
    """Streams the video through the detector. Raises `MediaUnusable`, and `NotFound` when the object is gone."""
    found = scoring.score(scoring.Video(piece.asset_id, message.object_name, message.generation), deps)
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


consumer: Consumer[MediaUploaded, scoring.Deps] = Consumer(
    Stage.DETECT, partial(decode, MediaUploaded), prepare, handle
)
