"""What functions say of themselves, so that the health page can speak for parts it does not run (model, Gemini, …)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

from shared.domain.sweeping import LONGEST_SILENCE
from shared.errors import Retryable
from shared.ports import Clock, Documents, Set
from shared.records import from_data, to_data

COLLECTION = "components"
MAINTAIN = "maintain"
GEMINI = "gemini"
VISION = "vision"
LANGUAGE = "language"
VIDEO_INTELLIGENCE = "video_intelligence"
Condition = Literal["ok", "degraded"]


@dataclass(frozen=True)
class Position:
    """How far a run came: on the page behind `cursor` (None: the first), to the document of this `moment` and `id`.

    A page's cursor stands at its beginning, so what was handled of it is told by the order: by moment, then by id.
    """

    cursor: str | None = None
    moment: datetime | None = None
    id: str = ""

    def has_passed(self, moment: datetime, id: str) -> bool:
        """Whether a document of this place in the order was handled."""
        return self.moment is not None and (moment, id) <= (self.moment, self.id)


@dataclass(frozen=True)
class MaintenanceRun:
    """The sweeper's last run, and where its next one begins.

    `counts` says how many of each kind it mended. `positions`: where each kind goes on, if a run did not reach its end.
    `housekept_at`: when the bucket was last listed; everything in it from before `looked_until` is settled.
    """

    reported_at: datetime
    detail: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, Position] = field(default_factory=dict)
    housekept_at: datetime | None = None
    looked_until: datetime | None = None


def report(documents: Documents, name: str, detail: str, now: datetime, condition: Condition = "ok") -> Documents:
    """Says that a component was loaded or used, and how it is; gives the store back, for who says it on first use."""
    documents.commit([Set(COLLECTION, name, {"detail": detail, "reported_at": now, "condition": condition})])
    return documents


def state_of(documents: Documents, name: str) -> Literal["ok", "degraded", "off"]:
    """What the component said last, `off` before it said anything."""
    found = documents.get(COLLECTION, name)
    if found is None:
        return "off"
    return "degraded" if found.data.get("condition") == "degraded" else "ok"


def checks(documents: Documents, clock: Clock) -> dict[str, Callable[[], str]]:
    """How the health page looks at those that only speak for themselves here."""
    spoken = ("model", GEMINI, VISION, LANGUAGE, VIDEO_INTELLIGENCE)
    by_name = {name: partial(state_of, documents, name) for name in spoken}
    return {**by_name, MAINTAIN: lambda: maintenance_state(documents, clock.now())}


def report_maintenance(documents: Documents, run: MaintenanceRun) -> None:
    """Stores the sweeper's run. Of two that end together, either one's will do."""
    documents.commit([Set(COLLECTION, MAINTAIN, to_data(run))])


def last_maintenance(documents: Documents) -> MaintenanceRun | None:
    """The sweeper's last run, None before its first."""
    document = documents.get(COLLECTION, MAINTAIN)
    return None if document is None else from_data(MaintenanceRun, document.data)


def maintenance_state(documents: Documents, now: datetime) -> Literal["ok", "off"]:
    """`off` before the sweeper's first run. Raises `Retryable` when the last one was too long ago."""
    last = last_maintenance(documents)
    if last is None:
        return "off"
    if last.reported_at + LONGEST_SILENCE < now:
        raise Retryable("the sweeper has not run for too long")
    return "ok"
