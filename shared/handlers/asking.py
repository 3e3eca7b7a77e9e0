"""Puts the services together that look at media: each watched for the health page, each with its day's budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.moderation.patterns import PatternSet
from shared.handlers import witnesses
from shared.handlers.spending import Spending
from shared.handlers.watched_witnesses import WatchedImages, WatchedTexts, WatchedVideos
from shared.ports import Clock, Documents, ImageAnnotator, TextAnalyzer, VideoAnnotator

VISION = "Vision"
LANGUAGE = "Language"
VIDEO_INTELLIGENCE = "Video Intelligence"


@dataclass(frozen=True)
class FullLook:
    """Who looks at whole videos, and the money for it."""

    annotator: VideoAnnotator
    money: Spending


def billed_witnesses(
    images: ImageAnnotator,
    text: TextAnalyzer,
    patterns: PatternSet,
    budgets: Mapping[str, float | None],
    documents: Documents,
    clock: Clock,
) -> witnesses.Deps:
    """Witnesses that send bills. `budgets`: in USD for each UTC day, by the names above; None: no limit."""
    return witnesses.Deps(
        WatchedImages(images, documents, clock),
        WatchedTexts(text, documents, clock),
        patterns,
        Spending(documents, clock, VISION, budgets[VISION]),
        Spending(documents, clock, LANGUAGE, budgets[LANGUAGE]),
    )


def billed_full_look(annotator: VideoAnnotator, budget: float | None, documents: Documents, clock: Clock) -> FullLook:
    """Whole videos are looked at for at most `budget` USD each UTC day; None: no limit."""
    money = Spending(documents, clock, VIDEO_INTELLIGENCE, budget)
    return FullLook(WatchedVideos(annotator, documents, clock), money)
