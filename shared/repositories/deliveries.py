"""Deliveries of alerts: what is to be sent to whom, and the log of what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.domain.alerts import AlertDelivery, Channel, DeliveryState
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update
from shared.records import from_data, to_data

COLLECTION = "alert_deliveries"

PENDING = Query(COLLECTION, (Filter("state", "==", DeliveryState.PENDING.value),), (Order("due"),))
"""What is still to be tried, the longest due first."""


def creation(delivery: AlertDelivery) -> Create:
    """The write that plans a delivery; it belongs into the commit of the alert's change."""
    return Create(COLLECTION, delivery.id, to_data(delivery))


def find(documents: Documents, delivery_id: str) -> tuple[AlertDelivery, str] | None:
    """The delivery with its version, or None."""
    document = documents.get(COLLECTION, delivery_id)
    return None if document is None else (delivery_of(document), document.version)


def update(delivery: AlertDelivery, version: str) -> Update:
    """The write that replaces a delivery if nobody changed it since it was read."""
    return Update(COLLECTION, delivery.id, to_data(delivery), version=version)


def claimed(delivery: AlertDelivery, now: datetime, until: datetime) -> AlertDelivery:
    """The delivery as somebody takes it. It is due again when the claim ends, should they never report."""
    attempts = delivery.attempts + 1
    return replace(delivery, attempts=attempts, claimed_until=until, due=until, last_attempt_at=now)


def pending_of(documents: Documents, alert_id: str, *, limit: int = 100) -> list[tuple[AlertDelivery, str]]:
    """What is still to be tried of an alert, each with its version, the longest due first."""
    query = Query(COLLECTION, (Filter("alert_id", "==", alert_id), *PENDING.where), PENDING.order_by)
    page = documents.query(query, limit=limit)
    return [(delivery_of(document), document.version) for document in page.documents]


def of_alert(
    documents: Documents, alert_id: str, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[AlertDelivery], str | None]:
    """A page of an alert's deliveries, the newest first, and the cursor of the next page."""
    return _newest(documents, (Filter("alert_id", "==", alert_id),), limit, cursor)


def of_target(
    documents: Documents, channel: Channel, target: str, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[AlertDelivery], str | None]:
    """A page of the deliveries to one guard or webhook, the newest first, and the cursor of the next page."""
    where = (Filter("channel", "==", channel.value), Filter("target", "==", target))
    return _newest(documents, where, limit, cursor)


def delivery_of(document: Document) -> AlertDelivery:
    """The delivery that a document holds."""
    return from_data(AlertDelivery, document.data)


def _newest(
    documents: Documents, where: tuple[Filter, ...], limit: int, cursor: str | None
) -> tuple[list[AlertDelivery], str | None]:
    query = Query(COLLECTION, where, (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [delivery_of(document) for document in page.documents], page.next_cursor
