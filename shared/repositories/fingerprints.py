"""Which uploads were analysed before, to be found by what they are: their SHA-256, or the bands of their hash.

Ids begin with the time that is left until the end of time, so that a query without an order gives the newest first and
needs no composite index. An upload is registered with its detection's result, in the same commit, and never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.domain.reuse import Known
from shared.ports import Delete, Documents, Filter, Query, Set
from shared.records import from_data, to_data

COLLECTION = "fingerprints"
MOST_EXACT = 16
MOST_OF_A_BAND = 16
"""Documents that are read at most: what lies beyond them is not found, and so analysed anew."""

_LAST_MILLISECOND = 10**14


def registration(known: Known, bands: Sequence[str]) -> Set:
    """The write that registers an upload, or registers it anew. Without `bands` only its very bytes find it."""
    return Set(COLLECTION, _id_of(known.asset_id, known.created_at), {**to_data(known), "bands": list(bands)})


def forgetting(asset_id: str, created_at: datetime) -> Delete:
    """The write by which no later upload finds this one any more. `created_at` is the upload's."""
    return Delete(COLLECTION, _id_of(asset_id, created_at))


def same_bytes(documents: Documents, sha256: str) -> list[Known]:
    """The newest uploads with this SHA-256 (hex)."""
    return _found(documents, Filter("sha256", "==", sha256), MOST_EXACT)


def in_bands(documents: Documents, bands: Sequence[str]) -> list[Known]:
    """The newest uploads that are in one of the bands, each once."""
    found = [known for band in bands for known in _found(documents, Filter("bands", "array_contains", band))]
    return list({known.asset_id: known for known in found}.values())


def _found(documents: Documents, where: Filter, limit: int = MOST_OF_A_BAND) -> list[Known]:
    page = documents.query(Query(COLLECTION, (where,)), limit=limit)
    return [from_data(Known, document.data) for document in page.documents]


def _id_of(asset_id: str, created_at: datetime) -> str:
    left = _LAST_MILLISECOND - int(created_at.timestamp() * 1000)
    return f"{left:015d}-{asset_id}"
