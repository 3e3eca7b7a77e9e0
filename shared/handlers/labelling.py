"""A person says whether a verdict was right: stored as a training label, with what it speaks of (V, SPEC §7)."""

from __future__ import annotations

from dataclasses import dataclass

from shared import ids
from shared.domain.analysis import first_error
from shared.domain.assets import Asset, Detection
from shared.domain.labels import Accuracy, FeedbackLabel, Word, check_comments, label_from, verdict_name
from shared.domain.moderation.findings import MediaKind
from shared.errors import AlreadyExists, Conflict, NotReady
from shared.ports import Clock, Documents
from shared.repositories import assets, labels


@dataclass(frozen=True)
class Deps:
    """What feedback needs of the world."""

    documents: Documents
    clock: Clock


@dataclass(frozen=True)
class Feedback:
    """What the person said, and who it was.

    `verdict` names the one that the person saw (`verdict_name`); without it, the word is taken to speak of the present
    one. The same `idempotency_key` of the same person for the same asset means the same word.
    """

    asset_id: str
    rating: int
    accuracy: Accuracy
    comments: str
    given_by: str
    idempotency_key: str | None = None
    verdict: str | None = None


def give(feedback: Feedback, deps: Deps) -> FeedbackLabel:
    """Stores the label that follows, or gives the one that this word made before.

    Raises `NotFound` for an unknown asset, `NotReady` where nothing was detected or ruled out yet, `Malformed` for
    comments that can't be kept and for a word that contradicts the verdict, and `Conflict` for one on a verdict that
    was replaced since and for another word under the same key.
    """
    check_comments(feedback.comments)
    asset = assets.get(deps.documents, feedback.asset_id)
    label_id = _id(feedback)
    given_before = labels.find(deps.documents, label_id)
    if given_before is not None:
        return _same_word(given_before, feedback)
    label = _label(label_id, feedback, asset, deps)
    try:
        deps.documents.commit([labels.creation(label)])
    except AlreadyExists:  # the same request, twice at once
        return _same_word(labels.get(deps.documents, label_id), feedback)
    return label


def _id(feedback: Feedback) -> str:
    if feedback.idempotency_key is None:
        return ids.new_uuid()
    return ids.derived_uuid("feedback", feedback.given_by, feedback.asset_id, feedback.idempotency_key)


def _same_word(given: FeedbackLabel, said: Feedback) -> FeedbackLabel:
    """The label that was given, if the same is said again. Raises `Conflict`."""
    same_verdict = said.verdict in {None, given.verdict}
    if same_verdict and (given.accuracy, given.rating, given.comments) == (said.accuracy, said.rating, said.comments):
        return given
    raise Conflict("key_reused", "Other feedback was given with this Idempotency-Key: use a new key for a new word.")


def _detection(asset: Asset) -> Detection:
    if asset.detection is not None:
        return asset.detection
    if asset.kind is MediaKind.IMAGE:
        raise NotReady("still_image", "Feedback is about what the detector says of videos; this is a still picture.")
    failure = first_error(asset)
    if failure is not None:
        raise NotReady("analysis_failed", f"There is no verdict to speak of: the analysis failed. {failure}")
    raise NotReady("analysis_pending", "There is no verdict to speak of yet: the analysis has not ended.")


def _label(label_id: str, feedback: Feedback, asset: Asset, deps: Deps) -> FeedbackLabel:
    found = _detection(asset)
    if feedback.verdict not in {None, verdict_name(found)}:
        raise Conflict(
            "verdict_replaced",
            "The verdict that this speaks of is no longer the present one: look at the analysis again.",
        )
    said = Word(
        label_id=label_id,
        accuracy=feedback.accuracy,
        comments=feedback.comments,
        said_by=feedback.given_by,
        said_at=deps.clock.now(),
        rating=feedback.rating,
    )
    return label_from(said, asset, found)
