"""Records of the pictures that came with signals; the pictures themselves lie in the evidence bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.domain.evidence_images import MAX_IMAGES, DeletedBecause, EvidenceImage
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "evidence_images"
EVENTS_AT_ONCE = 30
"""As many as one query may name."""


def creation(image: EvidenceImage) -> Create:
    """The write that stores a record."""
    return Create(COLLECTION, str(image.id), to_data(image))


def find(documents: Documents, image_id: int) -> tuple[EvidenceImage, str] | None:
    """The record with its version, or None."""
    document = documents.get(COLLECTION, str(image_id))
    return None if document is None else (from_data(EvidenceImage, document.data), document.version)


STORED = Query(COLLECTION, (Filter("stored", "==", True),), (Order("uploaded_at"),))
"""Pictures whose files may still be there, the oldest first."""


def image_of(document: Document) -> EvidenceImage:
    """The record in a document."""
    return from_data(EvidenceImage, document.data)


def deletion(image: EvidenceImage, version: str, now: datetime, because: DeletedBecause) -> Update:
    """The write that decides that the file is to be deleted, if the record is as it was read."""
    return Update(COLLECTION, str(image.id), {"deleted_at": now, "deleted_because": because.value}, version=version)


def erasure(image: EvidenceImage, version: str, now: datetime) -> Update:
    """The write that decides that the file is to be deleted and removes the description, if it is as it was read."""
    decided = deletion(image, version, image.deleted_at or now, DeletedBecause.ERASURE)
    return Update(COLLECTION, decided.id, {**decided.data, "description": ""}, version=version)


def removal(image_id: int) -> Update:
    """The write that says that the file is deleted."""
    return Update(COLLECTION, str(image_id), {"stored": False})


def of_incident(
    documents: Documents, incident_id: str, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[EvidenceImage], str | None]:
    """A page of an incident's pictures, the oldest first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("incident_id", "==", incident_id),), (Order("id"),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(EvidenceImage, document.data) for document in page.documents], page.next_cursor


def since(documents: Documents, incident_id: str, moment: datetime | None, batch: int) -> Iterator[EvidenceImage]:
    """The incident's pictures from a moment on, or all, the oldest first, read in batches as they are asked for."""
    where = (Filter("incident_id", "==", incident_id), *paging.since_filter("uploaded_at", moment))
    query = Query(COLLECTION, where, (Order("uploaded_at"),))
    return (from_data(EvidenceImage, document.data) for document in paging.every(documents, query, page=batch))


def of_ai_events(documents: Documents, ai_event_ids: Sequence[int]) -> dict[int, list[EvidenceImage]]:
    """The pictures that came with each of these, in the order they were sent."""
    found: dict[int, list[EvidenceImage]] = {ai_event_id: [] for ai_event_id in ai_event_ids}
    for start in range(0, len(ai_event_ids), EVENTS_AT_ONCE):
        wanted = Filter("ai_event_id", "in", list(ai_event_ids[start : start + EVENTS_AT_ONCE]))
        page = documents.query(Query(COLLECTION, (wanted,)), limit=EVENTS_AT_ONCE * MAX_IMAGES)
        for image in sorted((from_data(EvidenceImage, each.data) for each in page.documents), key=lambda each: each.id):
            found[image.ai_event_id].append(image)
    return found


def exist(documents: Documents, image_ids: Sequence[int]) -> set[int]:
    """Those of the pictures that have a record, whatever it says."""
    found = documents.get_many([(COLLECTION, str(image_id)) for image_id in image_ids])
    return {int(document.id) for document in found if document is not None}
