"""Which object is an asset's, and which asset a dropped object's."""

from __future__ import annotations

from shared import ids
from shared.domain.assets import Asset, issued_asset_id
from shared.ports import BlobInfo, Blobs


def dropped_asset_id(bucket: str, name: str, generation: int) -> str:
    """The asset of a file that was dropped into the bucket, one a generation."""
    return ids.derived_uuid(bucket, name, str(generation))


def object_of(asset: Asset, media: Blobs, bucket: str) -> BlobInfo | None:
    """The asset's object. A dropped file's asset is one generation's, so another one is not its object."""
    found = media.stat(asset.object_name)
    if found is None or issued_asset_id(asset.object_name) == asset.id:
        return found
    return found if dropped_asset_id(bucket, found.name, found.generation) == asset.id else None
