"""Where the scenes of an analysed upload begin, from what the detector's look left behind. Decodes nothing."""

from __future__ import annotations

from shared.domain.assets import Asset
from shared.domain.moderation import moments
from shared.errors import NotFound
from shared.ports import Blobs, Documents
from shared.repositories import assets, timelines

# A copy leads to the upload that it was taken over from, and that one perhaps to another.
_MOST_STEPS = 3


def scenes_of(asset: Asset, documents: Documents, media: Blobs) -> tuple[float, ...] | None:
    """In seconds, the first at 0. None where that is not known: nothing was detected yet, or what is needed is gone.

    Of an upload whose detection was taken over, the scenes of the one that was looked at. Raises `Retryable`.
    """
    if asset.detection is None:
        return None
    model, looked_at = asset.detection.model, asset
    for _ in range(_MOST_STEPS):
        try:
            return moments.scene_starts(timelines.load_fingerprint(media, looked_at.id, model))
        except NotFound:
            earlier = None if looked_at.seen_before is None else assets.find(documents, looked_at.seen_before.asset_id)
        if earlier is None:
            return None
        looked_at = earlier
    return None
