"""Beacons: the places that signals come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.domain.incidents import Beacon
from shared.errors import NotFound
from shared.ports import Create, Documents, Filter, Query, Set, Update, Write
from shared.records import from_data, to_data

COLLECTION = "beacons"
AT_ONCE = 500


def find(documents: Documents, beacon_id: str) -> Beacon | None:
    """The beacon, or None."""
    document = documents.get(COLLECTION, beacon_id)
    return None if document is None else from_data(Beacon, document.data)


def find_many(documents: Documents, beacon_ids: Iterable[str]) -> dict[str, tuple[Beacon, str]]:
    """Those of the beacons that exist, with their versions, by id."""
    wanted = list(dict.fromkeys(beacon_ids))
    found: dict[str, tuple[Beacon, str]] = {}
    for start in range(0, len(wanted), AT_ONCE):
        keys = [(COLLECTION, beacon_id) for beacon_id in wanted[start : start + AT_ONCE]]
        known = [document for document in documents.get_many(keys) if document is not None]
        found.update({document.id: (from_data(Beacon, document.data), document.version) for document in known})
    return found


def get(documents: Documents, beacon_id: str) -> Beacon:
    """The beacon; raises `NotFound`."""
    beacon = find(documents, beacon_id)
    if beacon is None:
        raise NotFound("unknown_beacon", "No such beacon.")
    return beacon


def page(
    documents: Documents, *, active: bool | None, limit: int, cursor: str | None
) -> tuple[list[Beacon], str | None]:
    """A page of beacons, by id, and the cursor of the next page."""
    where = () if active is None else (Filter("active", "==", active),)
    found = documents.query(Query(COLLECTION, where), limit=limit, cursor=cursor)
    return [from_data(Beacon, document.data) for document in found.documents], found.next_cursor


def every(documents: Documents, *, active: bool | None) -> Iterator[Beacon]:
    """All of them, by id, read page by page."""
    cursor: str | None = None
    while True:
        found, cursor = page(documents, active=active, limit=AT_ONCE, cursor=cursor)
        yield from found
        if cursor is None:
            return


def put(documents: Documents, beacon: Beacon) -> None:
    """Creates or replaces the beacon alone; its neighbours hear nothing of it."""
    documents.commit([Set(COLLECTION, beacon.id, to_data(beacon))])


def change(beacon: Beacon, version: str | None) -> Write:
    """The write that stores a beacon if nobody changed it since it was read (`version`, None: absent)."""
    if version is None:
        return Create(COLLECTION, beacon.id, to_data(beacon))
    return Update(COLLECTION, beacon.id, to_data(beacon), version=version)
