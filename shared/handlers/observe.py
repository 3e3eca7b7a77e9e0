"""An observation becomes an AI event, and perhaps a signal of one incident: the heart of deduplication (SPEC §4).

`plan` reads and decides; whoever calls it commits the writes, all or none, and plans again when one of them lost its
race. Both ways in, a device's request and an analysed upload, go through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared import ids
from shared.domain import actors, incident_changes
from shared.domain.incidents import (
    AiEvent,
    Incident,
    IncidentPolicy,
    IncidentStatus,
    Observation,
    Place,
    Reason,
    Signal,
    Slot,
    decide,
    raised_priority,
    reason_to_log,
    within_window,
)
from shared.handlers import incident_news
from shared.messages import IncidentOpened, Message
from shared.ports import Clock, Documents, Write
from shared.repositories import incidents


@dataclass(frozen=True)
class Deps:
    """What is needed to decide upon an observation."""

    documents: Documents
    clock: Clock
    ids: ids.TimeOrderedIds
    policy: IncidentPolicy


@dataclass(frozen=True)
class Plan:
    """What shall be stored and published, and what the observer is told. `incident` is as it is after the writes."""

    reason: Reason
    event: AiEvent
    signal: Signal | None
    incident: Incident | None
    writes: tuple[Write, ...]
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class _Held:
    """What a place's slot held when it was read, and what it means for the observation. `slot` None: it is free."""

    beacon_id: str
    slot: Slot | None
    slot_version: str | None
    incident: Incident | None
    incident_version: str | None
    reason: Reason


def plan(observation: Observation, place: Place, deps: Deps) -> Plan:
    """Decides what the observation, made at this place, means now.

    Where the profile joins neighbours, an incident takes the free slots of the neighbours, too, in the commit that
    opens it: so neighbours that report together get one incident, as one place does. It never reaches further than the
    neighbours of the place where it opened.
    """
    now = deps.clock.now()
    event = AiEvent(deps.ids.next(), observation, now, incident_id=None)
    logged = reason_to_log(observation, deps.policy)
    if logged is not None:
        return Plan(logged, event, None, None, (incidents.ai_event_creation(event),))
    neighbours = place.neighbours if deps.policy.joins_neighbours else ()
    own, *others = _held((observation.beacon_id, *neighbours), now, deps)
    joined = own if own.reason.attaches else _neighbours_incident(others)
    if joined is not None and joined.incident is not None and joined.incident_version is not None:
        elsewhere = joined.incident.beacon_id != observation.beacon_id
        reason = Reason.ATTACHED_TO_NEIGHBOUR if elsewhere else joined.reason
        return _attach(event, joined.incident, joined.incident_version, reason, deps)
    taken = [own, *(other for other in others if not other.reason.attaches)]
    return _open(event, place, taken, deps)


def _held(beacon_ids: tuple[str, ...], now: datetime, deps: Deps) -> list[_Held]:
    """What the slots of these places hold, in two reads however many there are (and one for each that is overdue)."""
    slots = incidents.slots_of(deps.documents, beacon_ids)
    named = tuple({found[0].incident_id: None for found in slots if found is not None})
    present = incidents.find_many(deps.documents, named)
    return [_decided(beacon_id, found, present, now, deps) for beacon_id, found in zip(beacon_ids, slots, strict=True)]


def _decided(
    beacon_id: str,
    found: tuple[Slot, str] | None,
    present: Mapping[str, tuple[Incident, str]],
    now: datetime,
    deps: Deps,
) -> _Held:
    slot, slot_version = found or (None, None)
    incident, version = (present.get(slot.incident_id) if slot else None) or (None, None)
    status = incident.status if incident else None
    latest = _latest_signal(slot, status, now, deps)
    reason = decide(slot, status, latest, now, deps.policy)
    return _Held(beacon_id, slot, slot_version, incident, version, reason)


def _latest_signal(slot: Slot | None, status: IncidentStatus | None, now: datetime, deps: Deps) -> datetime | None:
    """Asked for only where the answer depends on it."""
    if slot is None or deps.policy.quiet is None or status in {None, IncidentStatus.RESOLVED}:
        return None
    if within_window(slot, now, deps.policy):
        return None
    return incidents.last_signal_at(deps.documents, slot.incident_id)


def _neighbours_incident(others: Sequence[_Held]) -> _Held | None:
    """The most urgent, of these the latest, that opened at a neighbour and still absorbs signals."""
    near = {other.beacon_id for other in others}
    absorbing = [
        (other.incident.priority.rank, other.incident.opened_at, other.incident.id, other)
        for other in others
        # What a neighbour only shares with a place beyond it does not reach here.
        if other.reason.attaches and other.incident is not None and other.incident.beacon_id in near
    ]
    return max(absorbing, key=lambda entry: entry[:3])[3] if absorbing else None


def _attach(event: AiEvent, incident: Incident, version: str, reason: Reason, deps: Deps) -> Plan:
    joined = replace(event, incident_id=incident.id)
    signal = _signal(joined, incident.id, deps)
    writes: list[Write] = [incidents.ai_event_creation(joined), incidents.signal_creation(signal)]
    raised = raised_priority(incident.priority, event.observation.priority)
    if raised is None:
        return Plan(reason, joined, signal, incident, tuple(writes))
    details = {"signal_id": signal.id}
    change = incident_changes.raised(incident, raised, event.created_at, actor=_actor(event), details=details)
    writes.extend(incidents.change_writes(change, version))
    changed = incident_news.changed(incident, change, signal_id=signal.id)
    return Plan(reason, joined, signal, change.incident, tuple(writes), (changed,))


def _open(event: AiEvent, place: Place, taken: Sequence[_Held], deps: Deps) -> Plan:
    """A new incident, which takes these slots: that of its own place first."""
    observation, own = event.observation, taken[0]
    incident = Incident(
        id=ids.new_uuid(),
        beacon_id=observation.beacon_id,
        beacon_location=place.location,
        status=IncidentStatus.CREATED,
        priority=observation.priority,
        opened_at=event.created_at,
        previous_incident_id=own.incident.id if own.incident else None,
        changed_at=event.created_at,
    )
    joined = replace(event, incident_id=incident.id)
    signal = _signal(joined, incident.id, deps)
    opened = IncidentOpened(
        incident_id=incident.id,
        beacon_id=incident.beacon_id,
        beacon_location=place.location,
        priority=incident.priority,
        opened_at=incident.opened_at,
        signal_id=signal.id,
    )
    details = {"signal_id": signal.id, "reason": own.reason.value, "place": place.standing.value}
    change = incident_changes.opened(incident, actor=_actor(event), details=details)
    writes = (
        *_slot_writes(taken, incident),
        *incidents.opening_writes(change),
        incidents.ai_event_creation(joined),
        incidents.signal_creation(signal),
    )
    return Plan(own.reason, joined, signal, incident, writes, (opened,))


def _slot_writes(taken: Sequence[_Held], incident: Incident) -> list[Write]:
    """In one order for everybody: who locks the same documents in opposite orders waits for the other."""
    by_id = sorted(taken, key=lambda held: held.beacon_id)
    return [
        incidents.slot_write(Slot(held.beacon_id, incident.id, incident.opened_at), held.slot_version) for held in by_id
    ]


def _actor(event: AiEvent) -> str:
    return event.observation.device_id or actors.SYSTEM


def _signal(event: AiEvent, incident_id: str, deps: Deps) -> Signal:
    return Signal(deps.ids.next(), event.id, incident_id, event.observation, event.created_at)
