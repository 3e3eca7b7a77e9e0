"""Webhooks as an administrator sets them up: registered, changed, tried out, removed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared import ids
from shared.domain.alerts import AlertDelivery, AlertEvent, Channel
from shared.domain.webhooks import TEST_PREFIX, Webhook
from shared.errors import AlreadyExists, Conflict, Retryable, VersionConflict
from shared.messages import AlertDue, encode
from shared.ports import Bus, Clock, Documents
from shared.repositories import deliveries, webhooks

TRIES = 5
SECRET_BYTES = 32


@dataclass(frozen=True)
class Deps:
    """What the registry needs of the world. `check` raises `Permanent` for a URL that would never be asked."""

    documents: Documents
    clock: Clock
    bus: Bus
    check: Callable[[str], object]


@dataclass(frozen=True)
class Wanted:
    """A webhook as it shall be. `secret` None: the present one, or a new one that is made up."""

    url: str
    events: tuple[AlertEvent, ...]
    places: tuple[str, ...] | None
    active: bool
    secret: str | None = None


def put(webhook_id: str, wanted: Wanted, deps: Deps) -> tuple[Webhook, bool]:
    """Creates or changes a webhook; with it, whether its secret is new and may be shown, this once.

    Raises `Conflict` when there are too many, and what `check` raises.
    """
    deps.check(wanted.url)
    for _ in range(TRIES):
        found = webhooks.find(deps.documents, webhook_id)
        present, version = found or (None, None)
        if present is None and len(webhooks.every(deps.documents)) >= webhooks.MAX_WEBHOOKS:
            raise Conflict("too_many_webhooks", f"There can be no more than {webhooks.MAX_WEBHOOKS} webhooks.")
        webhook = _merged(webhook_id, present, wanted, deps)
        try:
            deps.documents.commit([webhooks.storing(webhook, version)])
        except (AlreadyExists, VersionConflict):
            continue  # somebody else changes it, too: the later one counts, as a whole
        return webhook, present is None or webhook.secret != present.secret
    raise Retryable("the webhook is contended")


def remove(webhook_id: str, deps: Deps) -> None:
    """Removes a webhook; what is still to be sent to it is given up. Raises `NotFound`."""
    webhooks.get(deps.documents, webhook_id)
    deps.documents.commit([webhooks.deletion(webhook_id)])


def order_test(webhook_id: str, deps: Deps) -> AlertDelivery:
    """Has a test sent, also to one that is switched off; the log of deliveries shows what came of it.

    Raises `NotFound`. Should we die before the news is out, the sweeper sees to it.
    """
    webhooks.get(deps.documents, webhook_id)
    now = deps.clock.now()
    test = f"{TEST_PREFIX}{ids.new_uuid()}"
    delivery = AlertDelivery(
        id=f"{test}:{webhook_id}",
        alert_id=test,
        incident_id=test,
        event=AlertEvent.TEST,
        channel=Channel.WEBHOOK,
        target=webhook_id,
        created_at=now,
        due=now,
    )
    deps.documents.commit([deliveries.creation(delivery)])
    deps.bus.publish(encode(AlertDue(alert_id=test), message_id=ids.derived_uuid(test), now=now))
    return delivery


def _merged(webhook_id: str, present: Webhook | None, wanted: Wanted, deps: Deps) -> Webhook:
    secret = wanted.secret or (present.secret if present else secrets.token_hex(SECRET_BYTES))
    base = present or Webhook(webhook_id, wanted.url, secret, deps.clock.now())
    return replace(
        base,
        url=wanted.url,
        secret=secret,
        events=wanted.events,
        places=wanted.places,
        active=wanted.active,
        disabled_because=None if wanted.active else base.disabled_because,
    )
