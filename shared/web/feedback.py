"""POST /feedback: a person says whether a verdict was right (V)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from shared.domain.labels import Accuracy
from shared.handlers import labelling
from shared.handlers.visibility import visible_asset
from shared.web.callers import Operator
from shared.web.clients import Actor, IdempotencyKey


class FeedbackBody(BaseModel):
    """What a person thinks of an analysis. `comments` may have line breaks.

    `verdict` is the one that the person saw, as the analysis named it: 409 if another took its place since. Without it,
    the word is taken to speak of the verdict that is there when it arrives.
    """

    analysisId: str
    rating: int = Field(ge=1, le=5, strict=True)
    accuracy: Accuracy
    comments: str = ""
    verdict: str | None = None


class FeedbackReply(BaseModel):
    """The label that was stored, and the verdict it speaks of, with its model."""

    feedback_id: str
    analysisId: str
    label: str
    model: str
    verdict: str
    created_at: datetime


def router(deps: Callable[[], labelling.Deps]) -> APIRouter:
    """The route over these collaborators, made at the first request."""
    routes = APIRouter(tags=["feedback"])

    @routes.post("/feedback", status_code=201)
    def give_feedback(body: FeedbackBody, caller: Operator, given_by: Actor, key: IdempotencyKey) -> FeedbackReply:
        visible_asset(body.analysisId, caller, deps().documents)
        said = labelling.Feedback(
            body.analysisId, body.rating, body.accuracy, body.comments, given_by, key, body.verdict
        )
        label = labelling.give(said, deps())
        return FeedbackReply(
            feedback_id=label.id,
            analysisId=label.asset_id,
            label=label.label,
            model=label.model,
            verdict=label.verdict,
            created_at=label.created_at,
        )

    return routes
