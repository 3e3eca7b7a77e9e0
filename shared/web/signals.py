"""POST /api/ai/violence-detected/ and /api/ai/scream-detected/: devices report, and are told what became of it (I).

The replies and the wording of the errors are the source's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from shared.domain.incidents import PROFILES, Observation, Reason, SignalKind, parse_confidence
from shared.errors import Malformed, Permanent
from shared.handlers import signals
from shared.json_objects import read_object

REQUIRED = ("beacon_id", "confidence_score", "description")
LONGEST = {"beacon_id": 256, "description": 4000, "device_id": 256}


class SignalBody(BaseModel):
    """The JSON body, for the documentation; it is read by hand so that errors keep the source's wording."""

    beacon_id: str
    confidence_score: float = Field(ge=0, le=1)
    description: str
    device_id: str | None = None


def router(deps: Callable[[], signals.Deps]) -> APIRouter:
    """Both signal routes over these collaborators, made at the first request."""
    routes = APIRouter(prefix="/api/ai", tags=["signals"])
    documented = {"requestBody": {"content": {"application/json": {"schema": SignalBody.model_json_schema()}}}}

    @routes.post("/violence-detected/", openapi_extra=documented)
    async def violence_detected(request: Request) -> JSONResponse:
        return await _answer(SignalKind.VIOLENCE, request, deps)

    @routes.post("/scream-detected/", openapi_extra=documented)
    async def scream_detected(request: Request) -> JSONResponse:
        return await _answer(SignalKind.SCREAM, request, deps)

    return routes


async def _answer(kind: SignalKind, request: Request, deps: Callable[[], signals.Deps]) -> JSONResponse:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        return JSONResponse({"error": "Send application/json; images are not accepted yet"}, 415)
    observation = read_observation(kind, await request.body())
    report = await run_in_threadpool(lambda: signals.report(observation, deps()))
    status, body = reply(report)
    return JSONResponse(body, status)


def read_observation(kind: SignalKind, body: bytes) -> Observation:
    """The observation in a JSON body. Raises `Permanent` with the source's wording."""
    try:
        fields = read_object(body)
    except Malformed:
        raise Permanent("not_json", "Invalid JSON") from None
    absent = [name for name in REQUIRED if fields.get(name) in (None, "")]
    if absent:
        raise Permanent("missing_fields", f"Missing required fields ({', '.join(absent)})")
    return Observation(
        kind=kind,
        beacon_id=_text(fields, "beacon_id"),
        confidence=parse_confidence(fields["confidence_score"]),
        description=_text(fields, "description"),
        device_id=_text(fields, "device_id") if fields.get("device_id") is not None else None,
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        raise Permanent("invalid_field", f"{name} must be text")
    if len(value) > LONGEST[name]:
        raise Permanent("invalid_field", f"{name} must be at most {LONGEST[name]} characters")
    return value


def reply(report: signals.Report) -> tuple[int, dict[str, Any]]:
    """Status and body, field by field as the source has them."""
    plan = report.plan
    observation = plan.event.observation
    if plan.reason is Reason.BELOW_THRESHOLD or plan.incident is None or plan.signal is None:
        least = PROFILES[observation.kind].threshold
        return 200, {
            "status": "logged_only",
            "ai_event_id": plan.event.id,
            "message": f"Confidence {observation.confidence:.2f} below threshold {least:.2f}",
            "images_received": 0,
        }
    body = {
        "status": "signal_added_to_existing" if plan.reason.attaches else "incident_created",
        "ai_event_id": plan.event.id,
        "incident_id": plan.incident.id,
        "signal_id": plan.signal.id,
        "confidence_score": observation.confidence,
        "beacon_location": report.location,
        "incident_status": plan.incident.status.value,
        "incident_priority": plan.incident.priority.value,
    }
    if plan.reason.attaches:
        return 200, {**body, "images": []}
    return 201, {**body, "device_id": observation.device_id, "images": []}
