"""A context model that tells the health page how its last call went. It must change nothing of what the model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.handlers.watch import Watch
from shared.ports import Clock, ContextAnswer, ContextModel, ContextRequest, Depth, Documents
from shared.repositories import components


class WatchedModel:
    """Implements `ContextModel` by another one."""

    def __init__(self, model: ContextModel, documents: Documents, clock: Clock) -> None:
        self._model = model
        self._watch = Watch(components.GEMINI, documents, clock)

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
        with self._watch.call(self.name):
            return self._model.describe(request, report)
