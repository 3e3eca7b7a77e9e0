"""Everything that happened to an incident, in order of time: its changes, signals, pictures and alerts, merged.

Each source is read in batches from the cursor's moment on, so a page costs the same however long the history is. What
arrives late, with a time before a page that was given out, is on no later page.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import islice

from shared.domain import alert_history
from shared.domain.alert_history import AlertMoment
from shared.domain.evidence_images import EvidenceImage
from shared.domain.incident_changes import TimelineEntry
from shared.domain.incidents import Signal
from shared.ports import Documents
from shared.repositories import alerts, evidence_images, incident_timelines, incidents, paging


class Source(IntEnum):
    """What an item is. Of one moment the cause comes first: a signal, its pictures, what changed, who is called."""

    SIGNAL = 0
    IMAGE = 1
    CHANGE = 2
    ALERT = 3


Happening = Signal | EvidenceImage | TimelineEntry | AlertMoment


@dataclass(frozen=True, order=True)
class Position:
    """Where an item stands; no two have the same. `key` tells apart those of one source and moment, in their order."""

    at: datetime
    source: Source
    key: int


@dataclass(frozen=True)
class Item:
    """Something that happened, and its place in the history."""

    position: Position
    happening: Happening


def page_of(documents: Documents, incident_id: str, *, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """A page of the history, the oldest first, and the cursor of the next page. Raises `Malformed`."""
    after = None if cursor is None else _position_in(cursor)
    merged = heapq.merge(*_sources(documents, incident_id, after, limit + 1), key=lambda item: item.position)
    rest = (item for item in merged if after is None or item.position > after)
    found = list(islice(rest, limit + 1))
    return found[:limit], _cursor_after(found[limit - 1]) if len(found) > limit else None


def _sources(documents: Documents, incident_id: str, after: Position | None, batch: int) -> tuple[Iterator[Item], ...]:
    since = None if after is None else after.at
    signals = incidents.signals_since(documents, incident_id, since, batch)
    images = evidence_images.since(documents, incident_id, since, batch)
    changes = incident_timelines.since(documents, incident_id, since, batch)
    called = sorted(_alert_items(documents, incident_id), key=lambda item: item.position)
    return (
        (Item(Position(signal.created_at, Source.SIGNAL, signal.id), signal) for signal in signals),
        (Item(Position(image.uploaded_at, Source.IMAGE, image.id), image) for image in images),
        (Item(Position(entry.at, Source.CHANGE, entry.number), entry) for entry in changes),
        iter(called),
    )


def _alert_items(documents: Documents, incident_id: str) -> Iterator[Item]:
    """Of all its alerts, of which there is one a priority."""
    for alert, _ in alerts.of_incident(documents, incident_id):
        for moment in alert_history.moments(alert):
            yield Item(Position(moment.at, Source.ALERT, moment.number), moment)


def _cursor_after(item: Item) -> str:
    return paging.cursor_of(item.position.at, item.position.source, item.position.key)


def _position_in(cursor: str) -> Position:
    moment, (source, key) = paging.position_in(cursor, int, int)
    return Position(moment, source, key)
