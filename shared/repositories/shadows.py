"""What the shadow profile would have said, beside what was said: one document a piece of media and pair of profiles.

Judging the same again replaces the comparison, so nothing is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.ports import Documents, Filter, Order, Query, Set
from shared.records import from_data, to_data

COLLECTION = "shadow_comparisons"


@dataclass(frozen=True)
class Comparison:
    """One piece of media judged by two profiles on the same evidence.

    `media_id` is an asset's id or the id in a batch. `profile` and `shadow` are names with versions. `flips`: the
    verdicts differ; `reasons` are those of the shadow's, `causes` the findings that count for one of the two alone.
    """

    media_id: str
    profile: str
    shadow: str
    status: str
    shadow_status: str
    rule: str
    shadow_rule: str
    flips: bool
    created_at: datetime
    reasons: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


def record(comparison: Comparison) -> Set:
    """The write that stores the comparison."""
    key = f"{comparison.media_id}:{comparison.profile}:{comparison.shadow}"
    return Set(COLLECTION, key, to_data(comparison))


def since(
    documents: Documents, moment: datetime, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[Comparison], str | None]:
    """A page of the comparisons made at or after `moment`, the newest first, and the cursor of the next page."""
    query = Query(COLLECTION, (Filter("created_at", ">=", moment),), (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [from_data(Comparison, document.data) for document in page.documents], page.next_cursor
