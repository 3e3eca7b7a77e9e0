"""Webhooks: the receivers that an administrator registered."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.alerts import AlertEvent
from shared.domain.webhooks import Webhook
from shared.errors import NotFound
from shared.ports import Create, Delete, Document, Documents, Order, Query, Update, Write
from shared.records import from_data, to_data

COLLECTION = "webhooks"
MAX_WEBHOOKS = 100
"""All are read for every alert; more than a handful is rare."""


def find(documents: Documents, webhook_id: str) -> tuple[Webhook, str] | None:
    """The webhook with its version, or None."""
    document = documents.get(COLLECTION, webhook_id)
    return None if document is None else (_webhook(document), document.version)


def get(documents: Documents, webhook_id: str) -> tuple[Webhook, str]:
    """The webhook with its version; raises `NotFound`."""
    found = find(documents, webhook_id)
    if found is None:
        raise NotFound("unknown_webhook", "No such webhook.")
    return found


def every(documents: Documents) -> list[Webhook]:
    """All of them, the oldest first."""
    page = documents.query(Query(COLLECTION, (), (Order("created_at"),)), limit=MAX_WEBHOOKS)
    return [_webhook(document) for document in page.documents]


def interested(documents: Documents, event: AlertEvent, beacon_id: str) -> list[Webhook]:
    """Those that want to hear of this event at this place."""
    return [webhook for webhook in every(documents) if webhook.wants(event, beacon_id)]


def storing(webhook: Webhook, version: str | None) -> Write:
    """The write that stores a new webhook (`version` None), or changes one that nobody changed since it was read."""
    if version is None:
        return Create(COLLECTION, webhook.id, to_data(webhook))
    return Update(COLLECTION, webhook.id, to_data(webhook), version=version)


def disabling(webhook: Webhook, version: str, because: str) -> Write:
    """The write that switches a webhook off, with the reason in a sentence."""
    return storing(replace(webhook, active=False, disabled_because=because), version)


def deletion(webhook_id: str) -> Delete:
    """The write that removes a webhook; its deliveries stay in the log."""
    return Delete(COLLECTION, webhook_id)


def _webhook(document: Document) -> Webhook:
    return from_data(Webhook, document.data)
