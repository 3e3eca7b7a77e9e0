"""A client asks for the analysis of what it uploaded (M).

The pipeline starts by itself when the upload is complete, so there is mostly nothing to do but to remember how strict
moderation shall be; a file that was moderated less closely is moderated again. Only where the object is there and
nobody has begun on it was its notification lost: then it is published again. So it is where the sweeper gave the file
up before it came: nobody ever claimed its work. The key of the work makes a notification that was merely late harmless.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.assets import Asset
from shared.domain.stages import AssetState, Stage, asset_state
from shared.domain.sweeping import ended_without_file
from shared.errors import NotFound
from shared.handlers import replays
from shared.handlers.objects import object_of
from shared.messages import ObjectFinalised, notification_of
from shared.ports import BlobInfo, Blobs, Bus, Clock, Documents
from shared.repositories import assets

ORDERED_BY = "POST /video/analyze"
"""Who orders a replay because a client asked for a closer look."""


@dataclass(frozen=True)
class Deps:
    """What asking for an analysis needs of the world. `bucket`: what the bus calls the bucket of `media`."""

    documents: Documents
    media: Blobs
    bus: Bus
    clock: Clock
    bucket: str


def request_analysis(video_id: str, deps: Deps, *, strict_mode: bool | None, full_look: bool = False) -> AssetState:
    """Where the analysis stands. Raises `NotFound` before the upload is there. May be repeated.

    `strict_mode` None: as strictly as was asked for with the upload.

    Raises `NotReady` when that needs a replay, and another one is under way; what was asked for is kept.
    """
    asset = assets.find(deps.documents, video_id)
    if asset is None:
        raise unknown()
    state = asset_state(asset.stages)
    stored = _not_begun(asset, state, deps)
    if stored is not None:
        _start(asset, stored, deps)
        state = AssetState.PROCESSING
    strict_mode = asset.strict_mode if strict_mode is None else strict_mode
    # A closer look at what was moderated strictly must not make its verdict milder.
    strict_mode = strict_mode or (full_look and asset.moderation is not None and asset.moderation.strict)
    if (asset.strict_mode, asset.full_look) != (strict_mode, full_look):
        deps.documents.commit([assets.closeness_update(asset.id, strict_mode, full_look)])
    _moderate_again(asset.id, strict_mode, full_look, deps)
    return state


def unknown() -> NotFound:
    """The refusal of a video that is not there."""
    return NotFound("unknown_video", "There is no video of this id; POST /video/upload-url gives one.")


def _moderate_again(asset_id: str, strict_mode: bool, full_look: bool, deps: Deps) -> None:
    """Orders, once, that a verdict which came of a less close look be given anew; never a milder one.

    Where there is none yet, its stage has read what is asked for now, or loses its race against the write of it.
    """
    moderation = assets.get(deps.documents, asset_id).moderation
    if moderation is None or (moderation.strict >= strict_mode and moderation.full_look >= full_look):
        return
    key = f"{strict_mode=} {full_look=} after {moderation.decided_at.isoformat()}"
    order = replays.Request(asset_id, Stage.MODERATE, ORDERED_BY, key)
    replays.request(order, replays.Deps(deps.documents, deps.media, deps.bus, deps.clock, deps.bucket))


def _not_begun(asset: Asset, state: AssetState, deps: Deps) -> BlobInfo | None:
    """The object that nobody has begun on; None where somebody has, or where it was given up and is not there."""
    waits = state is AssetState.AWAITING_UPLOAD
    if not waits and not ended_without_file(asset.stages):
        return None
    stored = object_of(asset, deps.media, deps.bucket)
    if stored is None and waits:
        raise NotFound("not_uploaded", "The upload of this video is not complete yet; send the file first.")
    return stored


def _start(asset: Asset, stored: BlobInfo, deps: Deps) -> None:
    finalised = ObjectFinalised(
        bucket=deps.bucket, name=asset.object_name, generation=stored.generation, source_id=asset.source_id
    )
    deps.bus.publish(notification_of(finalised))
