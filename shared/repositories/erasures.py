"""Orders to erase."""

from __future__ import annotations

from shared.domain.erasures import Erasure, ErasureState
from shared.errors import InvalidKey, NotFound
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update
from shared.records import from_data, to_data

COLLECTION = "erasures"

UNFINISHED = Query(COLLECTION, (Filter("state", "==", ErasureState.ORDERED.value),), (Order("ordered_at"),))
"""What is still to be done, the oldest first."""


def creation(erasure: Erasure) -> Create:
    """The write that stores an order."""
    return Create(COLLECTION, erasure.id, to_data(erasure))


def progress(erasure: Erasure, version: str) -> Update:
    """The write that says how far it is, if nobody else went on with it since it was read."""
    data = to_data(erasure)
    changed = {name: data[name] for name in ("state", "done", "done_at")}
    return Update(COLLECTION, erasure.id, changed, version=version)


def erasure_of(document: Document) -> Erasure:
    """The order in a document."""
    return from_data(Erasure, document.data)


def get(documents: Documents, erasure_id: str) -> Erasure:
    """The order; raises `NotFound`."""
    try:
        document = documents.get(COLLECTION, erasure_id)
    except InvalidKey:
        document = None
    if document is None:
        raise NotFound("unknown_erasure", "No such erasure.")
    return erasure_of(document)
