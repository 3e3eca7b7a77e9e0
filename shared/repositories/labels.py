"""Training labels: one document for each word of feedback."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.labels import FeedbackLabel
from shared.errors import NotFound
from shared.ports import Create, Documents, Filter, Order, Query, Update
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "labels"


def creation(label: FeedbackLabel) -> Create:
    """The write that stores a new label."""
    return Create(COLLECTION, label.id, to_data(label))


def find(documents: Documents, label_id: str) -> FeedbackLabel | None:
    """The label, or None."""
    document = documents.get(COLLECTION, label_id)
    return None if document is None else from_data(FeedbackLabel, document.data)


def get(documents: Documents, label_id: str) -> FeedbackLabel:
    """The label; raises `NotFound`."""
    label = find(documents, label_id)
    if label is None:
        raise NotFound("unknown_feedback", "No such feedback.")
    return label


def without_comments(documents: Documents, asset_id: str) -> Iterator[Update]:
    """The writes that remove what people wrote of the asset; their labels stay."""
    query = Query(COLLECTION, (Filter("asset_id", "==", asset_id),))
    for document in paging.every(documents, query):
        if document.data["comments"]:
            yield Update(COLLECTION, document.id, {"comments": ""})


def newest(
    documents: Documents, asset_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[FeedbackLabel], str | None]:
    """A page of one asset's labels, the latest first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("asset_id", "==", asset_id),), (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(FeedbackLabel, document.data) for document in page.documents], page.next_cursor
