"""GET /incidents and GET /incidents/{id}."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shared.domain.fusion import Part
from shared.domain.incidents import PROFILES, Incident, Signal
from shared.handlers import fusing
from shared.ports import Documents
from shared.repositories import incidents

SIGNALS_SHOWN = 100


class IncidentSummary(BaseModel):
    """An incident without its signals."""

    incident_id: str
    beacon_id: str
    beacon_location: str
    status: str
    priority: str
    opened_at: datetime
    previous_incident_id: str | None


class SignalReply(BaseModel):
    """One signal; `asset_id` leads to the analysed upload it came from."""

    signal_id: int
    ai_event_id: int
    signal_type: str
    confidence_score: float
    description: str
    device_id: str | None
    asset_id: str | None
    created_at: datetime


class ConfidencePart(BaseModel):
    """What one kind of signal contributes: its strongest signal, and how many of the kind there are.

    `counted` false: it rests on the same upload as a stronger part.
    """

    signal_type: str
    confidence_score: float
    signal_id: int
    beacon_id: str
    device_id: str | None
    asset_id: str | None
    signal_count: int
    counted: bool


class IncidentReply(IncidentSummary):
    """An incident with how many signals it has, and the latest hundred of them, newest first.

    `confidence`: how sure its kinds of signals are together, 1 - (1 - c1)(1 - c2)…; its parts, the strongest first.
    """

    confidence: float
    confidence_parts: list[ConfidencePart]
    signal_count: int
    signals: list[SignalReply]


class IncidentList(BaseModel):
    """A page, the last opened first; pass `next_cursor` as `cursor` for the following one."""

    incidents: list[IncidentSummary]
    next_cursor: str | None


def router(documents: Callable[[], Documents]) -> APIRouter:
    """Both routes over the store."""
    routes = APIRouter(tags=["incidents"])

    @routes.get("/incidents")
    def list_incidents(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
        beacon_id: str | None = None,
    ) -> IncidentList:
        found, following = incidents.newest(documents(), beacon_id=beacon_id, limit=limit, cursor=cursor)
        return IncidentList(incidents=[summarise(incident) for incident in found], next_cursor=following)

    @routes.get("/incidents/{incident_id}")
    def get_incident(incident_id: str) -> IncidentReply:
        incident = incidents.get(documents(), incident_id)
        latest = incidents.signals_of(documents(), incident_id, SIGNALS_SHOWN)
        fused = fusing.confidence_of(documents(), incident_id)
        return IncidentReply(
            **summarise(incident).model_dump(),
            confidence=fused.confidence,
            confidence_parts=[_part(part) for part in fused.parts],
            signal_count=incidents.signal_count(documents(), incident_id),
            signals=[_shown(signal) for signal in latest],
        )

    return routes


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
    )


def _part(part: Part) -> ConfidencePart:
    return ConfidencePart(
        signal_type=PROFILES[part.kind].signal_type,
        confidence_score=part.confidence,
        signal_id=part.signal_id,
        beacon_id=part.beacon_id,
        device_id=part.device_id,
        asset_id=part.asset_id,
        signal_count=part.signals,
        counted=part.counted,
    )


def _shown(signal: Signal) -> SignalReply:
    observation = signal.observation
    return SignalReply(
        signal_id=signal.id,
        ai_event_id=signal.ai_event_id,
        signal_type=PROFILES[observation.kind].signal_type,
        confidence_score=observation.confidence,
        description=observation.description,
        device_id=observation.device_id,
        asset_id=observation.asset_id,
        created_at=signal.created_at,
    )
