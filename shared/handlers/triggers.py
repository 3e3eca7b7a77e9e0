"""The message a stage waits for, made again from what is known of an asset: for a replay, or because it was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.domain import detections
from shared.domain.assets import Asset
from shared.domain.stages import Stage
from shared.messages import MediaDetected, MediaUploaded, Message, ObjectFinalised, ReplayOrder


def trigger_of(stage: Stage, asset: Asset, bucket: str, replay: ReplayOrder | None = None) -> Message | None:
    """The message; None when the stage before left no result, or the object's generation is not known."""
    if asset.generation is None:
        return None
    return _BUILDERS[stage](asset, asset.generation, bucket, replay)


def _finalised(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    return ObjectFinalised(
        bucket=bucket, name=asset.object_name, generation=generation, source_id=asset.source_id, replay=replay
    )


def _uploaded(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    if asset.facts is None:
        return None
    return MediaUploaded(
        asset_id=asset.id,
        bucket=bucket,
        object_name=asset.object_name,
        generation=generation,
        duration=asset.facts.duration,
        replay=replay,
    )


def _detected(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    found = asset.detection
    if found is None:
        return None
    return MediaDetected(
        asset_id=asset.id,
        bucket=bucket,
        object_name=asset.object_name,
        generation=generation,
        segments=found.segments,
        confidence=detections.confidence(found.segments),
        model=found.model,
        replay=replay,
    )


_BUILDERS: Mapping[Stage, Callable[[Asset, int, str, ReplayOrder | None], Message | None]] = {
    Stage.INGEST: _finalised,
    Stage.DETECT: _uploaded,
    Stage.CONTEXT: _detected,
    Stage.CORRELATE: _detected,
}
