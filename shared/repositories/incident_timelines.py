"""The timelines of incidents: one document a change, numbered without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.domain.incident_changes import TimelineEntry
from shared.ports import Create, Documents, Filter, Order, Query
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "incident_timeline"


def creation(entry: TimelineEntry) -> Create:
    """The write that stores an entry; fails if there is one of this number."""
    return Create(COLLECTION, f"{entry.incident_id}:{entry.number:08d}", to_data(entry))


def of_incident(
    documents: Documents, incident_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[TimelineEntry], str | None]:
    """A page of an incident's entries, the first one first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("incident_id", "==", incident_id),), (Order("number"),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(TimelineEntry, document.data) for document in page.documents], page.next_cursor


def between(documents: Documents, incident_id: str, after: int, until: int) -> list[TimelineEntry]:
    """The entries numbered above `after`, up to `until`."""
    numbers = range(after + 1, until + 1)
    found = documents.get_many([(COLLECTION, f"{incident_id}:{number:08d}") for number in numbers])
    return [from_data(TimelineEntry, document.data) for document in found if document is not None]


def since(documents: Documents, incident_id: str, moment: datetime | None, batch: int) -> Iterator[TimelineEntry]:
    """The incident's entries from a moment on, or all, the first one first, read in batches as they are asked for."""
    where = (Filter("incident_id", "==", incident_id), *paging.since_filter("at", moment))
    query = Query(COLLECTION, where, (Order("at"),))
    return (from_data(TimelineEntry, document.data) for document in paging.every(documents, query, page=batch))
