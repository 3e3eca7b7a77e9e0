"""The latest changes of incidents and alerts, by when they were made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from shared.domain.happenings import Happening, of_alert, of_incident
from shared.ports import Document, Documents, Filter, Order, Query, Subscription
from shared.repositories import alerts, incidents

_READERS: dict[str, Callable[[Document], Happening]] = {
    incidents.INCIDENTS: lambda document: of_incident(incidents.of_document(document)),
    alerts.COLLECTION: lambda document: of_alert(alerts.alert_of(document)),
}
"""By collection; each has the field `changed_at`."""


def since(documents: Documents, moment: datetime, limit: int) -> tuple[list[Happening], bool]:
    """What last changed at `moment` or later, in order of time, and whether that is all: at most `limit` of a kind."""
    pages = {name: documents.query(_changed(name, moment), limit=limit) for name in _READERS}
    found = [_READERS[name](document) for name, page in pages.items() for document in page.documents]
    complete = all(page.next_cursor is None for page in pages.values())
    return sorted(found, key=lambda happening: happening.at), complete


def watch(
    documents: Documents, moment: datetime, on_change: Callable[[str, list[Happening]], None]
) -> list[Subscription]:
    """Calls `on_change` at once and after each change with everything of one kind that changed since `moment`.

    Its first argument is the name of the kind.
    """
    return [documents.watch(_changed(name, moment), partial(_read, on_change, name)) for name in _READERS]


def _read(on_change: Callable[[str, list[Happening]], None], name: str, found: tuple[Document, ...]) -> None:
    on_change(name, [_READERS[name](document) for document in found])


def _changed(collection: str, moment: datetime) -> Query:
    return Query(collection, (Filter("changed_at", ">=", moment),), (Order("changed_at"),))
