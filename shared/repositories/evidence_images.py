"""Records of the pictures that came with signals; the pictures themselves lie in the evidence bucket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.domain.evidence_images import EvidenceImage
from shared.ports import Create, Documents, Filter, Order, Query
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "evidence_images"


def creation(image: EvidenceImage) -> Create:
    """The write that stores a record."""
    return Create(COLLECTION, str(image.id), to_data(image))


def find(documents: Documents, image_id: int) -> tuple[EvidenceImage, str] | None:
    """The record with its version, or None."""
    document = documents.get(COLLECTION, str(image_id))
    return None if document is None else (from_data(EvidenceImage, document.data), document.version)


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
