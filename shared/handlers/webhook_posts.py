"""One post to a webhook: what it is told, signed, and what its answer means."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain import webhooks as rules
from shared.domain.alerts import Alert, AlertDelivery, AlertEvent
from shared.domain.evidence_images import EvidenceImage
from shared.domain.incidents import Incident
from shared.domain.webhooks import Verdict, Webhook
from shared.errors import FetchFailed, Permanent, Retryable, SettingsError, VersionConflict
from shared.handlers.attempts import Attempted
from shared.ports import Documents, WebhookSender
from shared.repositories import alerts, evidence_images, incidents, webhooks

log = logging.getLogger(__name__)

MAX_IMAGES = 10
TRIES = 5
GONE = "The receiver answered 410 Gone, so the webhook was switched off."

Linker = Callable[[EvidenceImage, str], str]
"""The link to a picture for somebody, once it is written down that they get it."""


@dataclass(frozen=True)
class Deps:
    """What posting needs of the world."""

    documents: Documents
    sender: WebhookSender
    link: Linker


def post_to_webhook(delivery: AlertDelivery, now: datetime, deps: Deps) -> Attempted:
    """One attempt at a WEBHOOK delivery. Raises what the store raises."""
    found = webhooks.find(deps.documents, delivery.target)
    if found is None:
        return Attempted(Verdict.GIVE_UP, "no_webhook", "The webhook is no longer registered.")
    webhook = found[0]
    if not webhook.active and delivery.event is not AlertEvent.TEST:
        return Attempted(Verdict.MOOT, "inactive", webhook.disabled_because or "The webhook is switched off.")
    body = json.dumps(payload(delivery, webhook, now, deps), ensure_ascii=False).encode()
    try:
        reply = deps.sender.post(webhook.url, body, headers(delivery, webhook, body, now))
    except FetchFailed as error:
        verdict = Verdict.GIVE_UP if error.status == 400 else rules.unanswered(delivery.attempts)
        return Attempted(verdict, error.code, error.sentence)
    verdict = rules.judge(reply.status, delivery.attempts)
    if verdict is Verdict.DISABLE:
        _switch_off(webhook.id, deps.documents)
        return Attempted(verdict, str(reply.status), GONE)
    sentence = None if verdict is Verdict.DELIVERED else f"The receiver answered {reply.status}."
    return Attempted(verdict, str(reply.status), sentence, reply.retry_after)


def headers(delivery: AlertDelivery, webhook: Webhook, body: bytes, now: datetime) -> dict[str, str]:
    """What goes with the body: the same delivery id at every attempt, a timestamp and signature of its own at each."""
    timestamp = int(now.timestamp())
    return {
        "Content-Type": "application/json; charset=utf-8",
        rules.DELIVERY_HEADER: header_id(delivery.id),
        rules.TIMESTAMP_HEADER: str(timestamp),
        rules.SIGNATURE_HEADER: rules.signature(webhook.secret, timestamp, body),
    }


def payload(delivery: AlertDelivery, webhook: Webhook, now: datetime, deps: Deps) -> dict[str, Any]:
    """What the receiver reads, as things stand now. `incident` and `alert` are null in a test."""
    incident = incidents.find(deps.documents, delivery.incident_id)
    alert = alerts.find(deps.documents, delivery.alert_id)
    return {
        "event": delivery.event.value,
        "delivery_id": header_id(delivery.id),
        "incident": _incident(incident[0]) if incident else None,
        "alert": _alert(alert[0]) if alert else None,
        "images": _images(delivery, webhook, deps) if incident else [],
        "sent_at": now.isoformat(),
    }


def header_id(delivery_id: str) -> str:
    """The delivery's id as a header can carry it: a target's id may be any text."""
    fits = delivery_id.isascii() and delivery_id.isprintable() and delivery_id == delivery_id.strip()
    return delivery_id if fits else delivery_id.encode().hex()


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "incident_id": incident.id,
        "beacon_id": incident.beacon_id,
        "beacon_location": incident.beacon_location,
        "status": incident.status.value,
        "priority": incident.priority.value,
        "opened_at": incident.opened_at.isoformat(),
        "previous_incident_id": incident.previous_incident_id,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.id,
        "cause": alert.cause.value,
        "state": alert.state.value,
        "priority": alert.priority.value,
        "round": alert.round,
        "created_at": alert.created_at.isoformat(),
    }


def _images(delivery: AlertDelivery, webhook: Webhook, deps: Deps) -> list[dict[str, Any]]:
    found, _ = evidence_images.of_incident(deps.documents, delivery.incident_id, limit=MAX_IMAGES)
    kept = [image for image in found if image.deleted_at is None]
    return [
        {
            "image_id": image.id,
            "url": url,
            "content_type": image.content_type,
            "description": image.description,
            "uploaded_at": image.uploaded_at.isoformat(),
        }
        for image, url in zip(kept, _links(kept, webhook, deps), strict=True)
    ]


def _links(images: Sequence[EvidenceImage], webhook: Webhook, deps: Deps) -> Iterator[str | None]:
    """An alert without pictures is better than none, or than a late one: after a link that is not to be had, nulls."""
    given_up = False
    for image in images:
        if given_up:
            yield None
            continue
        try:
            yield deps.link(image, f"webhook {webhook.id}")
        except (Permanent, Retryable, SettingsError) as error:
            log.warning("no link to image %d for webhook %s: %s", image.id, webhook.id, error)
            given_up = isinstance(error, Retryable | SettingsError)
            yield None


def _switch_off(webhook_id: str, documents: Documents) -> None:
    for _ in range(TRIES):
        found = webhooks.find(documents, webhook_id)
        if found is None or not found[0].active:
            return
        with suppress(VersionConflict):
            documents.commit([webhooks.disabling(*found, GONE)])
            log.error("webhook %s: %s", webhook_id, GONE)
            return
