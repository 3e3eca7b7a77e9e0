"""Pieces of work: who holds the claim, what was asked, and the outbox of what the result wants published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.domain.stages import Stage, WorkRecord, WorkState
from shared.ports import Create, Delete, Document, Documents, Filter, Order, OutgoingMessage, Query, Update, Write
from shared.records import from_data, to_data
from shared.repositories import paging

COLLECTION = "work"

MAX_REQUEST_BYTES = 256 << 10
"""A document holds 1 MiB and the outbox lies in it too; a longer message is made again from the asset."""

UNSETTLED = Query(
    COLLECTION,
    (Filter("state", "in", [WorkState.RUNNING.value, WorkState.RELEASED.value]),),
    (Order("lease_until"),),
)
"""What somebody works on, or waits for a delivery; what was left alone longest comes first."""

UNPUBLISHED = Query(COLLECTION, (Filter("published", "==", False),), (Order("lease_until"),))
"""Results with an outbox that was not published, the oldest first."""


@dataclass(frozen=True)
class Request:
    """What a piece of work was asked for by: the message as it was delivered. `data` None: it was too long to keep.

    With a `replay_id`, the replay's own document shows how the work stands, else the asset's ledger.
    """

    asset_id: str
    stage: Stage
    replay_id: str | None = None
    data: bytes | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def with_message(self, data: bytes, attributes: Mapping[str, str]) -> Request:
        """With the message, if it can be kept."""
        size = len(data) + sum(len(name) + len(value) for name, value in attributes.items())
        return self if size > MAX_REQUEST_BYTES else replace(self, data=data, attributes=dict(attributes))


def load(documents: Documents, key: str) -> tuple[WorkRecord, Document] | None:
    """The record with the document it came from (for its version and outbox), or None."""
    document = documents.get(COLLECTION, key)
    return None if document is None else (record_of(document), document)


def claim(key: str, record: WorkRecord, held: Document | None, request: Request) -> Write:
    """The one conditional write: absent, or still at the version at which it was seen expired."""
    data = {**to_data(record), "request": to_data(request), "asset_id": request.asset_id}
    if held is None:
        return Create(COLLECTION, key, {**data, "outbox": []})
    return Update(COLLECTION, key, data, version=held.version)


def record_of(document: Document) -> WorkRecord:
    """The record in a document."""
    return from_data(WorkRecord, document.data)


def request_of(document: Document) -> Request | None:
    """What the piece of work was asked for by; None where that was not written down."""
    stored = document.data.get("request")
    return None if stored is None else from_data(Request, stored)


def forgetting(document: Document) -> Delete:
    """The write that removes a piece of work nobody touched since it was read."""
    return Delete(COLLECTION, document.id, version=document.version)


def forgotten(key: str) -> Delete:
    """The write that removes a piece of work, so that the next message does it again."""
    return Delete(COLLECTION, key)


def update(key: str, record: WorkRecord, version: str, outbox: Sequence[OutgoingMessage] | None = None) -> Update:
    """Replaces the record, and the outbox where one is given, if nobody took the claim over."""
    data = to_data(record)
    if outbox is not None:
        data["outbox"] = [to_data(message) for message in outbox]
    return Update(COLLECTION, key, data, version=version)


def finished(key: str, record: WorkRecord, outbox: Sequence[OutgoingMessage]) -> Create:
    """A piece of work that was done in one go, with its outbox still to be published."""
    return Create(COLLECTION, key, {**to_data(record), "outbox": [to_data(message) for message in outbox]})


def of_asset(documents: Documents, asset_id: str) -> Iterator[Document]:
    """The pieces of work that stages of the asset claimed, fetched as they are taken."""
    return paging.every(documents, Query(COLLECTION, (Filter("asset_id", "==", asset_id),)))


def emptying(document: Document) -> Update:
    """The write that removes what the work was asked for by and what it published, if nobody touched it meanwhile."""
    request = request_of(document)
    kept = None if request is None else to_data(replace(request, data=None, attributes={}))
    return Update(COLLECTION, document.id, {"outbox": [], "request": kept}, version=document.version)


def mark_published(key: str) -> Update:
    """Nothing of the outbox is left to publish."""
    return Update(COLLECTION, key, {"published": True})


def outbox_of(document: Document) -> list[OutgoingMessage]:
    """What the result wants published."""
    stored: list[dict[str, Any]] = document.data.get("outbox", [])
    return [from_data(OutgoingMessage, item) for item in stored]
