"""The second stage: score the video over time, keep the segments in which the alarming class shows, announce them.

The same bytes are not scored twice: what an earlier upload gave is taken over. A recording encoded anew is known as
such only once all of it was looked at (`shared/domain/likeness.py`), and then keeps the graver of both detections.

A still picture holds no motion: the stage is skipped, and says so to those that look at pictures, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from shared.delivery import Attempt, Consumer, Outcome, Work, work_for
from shared.domain import detections
from shared.domain.assets import Asset, Detection
from shared.domain.moderation.findings import MediaKind
from shared.domain.stages import STILL_IMAGE, Stage, StageState
from shared.handlers import reuse, scoring
from shared.messages import MediaDetected, MediaUploaded, decode
from shared.ports import MediaFacts, Write
from shared.repositories import assets

STILL_SENTENCE = "A still picture shows no motion, so the detector was not asked."


@dataclass(frozen=True)
class Deps:
    """What detection needs of the world."""

    scoring: scoring.Deps
    reuse: reuse.Deps


def prepare(message: MediaUploaded, _: Deps) -> Work | None:
    """The piece of work of this object's generation."""
    return work_for(message, Stage.DETECT)


def handle(message: MediaUploaded, deps: Deps, attempt: Attempt) -> Outcome:
    """Streams the video through the detector, unless its bytes were seen before.

    Raises `MediaUnusable`, and `NotFound` when the object is gone.
    """
    asset = assets.get(deps.reuse.documents, attempt.asset_id)
    # Of an object that was overwritten since, nothing is known here.
    facts = asset.facts if asset.generation == message.generation else None
    if message.kind is MediaKind.IMAGE:
        return _passed_by(message, asset, facts)
    video = _video(message)
    if facts is not None and message.replay is None:
        model = deps.scoring.detector.version
        same = reuse.take_over_same_bytes(asset, facts, model, video.sensitivity, deps.reuse)
        if same is not None and same.detection is not None:
            return _outcome(message, same.detection, (assets.seen_update(asset.id, same.seen),), same.seen.asset_id)
    scored = scoring.score(video, deps.scoring, attempt.report)
    if facts is None:
        return _outcome(message, scored.detection)
    return _compared(message, asset, facts, scored, deps.reuse)


def _passed_by(message: MediaUploaded, asset: Asset, facts: MediaFacts | None) -> Outcome:
    announced = MediaDetected(
        asset_id=message.asset_id,
        bucket=message.bucket,
        object_name=message.object_name,
        generation=message.generation,
        segments=(),
        confidence=0.0,
        model="",
        kind=message.kind,
    )
    return Outcome(
        state=StageState.SKIPPED,
        error_code=STILL_IMAGE,
        error_message=STILL_SENTENCE,
        writes=() if facts is None else (reuse.registration_of_still(asset, facts),),
        messages=(announced,),
    )


def _compared(
    message: MediaUploaded, asset: Asset, facts: MediaFacts, scored: scoring.Scored, deps: reuse.Deps
) -> Outcome:
    """What was found in the video, or in an earlier upload of the same recording; later ones will find it."""
    own = scored.detection
    seen_exactly = asset.seen_before is not None and asset.seen_before.exact
    earlier = None
    if message.replay is None and not seen_exactly:
        earlier = reuse.take_over_similar(asset, facts, own, scored.fingerprint, deps)
    if earlier is None:
        return _outcome(message, own, (reuse.registration(asset, facts, own, scored.fingerprint, deps),))
    seen = assets.seen_update(asset.id, earlier.seen)
    if earlier.detection is None:
        return _outcome(message, own, (seen, reuse.registration(asset, facts, own, scored.fingerprint, deps)))
    found = earlier.detection
    return _outcome(message, found, (seen, reuse.registration(asset, facts, found, None, deps)), earlier.seen.asset_id)


def _outcome(
    message: MediaUploaded, found: Detection, writes: tuple[Write, ...] = (), reused_from: str | None = None
) -> Outcome:
    announced = MediaDetected(
        asset_id=message.asset_id,
        bucket=message.bucket,
        object_name=message.object_name,
        generation=message.generation,
        segments=found.segments,
        confidence=detections.confidence(found.segments),
        model=found.model,
    )
    return Outcome(
        writes=(assets.detection_update(message.asset_id, found), *writes),
        messages=(announced,),
        version=found.model,
        reused_from=reused_from,
    )


def _video(message: MediaUploaded) -> scoring.Video:
    video = scoring.Video(message.asset_id, message.object_name, message.generation)
    order = message.replay
    if order is None:
        return video
    return replace(video, sensitivity=order.sensitivity, step=order.step, look=order.id)


consumer: Consumer[MediaUploaded, Deps] = Consumer(Stage.DETECT, partial(decode, MediaUploaded), prepare, handle)
