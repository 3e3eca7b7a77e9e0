"""What the witnesses saw of an upload: a document for each look, beside the asset whose verdict rests on it.

It is stored before the verdict is, so that a look which was paid for is not lost with its worker.
"""

from __future__ import annotations

from shared.domain.moderation.moderated import Look
from shared.ports import Delete, Documents, Filter, Query, Set
from shared.records import from_data, to_data

COLLECTION = "evidence"


def save(documents: Documents, look: Look) -> None:
    """Stores the look, in the place of an earlier attempt at it. Raises `TooLarge`, `Retryable`."""
    documents.commit([Set(COLLECTION, _id(look.asset_id, look.name), to_data(look))])


def find(documents: Documents, asset_id: str, name: str) -> Look | None:
    """The look of this name, or None."""
    document = documents.get(COLLECTION, _id(asset_id, name))
    return None if document is None else from_data(Look, document.data)


def discard(documents: Documents, asset_id: str) -> None:
    """Removes all looks at an upload. Raises `Retryable`."""
    looks = Query(COLLECTION, (Filter("asset_id", "==", asset_id),))
    while found := documents.query(looks).documents:
        documents.commit([Delete(COLLECTION, look.id) for look in found])


def _id(asset_id: str, name: str) -> str:
    return f"{asset_id}:{name}"
