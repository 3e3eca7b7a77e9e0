"""GET /incidents and GET /incidents/{id}: what happened, by whatever is asked, and how each of it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.domain.fusion import Part
from shared.domain.incidents import PROFILES, Incident, IncidentStatus, Outcome, Priority
from shared.handlers import fusing
from shared.handlers.visibility import visible_incident
from shared.ports import Caller, Documents
from shared.repositories import evidence_images, incident_search, incidents
from shared.repositories.incident_search import Search
from shared.web.callers import Viewer
from shared.web.evidence import ImageReply, shown_image
from shared.web.incident_replies import IncidentSummary, SignalReply, put_etag, show_signal, summarise

SHOWN = 100
"""Signals and pictures that come with an incident; the timeline has them all."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment_range", "The time lies outside the years 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Filters(BaseModel):
    """What is asked for; those left out ask for nothing. `status`, `priority`, `outcome`: one or several values.

    Opened from `opened_after` on and before `opened_before`, both with a time zone. Pass `next_cursor` as `cursor`.
    """

    model_config = ConfigDict(extra="forbid")

    status: list[IncidentStatus] = Field(default_factory=list)
    priority: list[Priority] = Field(default_factory=list)
    outcome: list[Outcome] = Field(default_factory=list)
    beacon_id: str | None = None
    assignee: str | None = None
    legal_hold: bool | None = None
    opened_after: Moment | None = None
    opened_before: Moment | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None

    def search(self, caller: Caller) -> Search:
        """As the store is asked, on behalf of this caller."""
        return Search(
            statuses=tuple(dict.fromkeys(self.status)),
            priorities=tuple(dict.fromkeys(self.priority)),
            outcomes=tuple(dict.fromkeys(self.outcome)),
            beacon_id=self.beacon_id,
            assignee=self.assignee,
            legal_hold=self.legal_hold,
            opened_after=self.opened_after,
            opened_before=self.opened_before,
            places=caller.places,
        )


class ConfidencePart(BaseModel):
    """What one kind of signal contributes: its strongest signal, and how many of the kind there are.

    `counted` false: it rests on the same upload as a stronger part.
    """

    signal_type: str
    confidence_score: float
    signal_id: int
    beacon_id: str
    device_id: str | None
    asset_id: str | None
    signal_count: int
    counted: bool


class IncidentReply(IncidentSummary):
    """An incident with how many signals it has, the latest hundred of them, newest first, and its first pictures.

    `confidence`: how sure its kinds of signals are together, 1 - (1 - c1)(1 - c2)…; its parts, the strongest first.
    `links`: paths of this origin with all the rest.
    """

    confidence: float
    confidence_parts: list[ConfidencePart]
    signal_count: int
    signals: list[SignalReply]
    images: list[ImageReply]
    links: dict[str, str]


class IncidentList(BaseModel):
    """A page, the last opened first; pass `next_cursor` as `cursor` for the following one.

    `counts`: how many there are of each status asked for, and `total` all of them; on the first page only.
    """

    incidents: list[IncidentSummary]
    next_cursor: str | None
    total: int | None
    counts: dict[IncidentStatus, int] | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """Both routes over the store. Callers limited to places find no others'."""
    routes = APIRouter(tags=["incidents"])

    @routes.get("/incidents")
    def list_incidents(filters: Annotated[Filters, Query()], caller: Viewer) -> IncidentList:
        search = filters.search(caller)
        found, following = incident_search.find(documents(), search, limit=filters.limit, cursor=filters.cursor)
        counts = incident_search.count_by_status(documents(), search) if filters.cursor is None else None
        return IncidentList(
            incidents=[summarise(incident) for incident in found],
            next_cursor=following,
            total=None if counts is None else sum(counts.values()),
            counts=counts,
        )

    @routes.get("/incidents/{incident_id}")
    def get_incident(incident_id: str, caller: Viewer, response: Response) -> IncidentReply:
        incident, _ = visible_incident(incident_id, caller, documents())
        put_etag(response, incident)
        return _whole(incident, documents())

    return routes


def _whole(incident: Incident, documents: Documents) -> IncidentReply:
    fused = fusing.confidence_of(documents, incident.id)
    images, _ = evidence_images.of_incident(documents, incident.id, limit=SHOWN)
    path = f"/incidents/{incident.id}"
    return IncidentReply(
        **summarise(incident).model_dump(),
        confidence=fused.confidence,
        confidence_parts=[_part(part) for part in fused.parts],
        signal_count=incidents.signal_count(documents, incident.id),
        signals=[show_signal(signal) for signal in incidents.signals_of(documents, incident.id, SHOWN)],
        images=[shown_image(image) for image in images],
        links={
            "timeline": f"{path}/timeline",
            "images": f"{path}/images",
            "alerts": f"/alerts?incident_id={incident.id}",
        },
    )


def _part(part: Part) -> ConfidencePart:
    return ConfidencePart(
        signal_type=PROFILES[part.kind].signal_type,
        confidence_score=part.confidence,
        signal_id=part.signal_id,
        beacon_id=part.beacon_id,
        device_id=part.device_id,
        asset_id=part.asset_id,
        signal_count=part.signals,
        counted=part.counted,
    )
