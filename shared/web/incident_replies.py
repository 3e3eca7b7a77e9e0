"""How incidents are shown, by whichever route."""

from __future__ import annotations

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel

from shared.domain.incidents import PROFILES, Incident, Signal


class IncidentSummary(BaseModel):
    """An incident without its signals. `revision` counts its changes: name it to act on just what was seen.

    `changed_at`: when it last did. `outcome`, `resolution_note` and `resolved_at` are set once it is RESOLVED.
    """

    incident_id: str
    beacon_id: str
    beacon_location: str
    status: str
    priority: str
    opened_at: datetime
    previous_incident_id: str | None
    revision: int
    changed_at: datetime | None
    assignee: str | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    outcome: str | None
    resolution_note: str | None
    resolved_at: datetime | None
    legal_hold: bool


class SignalReply(BaseModel):
    """One signal; `beacon_id` is its own place, `asset_id` leads to the analysed upload it came from.

    `device_id` is what the report said of itself, `reported_by` the device whose key came with it.
    """

    signal_id: int
    ai_event_id: int
    signal_type: str
    confidence_score: float
    description: str
    beacon_id: str
    device_id: str | None
    reported_by: str | None
    asset_id: str | None
    created_at: datetime


def summarise(incident: Incident) -> IncidentSummary:
    """The incident as it is shown in lists."""
    return IncidentSummary(
        incident_id=incident.id,
        beacon_id=incident.beacon_id,
        beacon_location=incident.beacon_location,
        status=incident.status,
        priority=incident.priority,
        opened_at=incident.opened_at,
        previous_incident_id=incident.previous_incident_id,
        revision=incident.revision,
        changed_at=incident.changed_at,
        assignee=incident.assignee,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_at=incident.acknowledged_at,
        outcome=incident.outcome,
        resolution_note=incident.resolution_note,
        resolved_at=incident.resolved_at,
        legal_hold=incident.legal_hold,
    )


def show_signal(signal: Signal) -> SignalReply:
    """A signal as it is shown."""
    observation = signal.observation
    return SignalReply(
        signal_id=signal.id,
        ai_event_id=signal.ai_event_id,
        signal_type=PROFILES[observation.kind].signal_type,
        confidence_score=observation.confidence,
        description=observation.description,
        beacon_id=observation.beacon_id,
        device_id=observation.device_id,
        reported_by=observation.reported_by,
        asset_id=observation.asset_id,
        created_at=signal.created_at,
    )


def put_etag(response: Response, incident: Incident) -> None:
    """Names the revision, as `If-Match` takes it."""
    response.headers["ETag"] = f'"{incident.revision}"'
