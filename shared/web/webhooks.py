"""GET /webhooks; GET, PUT, DELETE /webhooks/{id}; POST /webhooks/{id}/test; GET /webhooks/{id}/deliveries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from shared.domain.alerts import AlertEvent, Channel
from shared.domain.assets import is_shown_text
from shared.domain.webhooks import Webhook
from shared.errors import Malformed
from shared.handlers import webhook_registry
from shared.handlers.webhook_registry import Deps, Wanted
from shared.repositories import deliveries, webhooks
from shared.web.callers import Admin
from shared.web.deliveries import DeliveryList, shown_page

MAX_ID_CHARACTERS = 100
MAX_PLACES = 1000

Event = Literal["incident.opened", "incident.raised", "alert.exhausted"]
WebhookId = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS)]
PlaceId = Annotated[str, Field(min_length=1, max_length=500)]


class WebhookBody(BaseModel):
    """What a client may set. Without a secret, the present one stays, or one is made up."""

    url: str = Field(min_length=1, max_length=2048)
    secret: str | None = Field(default=None, min_length=16, max_length=200)
    events: list[Event] = Field(default=list(get_args(Event)), min_length=1, max_length=3)
    places: list[PlaceId] | None = Field(default=None, max_length=MAX_PLACES)
    active: bool = True


class WebhookShown(BaseModel):
    """A webhook as it is stored. `secret` is there once: in the answer to the request that set it or had it made up."""

    id: str
    url: str
    events: list[str]
    places: list[str] | None
    active: bool
    disabled_because: str | None
    created_at: datetime
    secret: str | None = None


class WebhookList(BaseModel):
    """All webhooks, the oldest first."""

    webhooks: list[WebhookShown]


class TestOrdered(BaseModel):
    """The delivery of a test, to be found under `/webhooks/{id}/deliveries`."""

    __test__ = False

    delivery_id: str


def router(deps: Callable[[], Deps]) -> APIRouter:
    """The routes over the registry."""
    routes = APIRouter(tags=["webhooks"])

    @routes.get("/webhooks")
    def list_webhooks(_: Admin) -> WebhookList:
        return WebhookList(webhooks=[_shown(webhook) for webhook in webhooks.every(deps().documents)])

    @routes.get("/webhooks/{webhook_id}")
    def get_webhook(webhook_id: WebhookId, _: Admin) -> WebhookShown:
        return _shown(webhooks.get(deps().documents, webhook_id)[0])

    @routes.put("/webhooks/{webhook_id}")
    def put_webhook(webhook_id: WebhookId, body: WebhookBody, _: Admin) -> WebhookShown:
        _require_shown(webhook_id)
        webhook, is_new_secret = webhook_registry.put(webhook_id, _wanted(body), deps())
        return _shown(webhook, secret=webhook.secret if is_new_secret else None)

    @routes.delete("/webhooks/{webhook_id}", status_code=204)
    def delete_webhook(webhook_id: WebhookId, _: Admin) -> Response:
        webhook_registry.remove(webhook_id, deps())
        return Response(status_code=204)

    @routes.post("/webhooks/{webhook_id}/test", status_code=202)
    def try_webhook(webhook_id: WebhookId, _: Admin) -> TestOrdered:
        return TestOrdered(delivery_id=webhook_registry.order_test(webhook_id, deps()).id)

    @routes.get("/webhooks/{webhook_id}/deliveries")
    def list_deliveries(
        webhook_id: WebhookId,
        _: Admin,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
    ) -> DeliveryList:
        webhooks.get(deps().documents, webhook_id)
        return shown_page(
            *deliveries.of_target(deps().documents, Channel.WEBHOOK, webhook_id, limit=limit, cursor=cursor)
        )

    return routes


def _wanted(body: WebhookBody) -> Wanted:
    events = tuple(AlertEvent(event) for event in dict.fromkeys(body.events))
    places = None if body.places is None else tuple(dict.fromkeys(body.places))
    return Wanted(body.url, events, places, body.active, body.secret)


def _require_shown(webhook_id: str) -> None:
    if not is_shown_text(webhook_id, MAX_ID_CHARACTERS):
        raise Malformed("invalid_id", f"A webhook's id is 1 to {MAX_ID_CHARACTERS} printable characters.")


def _shown(webhook: Webhook, secret: str | None = None) -> WebhookShown:
    return WebhookShown(
        id=webhook.id,
        url=webhook.url,
        events=[event.value for event in webhook.events],
        places=None if webhook.places is None else list(webhook.places),
        active=webhook.active,
        disabled_because=webhook.disabled_because,
        created_at=webhook.created_at,
        secret=secret,
    )
