"""A context model that tells the health page how its last call went. It must change nothing of what the model says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from shared.errors import AnalyserFailed, SightlineError
from shared.ports import Clock, ContextAnswer, ContextModel, ContextRequest, Depth, Documents
from shared.repositories import components

log = logging.getLogger(__name__)

COMPONENT = "gemini"
OUTAGES = frozenset({"not_permitted", "quota_exceeded", "refused", "too_slow", "unavailable"})
"""Failures that speak of the service or of our access to it; the others speak of one video."""

EVERY = timedelta(minutes=1)
"""A condition that stays is not written more often: many instances share one document."""


class WatchedModel:
    """Implements `ContextModel` by another one."""

    def __init__(self, model: ContextModel, documents: Documents, clock: Clock) -> None:
        self._model = model
        self._documents = documents
        self._clock = clock
        self._said: tuple[components.Condition, datetime] | None = None

    @property
    def name(self) -> str:
        """See `ContextModel.name`."""
        return self._model.name

    @property
    def depths(self) -> Sequence[Depth]:
        """See `ContextModel.depths`."""
        return self._model.depths

    def describe(self, request: ContextRequest, report: Callable[[float], None]) -> ContextAnswer:
        """See `ContextModel.describe`."""
        try:
            answer = self._model.describe(request, report)
        except AnalyserFailed as error:
            self._say("degraded" if error.code in OUTAGES else "ok", error.code)
            raise
        self._say("ok", self.name)
        return answer

    def _say(self, condition: components.Condition, detail: str) -> None:
        now = self._clock.now()
        if self._said is not None and self._said[0] == condition and now - self._said[1] < EVERY:
            return
        try:
            components.report(self._documents, COMPONENT, detail, now, condition)
        except SightlineError as error:
            log.warning("the health page does not hear of gemini: %s", type(error).__name__)
            return
        self._said = (condition, now)
