"""A person says whether a verdict was right: stored as a training label, with what it speaks of (V, SPEC §7)."""

from __future__ import annotations

from dataclasses import dataclass

from shared import ids
from shared.domain.analysis import first_error
from shared.domain.assets import Asset, Detection
from shared.domain.labels import Accuracy, FeedbackLabel, check_comments, label_of
from shared.errors import AlreadyExists, NotReady
from shared.ports import Clock, Documents
from shared.repositories import assets, labels


@dataclass(frozen=True)
class Deps:
    """What feedback needs of the world."""

    documents: Documents
    clock: Clock


@dataclass(frozen=True)
class Feedback:
    """What the person said, and who it was. The same `idempotency_key` for the same asset means the same word."""

    asset_id: str
    rating: int
    accuracy: Accuracy
    comments: str
    given_by: str
    idempotency_key: str | None = None


def give(feedback: Feedback, deps: Deps) -> FeedbackLabel:
    """Stores the label that follows, or gives the one that this word made before.

    Raises `NotFound` for an unknown asset, `NotReady` where nothing was detected or ruled out yet, and `Malformed` for
    comments that can't be kept and for a word that contradicts the verdict.
    """
    check_comments(feedback.comments)
    asset = assets.get(deps.documents, feedback.asset_id)
    label_id = _id(feedback)
    given_before = labels.find(deps.documents, label_id)
    if given_before is not None:
        return given_before
    label = _label(label_id, feedback, asset, deps)
    try:
        deps.documents.commit([labels.creation(label)])
    except AlreadyExists:  # the same request, twice at once
        return labels.get(deps.documents, label_id)
    return label


def _id(feedback: Feedback) -> str:
    if feedback.idempotency_key is None:
        return ids.new_uuid()
    return ids.derived_uuid("feedback", feedback.asset_id, feedback.idempotency_key)


def _detection(asset: Asset) -> Detection:
    if asset.detection is not None:
        return asset.detection
    failure = first_error(asset)
    if failure is not None:
        raise NotReady("analysis_failed", f"There is no verdict to speak of: the analysis failed. {failure}")
    raise NotReady("analysis_pending", "There is no verdict to speak of yet: the analysis has not ended.")


def _label(label_id: str, feedback: Feedback, asset: Asset, deps: Deps) -> FeedbackLabel:
    found = _detection(asset)
    return FeedbackLabel(
        id=label_id,
        asset_id=asset.id,
        object_name=asset.object_name,
        generation=asset.generation,
        label=label_of(found, feedback.accuracy),
        accuracy=feedback.accuracy,
        rating=feedback.rating,
        comments=feedback.comments,
        segments=found.segments,
        peak_probability=found.peak_probability,
        sensitivity=found.sensitivity,
        model=found.model,
        created_by=feedback.given_by,
        created_at=deps.clock.now(),
    )
