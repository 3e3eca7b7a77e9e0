"""What one look of a Google witness costs by list price, before it is taken: budgets and receipts both count this.

The free units of each month are not subtracted: nobody here knows how many of them are left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.domain.prices import LANGUAGE, VIDEO_INTELLIGENCE, VISION, Unit, price
from shared.ports import Feature

_IMAGE_UNITS: Mapping[Feature, Unit] = {
    Feature.SAFE_SEARCH: Unit.SAFE_SEARCH_IMAGES,
    Feature.OBJECTS: Unit.OBJECT_IMAGES,
    Feature.LABELS: Unit.LABELLED_IMAGES,
    Feature.FACES: Unit.FACE_IMAGES,
    Feature.LOGOS: Unit.LOGO_IMAGES,
    Feature.TEXT: Unit.TEXT_IMAGES,
}
_VIDEO_UNITS = (Unit.LABEL_MINUTE, Unit.EXPLICIT_MINUTE, Unit.TEXT_MINUTE)
"""Shots are free with labels."""


def image_cost(frames: int, features: Sequence[Feature], at: datetime) -> float:
    """USD for Vision's look at `frames` pictures, each feature asked of each; safe search is free with labels."""
    asked = set(features)
    if Feature.LABELS in asked:
        asked.discard(Feature.SAFE_SEARCH)
    return frames / 1000 * math.fsum(price(VISION, _IMAGE_UNITS[feature], at) for feature in asked)


def text_cost(characters: int, at: datetime) -> float:
    """USD for Language's moderation and mood of one text, each in units begun; nothing for an empty one."""
    moderation = math.ceil(characters / 100) * price(LANGUAGE, Unit.MODERATED_HUNDRED, at)
    return moderation + math.ceil(characters / 1000) * price(LANGUAGE, Unit.SENTIMENT_THOUSAND, at)


def video_cost(duration_seconds: float, at: datetime) -> float:
    """USD for Video Intelligence's look at a video with all four features, by minutes begun, of which there is one."""
    minutes = max(1, math.ceil(duration_seconds / 60))
    return minutes * math.fsum(price(VIDEO_INTELLIGENCE, unit, at) for unit in _VIDEO_UNITS)
