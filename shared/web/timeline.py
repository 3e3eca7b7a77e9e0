"""GET /analysis/{asset_id}/timeline and /analysis/{asset_id}/contact-sheet: how a video looks over time."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from shared.domain.analysis import first_error
from shared.domain.assets import Asset, Detection
from shared.domain.detections import Segment
from shared.domain.moderation.findings import MediaKind
from shared.domain.timeline import HZ, Timeline
from shared.errors import NotReady
from shared.handlers.visibility import visible_asset
from shared.ports import Blobs, Documents
from shared.repositories import timelines
from shared.web.callers import Viewer


class SegmentReply(BaseModel):
    """A stretch in seconds, and its highest probability."""

    start: float
    end: float
    confidence: float
    type: str


class TimelineReply(BaseModel):
    """Entry k of `probabilities` stands for the seconds [k / hz, (k + 1) / hz); null where nothing was seen.

    `duration` in seconds. `contact_sheet` is a path of this origin, or null where there is none.
    """

    asset_id: str
    model: str
    class_name: str
    duration: float
    truncated: bool
    hz: int
    probabilities: list[float | None]
    segments: list[SegmentReply]
    contact_sheet: str | None


class JpegResponse(Response):
    """An image, in OpenAPI too."""

    media_type = "image/jpeg"


def router(documents: Callable[[], Documents], media: Callable[[], Blobs]) -> APIRouter:
    """Both routes. 404 for an asset that is unknown or of a place that is not the caller's, 409 for one whose detection
    has not ended or failed."""
    routes = APIRouter(tags=["analysis"])

    @routes.get("/analysis/{asset_id}/timeline")
    def get_timeline(asset_id: str, caller: Viewer) -> TimelineReply:
        found = _detection(visible_asset(asset_id, caller, documents()))
        return _reply(timelines.load(media(), asset_id, found.look))

    @routes.get("/analysis/{asset_id}/contact-sheet", response_class=JpegResponse)
    def get_contact_sheet(asset_id: str, caller: Viewer) -> JpegResponse:
        found = _detection(visible_asset(asset_id, caller, documents()))
        return JpegResponse(timelines.load_sheet(media(), asset_id, found.look))

    return routes


def _detection(asset: Asset) -> Detection:
    """Raises `NotReady`. What a stage stored before its result was saved is not shown."""
    if asset.detection is not None:
        return asset.detection
    if asset.kind is MediaKind.IMAGE:
        raise NotReady("still_image", "A still picture has no timeline.")
    failure = first_error(asset)
    if failure is not None:
        raise NotReady("analysis_failed", f"The analysis failed. {failure}")
    raise NotReady("analysis_pending", "The analysis has not ended yet.")


def _reply(found: Timeline) -> TimelineReply:
    return TimelineReply(
        asset_id=found.asset_id,
        model=found.model,
        class_name=found.class_name,
        duration=found.duration,
        truncated=found.truncated,
        hz=HZ,
        probabilities=list(found.probabilities),
        segments=[_segment(segment) for segment in found.segments],
        contact_sheet=f"/analysis/{found.asset_id}/contact-sheet" if found.contact_sheet else None,
    )


def _segment(segment: Segment) -> SegmentReply:
    return SegmentReply(start=segment.start, end=segment.end, confidence=segment.confidence, type=segment.type)
