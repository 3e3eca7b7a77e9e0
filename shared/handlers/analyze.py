"""A client asks for the analysis of what it uploaded (M).

The pipeline starts by itself when the upload is complete, so there is mostly nothing to do but to remember how strict
moderation shall be. Only where the object is there and nobody has begun on it was its notification lost: then it is
published again. The key of the work makes a notification that was merely late harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.assets import Asset
from shared.domain.stages import AssetState, asset_state
from shared.errors import NotFound
from shared.messages import ObjectFinalised, notification_of
from shared.ports import Blobs, Bus, Documents
from shared.repositories import assets


@dataclass(frozen=True)
class Deps:
    """What asking for an analysis needs of the world. `bucket`: what the bus calls the bucket of `media`."""

    documents: Documents
    media: Blobs
    bus: Bus
    bucket: str


def request_analysis(video_id: str, deps: Deps, *, strict_mode: bool) -> AssetState:
    """Where the analysis stands. Raises `NotFound` before the upload is there. May be repeated."""
    asset = assets.find(deps.documents, video_id)
    if asset is None:
        raise NotFound("unknown_video", "There is no video of this id; POST /video/upload-url gives one.")
    state = asset_state(asset.stages)
    if state is AssetState.AWAITING_UPLOAD:
        _start(asset, deps)
        state = AssetState.PROCESSING
    if asset.strict_mode != strict_mode:
        deps.documents.commit([assets.strictness_update(asset.id, strict_mode)])
    return state


def _start(asset: Asset, deps: Deps) -> None:
    stored = deps.media.stat(asset.object_name)
    if stored is None:
        raise NotFound("not_uploaded", "The upload of this video is not complete yet; send the file first.")
    finalised = ObjectFinalised(
        bucket=deps.bucket, name=asset.object_name, generation=stored.generation, source_id=asset.source_id
    )
    deps.bus.publish(notification_of(finalised))
