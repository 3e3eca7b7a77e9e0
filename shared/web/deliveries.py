"""GET /alerts/{alert_id}/deliveries: who was told of an alert, by which way, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.alerts import AlertDelivery
from shared.handlers import answering
from shared.ports import Documents
from shared.repositories import deliveries
from shared.web.callers import Operator


class DeliveryShown(BaseModel):
    """One delivery. `last_status`: the HTTP status, or a word of the push service; `last_error`: a sentence.

    `next_attempt_at`: when it is tried again, null once it was sent or given up.
    """

    delivery_id: str
    alert_id: str
    incident_id: str
    event: str
    channel: str
    target: str
    round: int
    state: str
    attempts: int
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    last_status: str | None
    last_error: str | None


class DeliveryList(BaseModel):
    """A page, the newest first; pass `next_cursor` as `cursor` for the following one."""

    deliveries: list[DeliveryShown]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The route over the store."""
    routes = APIRouter(tags=["alerts"])

    @routes.get("/alerts/{alert_id}/deliveries")
    def list_deliveries(
        alert_id: str,
        caller: Operator,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
    ) -> DeliveryList:
        answering.visible(alert_id, caller, documents())
        return shown_page(*deliveries.of_alert(documents(), alert_id, limit=limit, cursor=cursor))

    return routes


def shown_page(page: Sequence[AlertDelivery], next_cursor: str | None) -> DeliveryList:
    """A page of the log as clients see it."""
    return DeliveryList(deliveries=[_shown(delivery) for delivery in page], next_cursor=next_cursor)


def _shown(delivery: AlertDelivery) -> DeliveryShown:
    return DeliveryShown(
        delivery_id=delivery.id,
        alert_id=delivery.alert_id,
        incident_id=delivery.incident_id,
        event=delivery.event.value,
        channel=delivery.channel.value,
        target=delivery.target,
        round=delivery.round,
        state=delivery.state.value,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        last_attempt_at=delivery.last_attempt_at,
        next_attempt_at=delivery.due if delivery.is_pending else None,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
    )
