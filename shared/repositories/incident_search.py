"""Incidents by what is asked of them: any of the filters together, counts by status, and only places one may see.

Every filter has an index with the time of opening, which the store joins where several are asked for. The alternatives
that one query may name are bounded: for a caller with more places than fit, several queries are merged.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from shared.domain.incidents import Incident, IncidentStatus, Outcome, Priority
from shared.ports import Documents, Filter, Operator, Order, Query
from shared.records import from_data
from shared.repositories import paging
from shared.repositories.incidents import INCIDENTS

MAX_ALTERNATIVES = 30
"""How many combinations of values one query may ask for (Firestore's limit)."""

PORTION_BATCH = 20
"""Incidents read at a time of each of several portions, beyond its even share of the page."""

Places = tuple[str, ...] | None
Position = tuple[datetime, str]


@dataclass(frozen=True)
class Search:
    """What incidents are asked for; empty or None: of any kind. Opened from `opened_after` on, before `opened_before`.

    Each of `statuses`, `priorities` and `outcomes` names a value once: then all of them together fit into one query.
    `places`: the only beacons whose incidents may be found; None: all.
    """

    statuses: tuple[IncidentStatus, ...] = ()
    priorities: tuple[Priority, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    beacon_id: str | None = None
    assignee: str | None = None
    legal_hold: bool | None = None
    opened_after: datetime | None = None
    opened_before: datetime | None = None
    places: tuple[str, ...] | None = None


def find(documents: Documents, search: Search, *, limit: int, cursor: str | None) -> tuple[list[Incident], str | None]:
    """A page of the incidents, the last opened first, and the cursor of the next page.

    Raises `Malformed` for a foreign cursor.
    """
    after = None if cursor is None else _position_in(cursor)
    portions = _portions(search)
    batch = limit + 1 if len(portions) < 2 else limit // len(portions) + PORTION_BATCH
    streams = [_stream(documents, search, places, after, batch=batch) for places in portions]
    found = list(islice(heapq.merge(*streams, key=_position, reverse=True), limit + 1))
    return found[:limit], _cursor_after(found[limit - 1]) if len(found) > limit else None


def count_by_status(documents: Documents, search: Search) -> dict[IncidentStatus, int]:
    """How many incidents of each status asked for the search would find, counted by the store."""
    statuses = search.statuses or tuple(IncidentStatus)
    return {status: _count(documents, replace(search, statuses=(status,))) for status in statuses}


def _count(documents: Documents, search: Search) -> int:
    return sum(documents.count(_query(search, places)) for places in _portions(search))


def _stream(
    documents: Documents, search: Search, places: Places, after: Position | None, *, batch: int
) -> Iterator[Incident]:
    """Those of a portion that come after a position, the last opened first."""
    query = _query(search, places)
    if after is not None:
        query = replace(query, where=(*query.where, Filter("opened_at", "<=", after[0])))
    for document in paging.every(documents, query, page=batch):
        incident = from_data(Incident, document.data)
        if after is None or _position(incident) < after:
            yield incident


def _position(incident: Incident) -> Position:
    return incident.opened_at, incident.id


def _cursor_after(incident: Incident) -> str:
    return paging.cursor_of(incident.opened_at, incident.id)


def _position_in(cursor: str) -> Position:
    moment, (incident_id,) = paging.position_in(cursor, str)
    return moment, incident_id


def _portions(search: Search) -> list[Places]:
    """The places in as many parts as it takes queries; none where nothing may be found, None: whatever the place."""
    if search.places is None:
        return [None]
    if search.beacon_id is not None:
        return [None] if search.beacon_id in search.places else []
    places, room = tuple(dict.fromkeys(search.places)), _room_for_places(search)
    return [places[first : first + room] for first in range(0, len(places), room)]


def _room_for_places(search: Search) -> int:
    """How many places one query can name beside the other alternatives."""
    return MAX_ALTERNATIVES // math.prod(
        max(1, len(values)) for values in (_statuses(search), _priorities(search), search.outcomes)
    )


def _statuses(search: Search) -> tuple[IncidentStatus, ...]:
    return () if set(search.statuses) == set(IncidentStatus) else search.statuses


def _priorities(search: Search) -> tuple[Priority, ...]:
    return () if set(search.priorities) == set(Priority) else search.priorities


def _query(search: Search, places: Places) -> Query:
    named = places if search.beacon_id is None else (search.beacon_id,)
    where = (
        *_any_of("status", _statuses(search)),
        *_any_of("priority", _priorities(search)),
        *_any_of("outcome", search.outcomes),
        *_any_of("beacon_id", named or ()),
        *_that("assignee", "==", search.assignee),
        *_that("legal_hold", "==", search.legal_hold),
        *_that("opened_at", ">=", search.opened_after),
        *_that("opened_at", "<", search.opened_before),
    )
    return Query(INCIDENTS, where, (Order("opened_at", descending=True),))


def _any_of(field: str, values: Sequence[str]) -> tuple[Filter, ...]:
    plain = [str(value) for value in values]
    return (Filter(field, "in", plain),) if plain else ()


def _that(field: str, operator: Operator, value: object) -> tuple[Filter, ...]:
    return () if value is None else (Filter(field, operator, value),)
