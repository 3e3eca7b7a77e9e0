"""Outboxes: messages that are saved with the result they speak of, then published, then marked.

Repeating any step is harmless, so whoever finds an unpublished outbox may publish it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared import ids
from shared.domain.stages import WorkRecord, WorkState
from shared.errors import Permanent, Retryable
from shared.messages import Message, encode
from shared.ports import Bus, Create, Documents, OutgoingMessage
from shared.repositories import work

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=30)
"""How long a saved outbox is left to the request that saved it."""

PENDING_AT_ONCE = 20


def publish_pending(documents: Documents, bus: Bus, now: datetime, *, limit: int = 100) -> int:
    """Publishes outboxes that somebody saved and then died before publishing; returns how many.

    Those whose lease still runs are left to their worker. One that cannot be published does not hold up the others.
    """
    page = documents.query(work.UNPUBLISHED, limit=limit)
    published = 0
    for document in page.documents:
        if document.data["lease_until"] > now:
            break  # and so are all that follow
        try:
            publish_outbox(documents, bus, document.id, work.outbox_of(document))
            published += 1
        except Exception as error:  # whatever is wrong with this one, the next may be well
            log.warning("outbox %s still waits: %s", document.id, type(error).__name__)
    return published


def outbox_of(key: str, messages: Sequence[Message], now: datetime) -> list[OutgoingMessage]:
    """The messages of a piece of work as they are published; their ids repeat when the work does."""
    return [
        encode(message, message_id=ids.derived_uuid(key, str(number)), now=now)
        for number, message in enumerate(messages)
    ]


def publish_saved(documents: Documents, bus: Bus, key: str) -> bool:
    """Publishes what a piece of work saved and nobody has published yet; whether there was such a thing."""
    found = work.load(documents, key)
    if found is None or found[0].published:
        return False
    publish_outbox(documents, bus, key, work.outbox_of(found[1]))
    return True


def publish_outbox(documents: Documents, bus: Bus, key: str, outbox: Sequence[OutgoingMessage]) -> None:
    """Publishes what a saved result wants published, then marks it. Repeating it is harmless."""
    if not outbox:
        return
    try:
        for message in outbox:
            bus.publish(message)
    except Permanent as error:
        # A missing topic is a fault of the deployment, not of the message: the outbox must wait, not be given up.
        raise Retryable(f"the outbox could not be published: {error}") from error
    documents.commit([work.mark_published(key)])


def saved(key: str, outbox: Sequence[OutgoingMessage], now: datetime) -> Create:
    """The write that saves the outbox of a request, in the commit of what it speaks of."""
    record = WorkRecord(WorkState.DONE, ids.new_uuid(), 1, now + PATIENCE, published=False)
    return work.finished(key, record, outbox)


def publish_at_once(documents: Documents, bus: Bus, key: str, outbox: Sequence[OutgoingMessage], now: datetime) -> None:
    """Publishes the outbox of a request that was just saved, and what others left behind.

    Never raises: what the request asked for is stored, so its client must be told so and not ask again. Whoever looks
    for unpublished outboxes next tries this one again, as it does for a process that died here.
    """
    try:
        publish_outbox(documents, bus, key, outbox)
        publish_pending(documents, bus, now, limit=PENDING_AT_ONCE)
    except Exception:
        log.exception("the message waits in the outbox")
