"""GET /incidents/{id}/images, /media/{asset_id} and /views: evidence by short-lived links, each of which is logged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from shared.domain.evidence_images import EvidenceImage
from shared.domain.evidence_views import EvidenceView, Purpose
from shared.handlers import evidence
from shared.handlers.visibility import visible_incident
from shared.repositories import evidence_images, evidence_views
from shared.web.callers import Operator, Viewer
from shared.web.clients import Actor


class ImageReply(BaseModel):
    """A picture as it is stored; `size` in bytes, `sha256` in hex. `url`: a path of this origin, None once deleted."""

    image_id: int
    content_type: str
    size: int
    sha256: str
    received_sha256: str
    width: int
    height: int
    description: str
    signal_id: int | None
    ai_event_id: int
    uploaded_at: datetime
    deleted_at: datetime | None
    deleted_because: str | None
    url: str | None


class ImageList(BaseModel):
    """A page, the oldest first; pass `next_cursor` as `cursor` for the following one."""

    images: list[ImageReply]
    next_cursor: str | None


class ViewReply(BaseModel):
    """Who was given what, when and how; `expires_at` is None for bundles and for public URLs, which do not expire."""

    view_id: int
    at: datetime
    by: str
    purpose: str
    item: str
    item_id: str
    expires_at: datetime | None


class ViewList(BaseModel):
    """A page of the view log, the first one first."""

    views: list[ViewReply]
    next_cursor: str | None


Limit = Annotated[int, Query(ge=1, le=1000)]


def router(deps: Callable[[], evidence.Deps]) -> APIRouter:
    """The routes that show evidence. 404 also for incidents of places that are not the caller's; 410 once deleted."""
    routes = APIRouter(tags=["evidence"])

    @routes.get("/incidents/{incident_id}/images")
    def list_images(incident_id: str, caller: Viewer, limit: Limit = 100, cursor: str | None = None) -> ImageList:
        incident, _ = visible_incident(incident_id, caller, deps().documents)
        found, following = evidence_images.of_incident(deps().documents, incident.id, limit=limit, cursor=cursor)
        return ImageList(images=[shown_image(image) for image in found], next_cursor=following)

    @routes.get("/incidents/{incident_id}/images/{image_id}", status_code=307, response_class=RedirectResponse)
    def get_image(incident_id: str, image_id: int, caller: Viewer, by: Actor) -> RedirectResponse:
        incident, _ = visible_incident(incident_id, caller, deps().documents)
        image = evidence.image_of(incident, image_id, deps().documents)
        return redirect(evidence.link_for(image, by, Purpose.LINK, deps()))

    @routes.get("/incidents/{incident_id}/media/{asset_id}", status_code=307, response_class=RedirectResponse)
    def get_media(incident_id: str, asset_id: str, caller: Operator, by: Actor) -> RedirectResponse:
        incident, _ = visible_incident(incident_id, caller, deps().documents)
        asset = evidence.asset_of(incident, asset_id, deps().documents)
        return redirect(evidence.media_link_for(asset, incident, by, deps()))

    @routes.get("/incidents/{incident_id}/views")
    def list_views(incident_id: str, caller: Operator, limit: Limit = 100, cursor: str | None = None) -> ViewList:
        incident, _ = visible_incident(incident_id, caller, deps().documents)
        found, following = evidence_views.of_incident(deps().documents, incident.id, limit=limit, cursor=cursor)
        return ViewList(views=[_view(view) for view in found], next_cursor=following)

    return routes


def redirect(url: str) -> RedirectResponse:
    """A link that is valid for minutes must be in nobody's cache."""
    return RedirectResponse(url, 307, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def shown_image(image: EvidenceImage) -> ImageReply:
    """A picture as it is shown: by a path that logs who looks."""
    path = None if image.deleted_at else f"/incidents/{image.incident_id}/images/{image.id}"
    return ImageReply(
        image_id=image.id,
        content_type=image.content_type,
        size=image.size,
        sha256=image.sha256,
        received_sha256=image.received_sha256,
        width=image.width,
        height=image.height,
        description=image.description,
        signal_id=image.signal_id,
        ai_event_id=image.ai_event_id,
        uploaded_at=image.uploaded_at,
        deleted_at=image.deleted_at,
        deleted_because=image.deleted_because,
        url=path,
    )


def _view(view: EvidenceView) -> ViewReply:
    return ViewReply(
        view_id=view.id,
        at=view.at,
        by=view.by,
        purpose=view.purpose,
        item=view.item,
        item_id=view.item_id,
        expires_at=view.expires_at,
    )
