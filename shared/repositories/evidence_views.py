"""The view log: one document a view, never changed."""

from __future__ import annotations

from shared.domain.evidence_views import EvidenceView
from shared.ports import Create, Documents, Filter, Order, Query
from shared.records import from_data, to_data

COLLECTION = "evidence_views"


def creation(view: EvidenceView) -> Create:
    """The write that stores a view; fails with `AlreadyExists` where the id is taken."""
    return Create(COLLECTION, str(view.id), to_data(view))


def of_incident(
    documents: Documents, incident_id: str, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[EvidenceView], str | None]:
    """A page of the views of an incident's evidence, the first one first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("incident_id", "==", incident_id),), (Order("id"),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(EvidenceView, document.data) for document in page.documents], page.next_cursor
