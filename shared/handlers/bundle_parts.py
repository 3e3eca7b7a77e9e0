"""What an evidence bundle consists of, part by part: texts made of documents, and stored objects that are copied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Any

from shared.domain.analysis import analysis_of
from shared.domain.assets import Asset
from shared.domain.evidence_bundles import Absence, AbsenceReason, SourceObject
from shared.domain.evidence_images import DeletedBecause, EvidenceImage
from shared.domain.incidents import Incident
from shared.domain.moderation.moderated import QuarantineState
from shared.ports import Blobs, Documents, Filter, Order, Query
from shared.records import to_data
from shared.repositories import (
    alerts,
    assets,
    deliveries,
    evidence_images,
    evidence_views,
    incident_timelines,
    incidents,
    paging,
    timelines,
)

BLOCK_BYTES = 1 << 20
_TEXT_BLOCK_BYTES = 64 << 10
_KEPT_BESIDE = (".json", ".jpg")
"""Of what lies beside an upload, timelines and contact sheets; fingerprints are no evidence."""


@dataclass(frozen=True)
class Deps:
    """Where a bundle's parts come from. `pictures` is the evidence bucket, `media` that of the uploads."""

    documents: Documents
    pictures: Blobs
    media: Blobs


@dataclass(frozen=True)
class TextPart:
    """A file that is made now."""

    path: str
    blocks: Iterable[bytes]


@dataclass(frozen=True)
class ObjectPart:
    """A stored object to be copied. `owner`: the picture's or the upload's id, to ask what became of it."""

    path: str
    source: SourceObject
    size: int
    owner: int | str


Part = TextPart | ObjectPart | Absence


def parts(incident: Incident, deps: Deps) -> Iterator[Part]:
    """The bundle of the incident as it was read, in order; each is fetched when it is taken."""
    yield TextPart("incident.json", [_json(to_data(incident))])
    yield TextPart("timeline.json", _array(_timeline(incident, deps)))
    yield TextPart("signals.json", _array(map(to_data, incidents.signals_since(deps.documents, incident.id))))
    for path, collection, order in _DOCUMENTS:
        yield TextPart(path, _array(_of_incident(collection, incident, deps, order)))
    for image in _images(incident, deps):
        yield _image(image, deps)
    for asset in assets.of_incident(deps.documents, incident.id):
        yield from _upload(asset, deps)


_DOCUMENTS = (
    ("alerts.json", alerts.COLLECTION, None),
    ("deliveries.json", deliveries.COLLECTION, None),
    ("views.json", evidence_views.COLLECTION, "id"),
    ("images.json", evidence_images.COLLECTION, "id"),
)
"""Files that hold an incident's documents of one collection, and by which field they are ordered (None: by id)."""


def again(part: ObjectPart, deps: Deps) -> ObjectPart | Absence:
    """Where the object is now, or why it is nowhere: for one that was not where it should be."""
    if isinstance(part.owner, int):
        image = evidence_images.find(deps.documents, part.owner)
        return Absence(part.path, AbsenceReason.NOT_STORED) if image is None else _image(image[0], deps)
    if part.path.startswith("media/"):
        asset = assets.find(deps.documents, part.owner)
        return Absence(part.path, AbsenceReason.NOT_STORED) if asset is None else _media(asset, deps)
    return Absence(part.path, AbsenceReason.CHANGED_MEANWHILE)


def _images(incident: Incident, deps: Deps) -> Iterator[EvidenceImage]:
    cursor: str | None = None
    while True:
        found, cursor = evidence_images.of_incident(deps.documents, incident.id, cursor=cursor)
        yield from found
        if cursor is None:
            return


def _image(image: EvidenceImage, deps: Deps) -> ObjectPart | Absence:
    path = f"images/{image.id}{_extension(image.object_name)}"
    if image.deleted_at is not None:
        erased = image.deleted_because == DeletedBecause.ERASURE
        return Absence(path, AbsenceReason.ERASED if erased else AbsenceReason.DELETED_BY_RETENTION)
    found = deps.pictures.stat(image.object_name)
    if found is None:
        return Absence(path, AbsenceReason.NOT_STORED)
    return ObjectPart(path, SourceObject("evidence", found.name, found.generation), found.size, image.id)


def _upload(asset: Asset, deps: Deps) -> Iterator[Part]:
    shown = {"analysis": analysis_of(asset), "asset": to_data(asset)}
    yield TextPart(f"analysis/{asset.id}/analysis.json", [_json(shown)])
    for found in deps.media.list(f"{timelines.PREFIX}{asset.id}/"):
        if found.name.endswith(_KEPT_BESIDE):
            source = SourceObject("media", found.name, found.generation)
            yield ObjectPart(found.name, source, found.size, asset.id)
    yield _media(asset, deps)


def _media(asset: Asset, deps: Deps) -> ObjectPart | Absence:
    path = f"media/{asset.id}{_container(asset)}"
    if asset.erased_at is not None:
        return Absence(path, AbsenceReason.ERASED)
    if asset.quarantine is QuarantineState.DELETED:
        return Absence(path, AbsenceReason.DELETED_BY_RETENTION)
    found = deps.media.stat(asset.object_name)
    if found is None or asset.generation is None:
        return Absence(path, AbsenceReason.NOT_STORED)
    if found.generation != asset.generation:
        return Absence(path, AbsenceReason.CHANGED_MEANWHILE)
    return ObjectPart(path, SourceObject("media", found.name, found.generation), found.size, asset.id)


def _container(asset: Asset) -> str:
    return f".{asset.facts.container}" if asset.facts and asset.facts.container.isalnum() else ""


def _extension(object_name: str) -> str:
    _, dot, extension = object_name.rpartition(".")
    return f".{extension}" if dot and extension.isalnum() else ""


def _timeline(incident: Incident, deps: Deps) -> Iterator[dict[str, Any]]:
    """Up to the incident as it was read: what was changed since belongs to another bundle."""
    query = Query(incident_timelines.COLLECTION, (Filter("incident_id", "==", incident.id),), (Order("number"),))
    entries = (dict(document.data) for document in paging.every(deps.documents, query))
    return takewhile(lambda entry: bool(entry["number"] <= incident.revision), entries)


def _of_incident(collection: str, incident: Incident, deps: Deps, order: str | None) -> Iterator[dict[str, Any]]:
    ordered = () if order is None else (Order(order),)
    query = Query(collection, (Filter("incident_id", "==", incident.id),), ordered)
    return (dict(document.data) for document in paging.every(deps.documents, query))


def _array(items: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A JSON array, in blocks."""
    block = bytearray(b"[")
    separator = b"\n"
    for item in items:
        block += separator + _json(item)
        separator = b",\n"
        if len(block) >= _TEXT_BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block) + b"\n]\n"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain).encode()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def partial_of(part: ObjectPart) -> Absence:
    """The note of a file whose object could not be read to its end."""
    return Absence(part.path, AbsenceReason.UNREADABLE)


def moved(part: ObjectPart, present: ObjectPart) -> ObjectPart:
    """The object where it is now, under the path it had."""
    return replace(present, path=part.path)
