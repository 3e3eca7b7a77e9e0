"""Incidents, the slot of each beacon, signals and AI events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.domain.incident_changes import Change
from shared.domain.incidents import AiEvent, Incident, Signal, SignalKind, Slot, concerns_incident
from shared.errors import NotFound
from shared.ports import Create, Document, Documents, Filter, Order, Query, Update, Write
from shared.records import from_data, to_data
from shared.repositories import incident_timelines, paging

INCIDENTS = "incidents"
SLOTS = "slots"
SIGNALS = "signals"
AI_EVENTS = "ai_events"


def slots_of(documents: Documents, beacon_ids: Sequence[str]) -> list[tuple[Slot, str] | None]:
    """The slots of beacons with their versions, in the order asked; None before a beacon's first incident."""
    found = documents.get_many([(SLOTS, beacon_id) for beacon_id in beacon_ids])
    return [None if document is None else (from_data(Slot, document.data), document.version) for document in found]


def slot_write(slot: Slot, version: str | None) -> Write:
    """Takes the slot for a new incident: fails if somebody else took it since it was read (`version`, None: absent)."""
    if version is None:
        return Create(SLOTS, slot.beacon_id, to_data(slot))
    return Update(SLOTS, slot.beacon_id, to_data(slot), version=version)


def creation(incident: Incident) -> Create:
    """The write that stores a new incident."""
    return Create(INCIDENTS, incident.id, to_data(incident))


def opening_writes(change: Change) -> tuple[Write, ...]:
    """The writes that store a new incident with its first timeline entry."""
    return (creation(change.incident), incident_timelines.creation(change.entry))


def change_writes(change: Change, version: str) -> tuple[Write, ...]:
    """The writes that store a change with its timeline entry, if nobody changed the incident since it was read."""
    update = Update(INCIDENTS, change.incident.id, to_data(change.incident), version=version)
    return (update, incident_timelines.creation(change.entry))


def unheld(incident: Incident, version: str) -> Update:
    """A write that changes nothing, and fails once the incident, which is not under legal hold, changed."""
    return Update(INCIDENTS, incident.id, {"legal_hold": False}, version=version)


def signal_creation(signal: Signal) -> Create:
    """The write that stores a signal, with what it is queried by as fields of its own."""
    observation = signal.observation
    return Create(
        SIGNALS,
        str(signal.id),
        {
            **to_data(signal),
            "kind": observation.kind.value,
            "confidence": observation.confidence,
        },
    )


def ai_event_creation(event: AiEvent) -> Create:
    """The write that stores an accepted observation, with what it is queried by as fields of its own."""
    own = {"beacon_id": event.observation.beacon_id, "below_threshold": not concerns_incident(event.observation)}
    return Create(AI_EVENTS, str(event.id), {**to_data(event), **own})


def find(documents: Documents, incident_id: str) -> tuple[Incident, str] | None:
    """The incident with its version, or None."""
    document = documents.get(INCIDENTS, incident_id)
    return None if document is None else (of_document(document), document.version)


def get(documents: Documents, incident_id: str) -> Incident:
    """The incident; raises `NotFound`."""
    found = find(documents, incident_id)
    if found is None:
        raise unknown()
    return found[0]


def unknown() -> NotFound:
    """The refusal of an incident that is not there."""
    return NotFound("unknown_incident", "No such incident.")


def find_many(documents: Documents, incident_ids: Sequence[str]) -> dict[str, tuple[Incident, str]]:
    """Those of the incidents that exist, with their versions, by id."""
    found = documents.get_many([(INCIDENTS, incident_id) for incident_id in incident_ids])
    return {document.id: (of_document(document), document.version) for document in found if document is not None}


def get_many(documents: Documents, incident_ids: tuple[str, ...]) -> list[Incident]:
    """Those of the incidents that exist, in the order asked."""
    found = documents.get_many([(INCIDENTS, incident_id) for incident_id in incident_ids])
    return [of_document(document) for document in found if document is not None]


def signals_of(documents: Documents, incident_id: str, limit: int) -> list[Signal]:
    """The incident's latest signals, newest first."""
    query = Query(SIGNALS, (Filter("incident_id", "==", incident_id),), (Order("created_at", descending=True),))
    page = documents.query(query, limit=limit)
    return [from_data(Signal, document.data) for document in page.documents]


def strongest_signals(documents: Documents, incident_id: str, kind: SignalKind, limit: int) -> list[Signal]:
    """The incident's most confident signals of one kind."""
    of_kind = (Filter("incident_id", "==", incident_id), Filter("kind", "==", kind.value))
    page = documents.query(Query(SIGNALS, of_kind, (Order("confidence", descending=True),)), limit=limit)
    return [from_data(Signal, document.data) for document in page.documents]


def find_event(documents: Documents, event_id: int) -> AiEvent | None:
    """The AI event, or None."""
    document = documents.get(AI_EVENTS, str(event_id))
    return None if document is None else from_data(AiEvent, document.data)


def without_description(documents: Documents, event_id: int) -> Iterator[Update]:
    """The writes that remove what an AI event and its signals describe; all else of them stays."""
    event = documents.get(AI_EVENTS, str(event_id))
    signals = paging.every(documents, Query(SIGNALS, (Filter("ai_event_id", "==", event_id),)))
    for document in [*([] if event is None else [event]), *signals]:
        blank = {"observation": {**document.data["observation"], "description": ""}}
        yield Update(document.collection, document.id, blank)


def signal_count(documents: Documents, incident_id: str, kind: SignalKind | None = None) -> int:
    """How many signals the incident has, of one kind or in all."""
    of_kind = () if kind is None else (Filter("kind", "==", kind.value),)
    return documents.count(Query(SIGNALS, (Filter("incident_id", "==", incident_id), *of_kind)))


def signals_since(
    documents: Documents, incident_id: str, since: datetime | None = None, batch: int = 100
) -> Iterator[Signal]:
    """The incident's signals from a moment on, or all, the oldest first, read in batches as they are asked for."""
    where = (Filter("incident_id", "==", incident_id), *paging.since_filter("created_at", since))
    query = Query(SIGNALS, where, (Order("created_at"),))
    return (from_data(Signal, document.data) for document in paging.every(documents, query, page=batch))


def last_signal_at(documents: Documents, incident_id: str) -> datetime | None:
    """When its latest signal arrived, or None."""
    latest = signals_of(documents, incident_id, limit=1)
    return latest[0].created_at if latest else None


def recent_event_count(documents: Documents, since: datetime) -> int:
    """AI events since a moment."""
    return documents.count(Query(AI_EVENTS, (Filter("created_at", ">=", since),)))


def of_document(document: Document) -> Incident:
    """The incident that a document holds."""
    return from_data(Incident, document.data)
