"""The message a stage waits for, made again from what is known of an asset: for a replay, or because it was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.domain import detections
from shared.domain.assets import Asset
from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.moderated import categories_of
from shared.domain.stages import Stage
from shared.messages import (
    AnnotationsFinalised,
    MediaDetected,
    MediaModerated,
    MediaUploaded,
    Message,
    ObjectFinalised,
    ReplayOrder,
)

ANY_GENERATION = 0


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
        kind=asset.kind,
        replay=replay,
    )


def _detected(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    found = asset.detection
    if found is None:
        return _passed_by(asset, generation, bucket, replay)
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


def _passed_by(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    """What detect says of a still picture."""
    if asset.kind is not MediaKind.IMAGE:
        return None
    return MediaDetected(
        asset_id=asset.id,
        bucket=bucket,
        object_name=asset.object_name,
        generation=generation,
        segments=(),
        confidence=0.0,
        model="",
        kind=asset.kind,
        replay=replay,
    )


def _annotated(asset: Asset, _: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    moderation = asset.moderation
    if moderation is None or moderation.operation is None:
        return None
    return AnnotationsFinalised(bucket=bucket, name=moderation.operation.output_name, replay=replay)


def _moderated(asset: Asset, generation: int, bucket: str, replay: ReplayOrder | None) -> Message | None:
    if asset.moderation is None or not asset.moderation.final:
        return None
    verdict = asset.moderation.verdict
    return MediaModerated(
        asset_id=asset.id,
        bucket=bucket,
        object_name=asset.object_name,
        generation=generation,
        status=verdict.status,
        rule=verdict.rule,
        score=verdict.score,
        confidence=verdict.confidence,
        reasons=verdict.reasons,
        categories=categories_of(verdict),
        profile=verdict.profile,
        profile_version=verdict.profile_version,
        replay=replay,
    )


def work_object(stage: Stage, asset: Asset) -> tuple[str, int | None]:
    """The object and generation that a stage's work is about.

    ANNOTATE's is the result of the operation, in any of its generations: an operation that is started twice writes two.
    """
    moderation = asset.moderation
    if stage is Stage.ANNOTATE and moderation is not None and moderation.operation is not None:
        return moderation.operation.output_name, ANY_GENERATION
    return asset.object_name, asset.generation


_BUILDERS: Mapping[Stage, Callable[[Asset, int, str, ReplayOrder | None], Message | None]] = {
    Stage.INGEST: _finalised,
    Stage.DETECT: _uploaded,
    Stage.CONTEXT: _detected,
    Stage.CORRELATE: _detected,
    Stage.MODERATE: _detected,
    Stage.ANNOTATE: _annotated,
    Stage.ESCALATE: _moderated,
}
