"""Guards, and when each was last called.

When somebody was called lies in a document of its own: it is written with every round, and must not get in the way of
who changes the guard meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.guards import Guard
from shared.errors import NotFound
from shared.ports import Create, Delete, Document, Documents, Filter, Order, Query, Set, Update, Write
from shared.records import from_data, to_data

COLLECTION = "guards"
CALLS = "guard_calls"

MOST_OF_A_PLACE = 1100
"""A little over how many guards there can be: of several registered at once, the last ones may be too many."""


def find(documents: Documents, guard_id: str) -> tuple[Guard, str] | None:
    """The guard with their version, or None."""
    document = documents.get(COLLECTION, guard_id)
    return None if document is None else (_guard(document), document.version)


def get(documents: Documents, guard_id: str) -> tuple[Guard, str]:
    """The guard with their version; raises `NotFound`."""
    found = find(documents, guard_id)
    if found is None:
        raise NotFound("unknown_guard", "No such guard.")
    return found


def write(guard: Guard, version: str | None) -> Write:
    """Stores the guard if nobody did so since they were read (`version`; None: there was none)."""
    data = {**to_data(guard), "for_all_places": guard.places is None}
    if version is None:
        return Create(COLLECTION, guard.id, data)
    return Update(COLLECTION, guard.id, data, version=version)


def removal(guard_id: str) -> tuple[Write, ...]:
    """The writes that remove a guard; what they were asked stays in the alerts."""
    return (Delete(COLLECTION, guard_id), Delete(CALLS, guard_id))


def page(documents: Documents, *, limit: int, cursor: str | None) -> tuple[list[Guard], str | None]:
    """A page of all guards by id, and the cursor of the next page."""
    found = documents.query(Query(COLLECTION, (), (Order("id"),)), limit=limit, cursor=cursor)
    return [_guard(document) for document in found.documents], found.next_cursor


def how_many(documents: Documents) -> int:
    """How many guards there are."""
    return documents.count(Query(COLLECTION))


def of_place(documents: Documents, beacon_id: str) -> list[Guard]:
    """Those registered for the place, those of all places included, whether or not they can be called now."""
    named = Query(COLLECTION, (Filter("places", "array_contains", beacon_id),))
    everywhere = Query(COLLECTION, (Filter("for_all_places", "==", True),))
    pages = [documents.query(query, limit=MOST_OF_A_PLACE) for query in (named, everywhere)]
    return [_guard(document) for page in pages for document in page.documents]


def last_calls(documents: Documents, guards: Iterable[Guard]) -> Mapping[str, datetime]:
    """When each of them was last called; who never was is absent."""
    found = documents.get_many([(CALLS, guard.id) for guard in guards])
    return {document.id: document.data["called_at"] for document in found if document is not None}


def call_writes(guards: Sequence[Guard], now: datetime) -> tuple[Write, ...]:
    """The writes that remember that they are called now; of two calls at once either may be remembered."""
    return tuple(Set(CALLS, guard.id, {"called_at": now}) for guard in guards)


def with_token(documents: Documents, token: str) -> list[tuple[Guard, str]]:
    """Whose phone this is, each with their version: one guard, but for a moment of two registrations at once."""
    page = documents.query(Query(COLLECTION, (Filter("tokens", "array_contains", token),)))
    return [(_guard(document), document.version) for document in page.documents]


def without_token(guard: Guard, token: str) -> Guard:
    """The guard without one of their phones."""
    return replace(guard, tokens=tuple(kept for kept in guard.tokens if kept != token))


def _guard(document: Document) -> Guard:
    return from_data(Guard, document.data)
