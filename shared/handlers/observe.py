"""An observation becomes an AI event, and perhaps a signal of one incident: the heart of deduplication (SPEC §4).

`plan` reads and decides; whoever calls it commits the writes, all or none, and plans again when one of them lost its
race. Both ways in, a device's request and an analysed upload, go through it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shared import ids
from shared.domain import incident_changes
from shared.domain.incidents import (
    AiEvent,
    Incident,
    IncidentPolicy,
    IncidentStatus,
    Observation,
    Reason,
    Signal,
    Slot,
    concerns_incident,
    decide,
    raised_priority,
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


def plan(observation: Observation, location: str, deps: Deps) -> Plan:
    """Decides what the observation means now. `location` names the place to a person."""
    now = deps.clock.now()
    event = AiEvent(deps.ids.next(), observation, now, incident_id=None)
    if not concerns_incident(observation):
        writes = (incidents.ai_event_creation(event),)
        return Plan(Reason.BELOW_THRESHOLD, event, None, None, writes)
    held = incidents.slot_of(deps.documents, observation.beacon_id)
    slot, slot_version = held or (None, None)
    found = incidents.find(deps.documents, slot.incident_id) if slot else None
    present, present_version = found or (None, None)
    latest = _latest_signal(slot, now, deps)
    reason = decide(slot, present.status if present else None, latest, now, deps.policy)
    if reason.attaches and present is not None and present_version is not None:
        return _attach(event, present, present_version, reason, deps)
    return _open(event, location, slot, slot_version, reason, deps)


def _latest_signal(slot: Slot | None, now: datetime, deps: Deps) -> datetime | None:
    if slot is None or deps.policy.quiet is None or within_window(slot, now, deps.policy):
        return None
    return incidents.last_signal_at(deps.documents, slot.incident_id)


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


def _open(
    event: AiEvent, location: str, slot: Slot | None, slot_version: str | None, reason: Reason, deps: Deps
) -> Plan:
    observation = event.observation
    incident = Incident(
        id=ids.new_uuid(),
        beacon_id=observation.beacon_id,
        beacon_location=location,
        status=IncidentStatus.CREATED,
        priority=observation.priority,
        opened_at=event.created_at,
        previous_incident_id=slot.incident_id if slot else None,
    )
    joined = replace(event, incident_id=incident.id)
    signal = _signal(joined, incident.id, deps)
    taken = Slot(observation.beacon_id, incident.id, incident.opened_at)
    opened = IncidentOpened(
        incident_id=incident.id,
        beacon_id=incident.beacon_id,
        beacon_location=location,
        priority=incident.priority,
        opened_at=incident.opened_at,
        signal_id=signal.id,
    )
    change = incident_changes.opened(incident, actor=_actor(event), details={"signal_id": signal.id})
    writes = (
        incidents.slot_write(taken, slot_version),
        *incidents.opening_writes(change),
        incidents.ai_event_creation(joined),
        incidents.signal_creation(signal),
    )
    return Plan(reason, joined, signal, incident, writes, (opened,))


def _actor(event: AiEvent) -> str:
    return event.observation.device_id or incident_changes.SYSTEM


def _signal(event: AiEvent, incident_id: str, deps: Deps) -> Signal:
    return Signal(deps.ids.next(), event.id, incident_id, event.observation, event.created_at)
