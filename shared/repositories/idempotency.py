"""What was answered, or done, under an `Idempotency-Key`, kept for a day."""

from __future__ import annotations

from datetime import datetime

from shared.domain.incident_steps import TakenStep
from shared.domain.submissions import Answered
from shared.errors import VersionConflict
from shared.ports import Create, Delete, Documents, Filter, Order, Query, Update, Write
from shared.records import from_data, to_data

COLLECTION = "idempotency_keys"
PAGE = 300


def find(documents: Documents, record_id: str) -> tuple[Answered, str] | None:
    """The record with its version, or None. It may have expired."""
    document = documents.get(COLLECTION, record_id)
    return None if document is None else (from_data(Answered, document.data), document.version)


def find_step(documents: Documents, record_id: str) -> tuple[TakenStep, str] | None:
    """The record of a step with its version, or None. It may have expired."""
    document = documents.get(COLLECTION, record_id)
    return None if document is None else (from_data(TakenStep, document.data), document.version)


def writing(record: Answered | TakenStep, expired_version: str | None) -> Write:
    """The write that keeps a record: fails if somebody else's is kept, but for the expired one that was seen."""
    if expired_version is None:
        return Create(COLLECTION, record.id, to_data(record))
    return Update(COLLECTION, record.id, to_data(record), version=expired_version)


def remove_expired(documents: Documents, before: datetime) -> int:
    """Removes what expired before a moment, unless it was written again meanwhile; how many."""
    query = Query(COLLECTION, (Filter("expires_at", "<", before),), (Order("expires_at"),))
    removed = 0
    cursor: str | None = None
    while True:
        page = documents.query(query, limit=PAGE, cursor=cursor)
        for document in page.documents:
            try:
                documents.commit([Delete(COLLECTION, document.id, version=document.version)])
            except VersionConflict:
                continue
            removed += 1
        cursor = page.next_cursor
        if cursor is None:
            return removed
