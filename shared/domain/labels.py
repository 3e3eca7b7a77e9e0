"""What a person says of a verdict becomes a label to train on, kept with what was known at that time (S)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.domain.assets import Asset, Detection, are_shown_lines
from shared.domain.detections import Segment
from shared.domain.stages import Stage, whole_ledger
from shared.errors import Malformed

MAX_COMMENT_CHARACTERS = 2000


class Accuracy(StrEnum):
    """What the person thinks of the verdict."""

    ACCURATE = "accurate"
    FALSE_POSITIVE = "false_positive"
    FALSE_NEGATIVE = "false_negative"


class Label(StrEnum):
    """What a video shows, as training wants to know it."""

    VIOLENCE = "violence"
    CALM = "calm"


@dataclass(frozen=True)
class FeedbackLabel:
    """One person's word on one verdict, with all that training will need of the verdict it speaks of.

    It was given as feedback, with a `rating` of 1 to 5, or by resolving the incident `incident_id`, without one.

    `object_name` and `generation` name the file; `segments`, `peak_probability`, `sensitivity` and `model` are what the
    detector said when the person saw it, which a later replay does not change. `verdict` is its name (`verdict_name`),
    empty in labels from before there was one; `step` and `look` are the detection's. `reused_from`: the asset whose
    detection this one took over. Both show the same recording, so they belong into the same part of a training set.
    """

    id: str
    asset_id: str
    object_name: str
    generation: int | None
    label: Label
    accuracy: Accuracy
    rating: int | None
    comments: str
    segments: tuple[Segment, ...]
    peak_probability: float
    sensitivity: float
    model: str
    created_by: str
    created_at: datetime
    verdict: str = ""
    step: int = 1
    look: str = ""
    reused_from: str | None = None
    incident_id: str | None = None


@dataclass(frozen=True)
class Word:
    """What a person said of an asset's verdict, and when. `label_id` is the id of the label that it becomes."""

    label_id: str
    accuracy: Accuracy
    comments: str
    said_by: str
    said_at: datetime
    rating: int | None = None
    incident_id: str | None = None


def label_from(word: Word, asset: Asset, found: Detection) -> FeedbackLabel:
    """The label that a word on the present verdict of an asset becomes. Raises `Malformed` as `label_of`."""
    return FeedbackLabel(
        id=word.label_id,
        asset_id=asset.id,
        object_name=asset.object_name,
        generation=asset.generation,
        label=label_of(found, word.accuracy),
        accuracy=word.accuracy,
        rating=word.rating,
        comments=word.comments,
        segments=found.segments,
        peak_probability=found.peak_probability,
        sensitivity=found.sensitivity,
        model=found.model,
        created_by=word.said_by,
        created_at=word.said_at,
        verdict=verdict_name(found),
        step=found.step,
        look=found.look,
        reused_from=whole_ledger(asset.stages)[Stage.DETECT].reused_from,
        incident_id=word.incident_id,
    )


def verdict_name(detection: Detection) -> str:
    """A short name of what was found: 16 hex digits, another one as soon as anything that was found is another.

    Looking again and finding just the same gives the same name, so `look` has no part in it.
    """
    found = json.dumps(asdict(replace(detection, look="")), sort_keys=True)
    return hashlib.sha256(found.encode()).hexdigest()[:16]


def verdict_of(asset: Asset) -> str | None:
    """The name of what is found in the asset at present; None before anything was found or ruled out."""
    return None if asset.detection is None else verdict_name(asset.detection)


_LABELS: Mapping[tuple[bool, Accuracy], Label] = {
    (True, Accuracy.ACCURATE): Label.VIOLENCE,
    (False, Accuracy.ACCURATE): Label.CALM,
    (True, Accuracy.FALSE_POSITIVE): Label.CALM,
    (False, Accuracy.FALSE_NEGATIVE): Label.VIOLENCE,
}


def label_of(detection: Detection, accuracy: Accuracy) -> Label:
    """What the video shows, by the verdict at its sensitivity and what is said of it.

    Raises `Malformed` for what contradicts itself: a false alarm where there was none, a miss where one was found.
    """
    found = bool(detection.segments)
    label = _LABELS.get((found, accuracy))
    if label is None:
        seen = "something was detected" if found else "nothing was detected"
        raise Malformed("contradiction", f"It can't be a {accuracy.replace('_', ' ')}: {seen} in this video.")
    return label


def check_comments(comments: str) -> None:
    """Raises `Malformed` for comments that are too long, or hold what can't be shown. Line breaks and tabs can."""
    if len(comments) > MAX_COMMENT_CHARACTERS:
        raise Malformed("comments_too_long", f"comments must be at most {MAX_COMMENT_CHARACTERS} characters.")
    if not are_shown_lines(comments, MAX_COMMENT_CHARACTERS):
        raise Malformed("comments_unprintable", "comments must be printable text.")
