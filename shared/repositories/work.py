"""Pieces of work: who holds the claim, and the outbox of what the result wants published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.domain.stages import WorkRecord
from shared.ports import Create, Document, Documents, OutgoingMessage, Update, Write
from shared.records import from_data, to_data

COLLECTION = "work"


def load(documents: Documents, key: str) -> tuple[WorkRecord, Document] | None:
    """The record with the document it came from (for its version and outbox), or None."""
    document = documents.get(COLLECTION, key)
    return None if document is None else (from_data(WorkRecord, document.data), document)


def claim(key: str, record: WorkRecord, held: Document | None) -> Write:
    """The one conditional write: absent, or still at the version at which it was seen expired."""
    if held is None:
        return Create(COLLECTION, key, {**to_data(record), "outbox": []})
    return Update(COLLECTION, key, to_data(record), version=held.version)


def update(key: str, record: WorkRecord, version: str, outbox: Sequence[OutgoingMessage] | None = None) -> Update:
    """Replaces the record, and the outbox where one is given, if nobody took the claim over."""
    data = to_data(record)
    if outbox is not None:
        data["outbox"] = [to_data(message) for message in outbox]
    return Update(COLLECTION, key, data, version=version)


def finished(key: str, record: WorkRecord, outbox: Sequence[OutgoingMessage]) -> Create:
    """A piece of work that was done in one go, with its outbox still to be published."""
    return Create(COLLECTION, key, {**to_data(record), "outbox": [to_data(message) for message in outbox]})


def mark_published(key: str) -> Update:
    """Nothing of the outbox is left to publish."""
    return Update(COLLECTION, key, {"published": True})


def outbox_of(document: Document) -> list[OutgoingMessage]:
    """What the result wants published."""
    stored: list[dict[str, Any]] = document.data.get("outbox", [])
    return [from_data(OutgoingMessage, item) for item in stored]
