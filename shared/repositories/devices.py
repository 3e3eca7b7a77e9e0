"""Devices: what reports signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.devices import Device
from shared.errors import NotFound, VersionConflict
from shared.ports import Create, Delete, Documents, Filter, Query, Update
from shared.records import from_data, to_data

COLLECTION = "devices"


def find(documents: Documents, device_id: str) -> tuple[Device, str] | None:
    """The device with its version, or None."""
    document = documents.get(COLLECTION, device_id)
    return None if document is None else (from_data(Device, document.data), document.version)


def get(documents: Documents, device_id: str) -> tuple[Device, str]:
    """The device with its version; raises `NotFound`."""
    found = find(documents, device_id)
    if found is None:
        raise unknown()
    return found


def of_key(documents: Documents, key_hash: str) -> tuple[Device, str] | None:
    """The device that has this key, with its version, or None."""
    page = documents.query(Query(COLLECTION, (Filter("key_hash", "==", key_hash),)), limit=1)
    return next(((from_data(Device, document.data), document.version) for document in page.documents), None)


def listed(documents: Documents, *, limit: int, cursor: str | None) -> tuple[list[Device], str | None]:
    """A page of devices by id, and the cursor of the next page."""
    page = documents.query(Query(COLLECTION), limit=limit, cursor=cursor)
    return [from_data(Device, document.data) for document in page.documents], page.next_cursor


def create(documents: Documents, device: Device) -> None:
    """Stores a new one; raises `AlreadyExists`."""
    documents.commit([Create(COLLECTION, device.id, to_data(device))])


def change(documents: Documents, device_id: str, fields: Mapping[str, Any], version: str | None = None) -> None:
    """Replaces these fields. Raises `VersionConflict` if the device is gone or, with a version, was changed."""
    documents.commit([Update(COLLECTION, device_id, fields, version=version)])


def delete(documents: Documents, device_id: str) -> None:
    """Forgets the device; raises `NotFound`."""
    _, version = get(documents, device_id)
    try:
        documents.commit([Delete(COLLECTION, device_id, version=version)])
    except VersionConflict:
        delete(documents, device_id)  # it was changed just now, or somebody else has deleted it


def unknown() -> NotFound:
    """What is said of a device that is not there."""
    return NotFound("unknown_device", "No such device.")
