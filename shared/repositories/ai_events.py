"""AI events, read back: everything that was reported, whether or not it concerned an incident."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.incidents import AiEvent
from shared.errors import NotFound
from shared.ports import Documents, Filter, Order, Query
from shared.records import from_data
from shared.repositories.incidents import AI_EVENTS

MOST_PLACES = 30
"""As many as one query may name."""


def get(documents: Documents, ai_event_id: int) -> AiEvent:
    """The event; raises `NotFound`."""
    document = documents.get(AI_EVENTS, str(ai_event_id))
    if document is None:
        raise NotFound("unknown_ai_event", "No such AI event.")
    return from_data(AiEvent, document.data)


def newest(
    documents: Documents,
    *,
    beacon_ids: Sequence[str] | None,
    below_threshold: bool | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[AiEvent], str | None]:
    """A page, the latest first, and the cursor of the next page. `beacon_ids`: at most `MOST_PLACES`; None: all."""
    where = []
    if beacon_ids is not None:
        where.append(Filter("beacon_id", "in", list(beacon_ids)))
    if below_threshold is not None:
        where.append(Filter("below_threshold", "==", below_threshold))
    query = Query(AI_EVENTS, tuple(where), (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(AiEvent, document.data) for document in page.documents], page.next_cursor
