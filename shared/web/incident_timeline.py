"""GET /incidents/{id}/timeline: everything that happened to an incident, the oldest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.alert_history import AlertMoment
from shared.domain.evidence_images import EvidenceImage
from shared.domain.incident_changes import TimelineEntry
from shared.domain.incidents import Signal
from shared.handlers import incident_history
from shared.handlers.incident_history import Item
from shared.handlers.visibility import visible_incident
from shared.ports import Documents
from shared.web.callers import Viewer
from shared.web.evidence import ImageReply, shown_image
from shared.web.incident_replies import SignalReply, show_signal


class ChangeReply(BaseModel):
    """Who did what; `before` and `after` have the fields that changed. `number` counts from 1 without gaps."""

    number: int
    actor: str
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    note: str | None
    details: Mapping[str, Any]


class AlertMomentReply(BaseModel):
    """What happened in an alert. `step`: `raised` (because the incident `opened` or was `raised`), `asked`, `answered`
    (`because`: the answer), `ended` (`because`: the alert's state). `guards` by name.
    """

    alert_id: str
    priority: str
    step: str
    because: str
    round: int
    guards: list[str]
    reason: str | None


class TimelineItem(BaseModel):
    """Something that happened. `kind` names the one of the other fields that is there."""

    at: datetime
    kind: str
    change: ChangeReply | None = None
    signal: SignalReply | None = None
    image: ImageReply | None = None
    alert: AlertMomentReply | None = None


class Timeline(BaseModel):
    """A page, the oldest first; pass `next_cursor` as `cursor` for the following one."""

    incident_id: str
    items: list[TimelineItem]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The route over the store. 404 also for incidents of places that are not the caller's."""
    routes = APIRouter(tags=["incidents"])

    @routes.get("/incidents/{incident_id}/timeline", response_model_exclude_unset=True)
    def get_timeline(
        incident_id: str,
        caller: Viewer,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: str | None = None,
    ) -> Timeline:
        incident, _ = visible_incident(incident_id, caller, documents())
        items, following = incident_history.page_of(documents(), incident.id, limit=limit, cursor=cursor)
        return Timeline(incident_id=incident.id, items=[_item(item) for item in items], next_cursor=following)

    return routes


def _item(item: Item) -> TimelineItem:
    at, happening = item.position.at, item.happening
    match happening:
        case TimelineEntry():
            return TimelineItem(at=at, kind="change", change=_change(happening))
        case Signal():
            return TimelineItem(at=at, kind="signal", signal=show_signal(happening))
        case EvidenceImage():
            return TimelineItem(at=at, kind="image", image=shown_image(happening))
        case AlertMoment():
            return TimelineItem(at=at, kind="alert", alert=_alert(happening))


def _change(entry: TimelineEntry) -> ChangeReply:
    return ChangeReply(
        number=entry.number,
        actor=entry.actor,
        action=entry.action,
        before=entry.before,
        after=entry.after,
        note=entry.note,
        details=entry.details,
    )


def _alert(moment: AlertMoment) -> AlertMomentReply:
    return AlertMomentReply(
        alert_id=moment.alert_id,
        priority=moment.priority,
        step=moment.step,
        because=moment.because,
        round=moment.round,
        guards=list(moment.guards),
        reason=moment.reason,
    )
