"""GET /feedback?analysisId=: what people said of one analysis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.labels import FeedbackLabel
from shared.handlers.visibility import visible_asset
from shared.ports import Documents
from shared.repositories import labels
from shared.web.callers import Viewer


class LabelReply(BaseModel):
    """One word of feedback and the label it became; `verdict` is the one it speaks of, `model` whose that was.

    `incident_id`: the incident whose resolution it was; then there is no rating.
    """

    feedback_id: str
    analysisId: str
    label: str
    accuracy: str
    rating: int | None
    comments: str
    model: str
    verdict: str
    peakProbability: float
    created_by: str
    incident_id: str | None
    created_at: datetime


class LabelList(BaseModel):
    """A page, the latest first; pass `next_cursor` as `cursor` for the following one."""

    feedback: list[LabelReply]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """The route over the store. 404 also for uploads of places that are not the caller's."""
    routes = APIRouter(tags=["feedback"])

    @routes.get("/feedback")
    def list_feedback(
        caller: Viewer,
        asset_id: Annotated[str, Query(alias="analysisId")],
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
    ) -> LabelList:
        visible_asset(asset_id, caller, documents())
        found, following = labels.newest(documents(), asset_id, limit=limit, cursor=cursor)
        return LabelList(feedback=[_shown(label) for label in found], next_cursor=following)

    return routes


def _shown(label: FeedbackLabel) -> LabelReply:
    return LabelReply(
        feedback_id=label.id,
        analysisId=label.asset_id,
        label=label.label,
        accuracy=label.accuracy,
        rating=label.rating,
        comments=label.comments,
        model=label.model,
        verdict=label.verdict,
        peakProbability=label.peak_probability,
        created_by=label.created_by,
        incident_id=label.incident_id,
        created_at=label.created_at,
    )
