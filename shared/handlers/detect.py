"""The second stage: score the video over time, keep the segments in which the alarming class shows, announce them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain import detections
from shared.domain.stages import Stage
from shared.handlers import scoring
from shared.messages import MediaDetected, MediaUploaded, decode
from shared.repositories import assets


def prepare(message: MediaUploaded, _: scoring.Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.DETECT)


def handle(message: MediaUploaded, deps: scoring.Deps, attempt: Attempt) -> Outcome:
    """Streams the video through the detector. Raises `MediaUnusable`, and `NotFound` when the object is gone."""
    video = _video(message, attempt.asset_id)
    found = scoring.score(video, deps, attempt.report)
    announced = MediaDetected(
        asset_id=attempt.asset_id,
        bucket=message.bucket,
        object_name=message.object_name,
        generation=message.generation,
        segments=found.segments,
        confidence=detections.confidence(found.segments),
        model=found.model,
    )
    return Outcome(
        writes=(assets.detection_update(attempt.asset_id, found),),
        messages=(announced,),
        version=found.model,
    )


def _video(message: MediaUploaded, asset_id: str) -> scoring.Video:
    video = scoring.Video(asset_id, message.object_name, message.generation)
    order = message.replay
    if order is None:
        return video
    return replace(video, sensitivity=order.sensitivity, step=order.step, look=order.id)


consumer: Consumer[MediaUploaded, scoring.Deps] = Consumer(
    Stage.DETECT, partial(decode, MediaUploaded), prepare, handle
)
