"""Beacons: the places that signals come from."""

from __future__ import annotations

from shared.domain.incidents import Beacon
from shared.errors import NotFound
from shared.ports import Documents, Set
from shared.records import from_data, to_data

COLLECTION = "beacons"


def find(documents: Documents, beacon_id: str) -> Beacon | None:
    """The beacon, or None."""
    document = documents.get(COLLECTION, beacon_id)
    return None if document is None else from_data(Beacon, document.data)


def get(documents: Documents, beacon_id: str) -> Beacon:
    """The beacon; raises `NotFound`."""
    beacon = find(documents, beacon_id)
    if beacon is None:
        raise NotFound("unknown_beacon", "No such beacon.")
    return beacon


def put(documents: Documents, beacon: Beacon) -> None:
    """Creates or replaces the beacon."""
    documents.commit([Set(COLLECTION, beacon.id, to_data(beacon))])
