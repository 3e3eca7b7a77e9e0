"""Tells the health page how the last call of a service went, for the wrappers that watch analysers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from shared.errors import AnalyserFailed, SightlineError
from shared.ports import Clock, Documents
from shared.repositories import components

log = logging.getLogger(__name__)

OUTAGES = frozenset({"not_permitted", "quota_exceeded", "refused", "too_slow", "unavailable"})
"""Failures that speak of the service or of our access to it; the others speak of what was shown to it."""

EVERY = timedelta(minutes=1)
"""A condition that stays is not written more often: many instances share one document."""


class Watch:
    """Speaks for one component."""

    def __init__(self, component: str, documents: Documents, clock: Clock) -> None:
        self._component = component
        self._documents = documents
        self._clock = clock
        self._said: tuple[components.Condition, datetime] | None = None

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Around one call: says `name` when it succeeds, the code of the `AnalyserFailed` that goes through if not."""
        try:
            yield
        except AnalyserFailed as error:
            self.failed(error)
            raise
        self._say("ok", name)

    def failed(self, error: AnalyserFailed) -> None:
        """Says what a failure means for the service."""
        self._say("degraded" if error.code in OUTAGES else "ok", error.code)

    def answered(self, name: str, errors: Iterable[AnalyserFailed | None]) -> None:
        """Says what an answer with these `errors` in it means: one outage among them is enough."""
        outage = next((error for error in errors if error is not None and error.code in OUTAGES), None)
        if outage is None:
            self._say("ok", name)
        else:
            self.failed(outage)

    def _say(self, condition: components.Condition, detail: str) -> None:
        """Stores it, unless the same was said a moment ago. Never raises for a store that is away."""
        now = self._clock.now()
        if self._said is not None and self._said[0] == condition and now - self._said[1] < EVERY:
            return
        try:
            components.report(self._documents, self._component, detail, now, condition)
        except SightlineError as error:
            log.warning("the health page does not hear of %s: %s", self._component, type(error).__name__)
            return
        self._said = (condition, now)
