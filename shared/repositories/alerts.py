"""Alerts, and the last one of each place."""

from __future__ import annotations

from typing import Any

from shared.domain.alerts import Alert, AlertState, PlaceCall, alert_ids
from shared.errors import NotFound
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update, Write
from shared.records import from_data, to_data

COLLECTION = "alerts"
PLACES = "alert_places"

UNDER_WAY = Query(COLLECTION, (Filter("state", "==", AlertState.ACTIVE.value),), (Order("deadline"),))
"""Alerts that somebody may still answer, those whose round is over longest first."""


def creation(alert: Alert) -> Create:
    """The write that stores a new alert; fails if this opening or rise has one."""
    return Create(COLLECTION, alert.id, _data(alert))


def update(alert: Alert, version: str) -> Update:
    """The write that replaces an alert if nobody changed it since it was read."""
    return Update(COLLECTION, alert.id, _data(alert), version=version)


def find(documents: Documents, alert_id: str) -> tuple[Alert, str] | None:
    """The alert with its version, or None."""
    document = documents.get(COLLECTION, alert_id)
    return None if document is None else (alert_of(document), document.version)


def get(documents: Documents, alert_id: str) -> tuple[Alert, str]:
    """The alert with its version; raises `NotFound`."""
    found = find(documents, alert_id)
    if found is None:
        raise NotFound("unknown_alert", "No such alert.")
    return found


def of_incident(documents: Documents, incident_id: str) -> list[tuple[Alert, str]]:
    """All alerts of an incident, each with its version, the least urgent first."""
    found = documents.get_many([(COLLECTION, alert_id) for alert_id in alert_ids(incident_id)])
    return [(alert_of(document), document.version) for document in found if document is not None]


def newest(
    documents: Documents,
    *,
    state: AlertState | None,
    beacon_ids: tuple[str, ...] | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Alert], str | None]:
    """A page of alerts, the newest first, and the cursor of the next page. `beacon_ids`: at most 30 places."""
    where: list[Filter] = []
    if beacon_ids is not None:
        where.append(Filter("beacon_id", "in", list(beacon_ids)))
    if state is not None:
        where.append(Filter("state", "==", state.value))
    query = Query(COLLECTION, tuple(where), (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit, cursor=cursor)
    return [alert_of(document) for document in page.documents], page.next_cursor


def last_call_of(documents: Documents, beacon_id: str) -> tuple[PlaceCall, str] | None:
    """The last alert by which somebody was called about the place, with its version, or None."""
    document = documents.get(PLACES, beacon_id)
    return None if document is None else (from_data(PlaceCall, document.data), document.version)


def call_write(call: PlaceCall, version: str | None) -> Write:
    """Remembers a call, if there was none since the last one was read (`version`; None: there was none at all)."""
    if version is None:
        return Create(PLACES, call.beacon_id, to_data(call))
    return Update(PLACES, call.beacon_id, to_data(call), version=version)


def alert_of(document: Document) -> Alert:
    """The alert that a document holds."""
    return from_data(Alert, document.data)


def _data(alert: Alert) -> dict[str, Any]:
    """With the time of its last change, by which those who listen are told of it."""
    return {**to_data(alert), "changed_at": alert.changed_at}
