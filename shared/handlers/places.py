"""What an upload's `source_id` says of its place."""

from __future__ import annotations

from shared.domain.assets import Asset
from shared.domain.incidents import Place, Standing
from shared.ports import Documents
from shared.repositories import beacons

UNNAMED = Place("Unknown place", standing=Standing.UNKNOWN)


def id_of(asset: Asset) -> str:
    """Where an upload's observations belong: an upload that names no place is one of its own."""
    return asset.source_id or f"asset:{asset.id}"


def of_source(documents: Documents, source_id: str | None) -> Place:
    """The beacon of this id as a place; an id that no beacon has is a place of that name, without neighbours."""
    if source_id is None:
        return UNNAMED
    beacon = beacons.find(documents, source_id)
    return beacon.place if beacon else Place(source_id, standing=Standing.UNKNOWN)
