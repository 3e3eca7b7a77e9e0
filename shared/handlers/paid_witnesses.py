"""Witnesses of a service that bills: watched by the health page, and paid from the day's budgets."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.moderation.patterns import PatternSet
from shared.handlers.spending import Spending
from shared.handlers.watched_witnesses import WatchedImages, WatchedTexts
from shared.handlers.witnesses import Deps
from shared.ports import Clock, Documents, ImageAnnotator, TextAnalyzer

VISION = "Vision"
LANGUAGE = "Language"


def hired(
    images: ImageAnnotator,
    text: TextAnalyzer,
    patterns: PatternSet,
    budgets: Mapping[str, float | None],
    documents: Documents,
    clock: Clock,
) -> Deps:
    """The witnesses. `budgets`: USD a day of `VISION` and `LANGUAGE`; None: no limit."""
    return Deps(
        images=WatchedImages(images, documents, clock),
        text=WatchedTexts(text, documents, clock),
        patterns=patterns,
        vision_money=Spending(documents, clock, VISION, budgets[VISION]),
        language_money=Spending(documents, clock, LANGUAGE, budgets[LANGUAGE]),
    )
