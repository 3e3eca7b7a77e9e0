"""GET /ai-events, /ai-events/{id} and its images: what was reported, also below the threshold, for review."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from shared.domain.evidence_images import EvidenceImage
from shared.domain.evidence_views import Purpose
from shared.domain.incidents import PROFILES, AiEvent, concerns_incident
from shared.errors import Malformed, NotFound
from shared.handlers import evidence
from shared.ports import Caller, Documents
from shared.repositories import ai_events, evidence_images
from shared.web.callers import Viewer
from shared.web.clients import Actor
from shared.web.evidence import redirect


class EventImage(BaseModel):
    """A picture that came with the report. `url`: a path of this origin, None once it is deleted."""

    image_id: int
    content_type: str
    width: int
    height: int
    description: str
    uploaded_at: datetime
    url: str | None


class AiEventReply(BaseModel):
    """One report. `incident_id` is None where it concerned no incident, because it lies below its kind's threshold, or
    because its kind takes no part in incidents.
    """

    ai_event_id: int
    signal_type: str
    beacon_id: str
    confidence_score: float
    description: str
    device_id: str | None
    reported_by: str | None
    asset_id: str | None
    created_at: datetime
    incident_id: str | None
    below_threshold: bool
    images: list[EventImage]


class AiEventList(BaseModel):
    """A page, the latest first; pass `next_cursor` as `cursor` for the following one."""

    ai_events: list[AiEventReply]
    next_cursor: str | None


def router(deps: Callable[[], evidence.Deps]) -> APIRouter:
    """The routes for review. What belongs to places that are not the caller's is not there for them."""
    routes = APIRouter(prefix="/ai-events", tags=["ai-events"])

    @routes.get("")
    def list_events(
        caller: Viewer,
        below_threshold: bool | None = None,
        beacon_id: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
    ) -> AiEventList:
        places = _places(caller, beacon_id)
        if places == ():
            return AiEventList(ai_events=[], next_cursor=None)
        found, following = ai_events.newest(
            deps().documents, beacon_ids=places, below_threshold=below_threshold, limit=limit, cursor=cursor
        )
        images = evidence_images.of_ai_events(deps().documents, [event.id for event in found])
        return AiEventList(ai_events=[_shown(event, images[event.id]) for event in found], next_cursor=following)

    @routes.get("/{ai_event_id}")
    def get_event(ai_event_id: int, caller: Viewer) -> AiEventReply:
        event = _event_for(ai_event_id, caller, deps().documents)
        return _shown(event, evidence_images.of_ai_events(deps().documents, [event.id])[event.id])

    @routes.get("/{ai_event_id}/images/{image_id}", status_code=307, response_class=RedirectResponse)
    def get_image(ai_event_id: int, image_id: int, caller: Viewer, by: Actor) -> RedirectResponse:
        event = _event_for(ai_event_id, caller, deps().documents)
        found = evidence_images.find(deps().documents, image_id)
        if found is None or found[0].ai_event_id != event.id:
            raise NotFound("unknown_image", "This AI event has no such image.")
        return redirect(evidence.link_for(found[0], by, Purpose.LINK, deps()))

    return routes


def _places(caller: Caller, beacon_id: str | None) -> tuple[str, ...] | None:
    """The places to look at; None: all. Raises `Malformed` where the caller's are too many for one question."""
    if beacon_id is not None:
        return (beacon_id,) if caller.may_see(beacon_id) else ()
    if caller.places is not None and len(caller.places) > ai_events.MOST_PLACES:
        raise Malformed("beacon_needed", f"You see more than {ai_events.MOST_PLACES} places: name one as beacon_id.")
    return caller.places


def _event_for(ai_event_id: int, caller: Caller, documents: Documents) -> AiEvent:
    event = ai_events.get(documents, ai_event_id)
    if not caller.may_see(event.observation.beacon_id):
        raise NotFound("unknown_ai_event", "No such AI event.")
    return event


def _shown(event: AiEvent, images: Sequence[EvidenceImage]) -> AiEventReply:
    observation = event.observation
    return AiEventReply(
        ai_event_id=event.id,
        signal_type=PROFILES[observation.kind].signal_type,
        beacon_id=observation.beacon_id,
        confidence_score=observation.confidence,
        description=observation.description,
        device_id=observation.device_id,
        reported_by=observation.reported_by,
        asset_id=observation.asset_id,
        created_at=event.created_at,
        incident_id=event.incident_id,
        below_threshold=not concerns_incident(observation),
        images=[_image(image) for image in images],
    )


def _image(image: EvidenceImage) -> EventImage:
    return EventImage(
        image_id=image.id,
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        description=image.description,
        uploaded_at=image.uploaded_at,
        url=None if image.deleted_at else f"/ai-events/{image.ai_event_id}/images/{image.id}",
    )
