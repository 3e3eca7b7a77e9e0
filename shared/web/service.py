"""GET / and GET /health: what this service is, and how its parts are (E, M)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from shared.ports import Clock, Documents
from shared.repositories import incidents
from shared.web.app import SERVICE, VERSION

log = logging.getLogger(__name__)

SAMPLE = timedelta(minutes=5)
SERVICES = ("vision", "language", "video_intelligence")
"""AI services that not every home asks: `off` there, so that their silence is not taken for a clean result."""

EXTRAS = frozenset({"gemini", *SERVICES, "ocr", "faces", "sentiment"})
"""Analyses are complete without these: that one is degraded is shown, and takes nothing out of service."""

ComponentState = Literal["ok", "degraded", "off"]
Check = Callable[[], object]
"""Looks at a component: returns "degraded" or raises if it is, "off" if it is not in use, else anything."""


class ServiceReply(BaseModel):
    """What `/` answers; a browser is led to the documentation where it may read that without a token."""

    service: str
    version: str
    ws_enabled: bool
    auth_enabled: bool


class RecentEvents(BaseModel):
    """Counts of the last five minutes."""

    total: int
    face_matches: int
    plate_reads: int


class EventRate(BaseModel):
    """Over the last five minutes."""

    events_per_second: float
    sample_duration_seconds: float


class HealthReply(BaseModel):
    """`ok` is false, and the status 503, as soon as a component that is needed is degraded. `timestamp` in ms."""

    ok: bool
    timestamp: int
    service: str
    version: str
    ws_clients: int
    recent_events: RecentEvents
    event_rate: EventRate
    components: dict[str, ComponentState]


@dataclass(frozen=True)
class Deps:
    """`checks` look at the components other than the store. `ws_clients` counts the WebSockets of this process."""

    documents: Documents
    clock: Clock
    checks: Mapping[str, Check]
    auth_enabled: bool
    ws_enabled: bool = False
    ws_clients: Callable[[], int] = lambda: 0


def router(deps: Callable[[], Deps]) -> APIRouter:
    """Both routes; they need no token."""
    routes = APIRouter(tags=["service"])

    @routes.head("/", include_in_schema=False)
    @routes.get("/", response_model=ServiceReply)
    def root(request: Request) -> Response:
        guarded = deps().auth_enabled
        if "text/html" in request.headers.get("accept", "") and not guarded:
            return RedirectResponse("docs")
        reply = ServiceReply(service=SERVICE, version=VERSION, ws_enabled=deps().ws_enabled, auth_enabled=guarded)
        return JSONResponse(reply.model_dump())

    @routes.head("/health", include_in_schema=False)
    @routes.get("/health", response_model=HealthReply)
    def health() -> JSONResponse:
        reply = _health(deps())
        return JSONResponse(reply.model_dump(), 200 if reply.ok else 503)

    return routes


def _health(deps: Deps) -> HealthReply:
    now = deps.clock.now()
    total = 0

    def check_store() -> None:
        nonlocal total
        total = incidents.recent_event_count(deps.documents, now - SAMPLE)

    components: dict[str, ComponentState] = {"store": _checked("store", check_store)}
    components.update(dict.fromkeys(SERVICES, "off"))
    components.update({name: _checked(name, check) for name, check in deps.checks.items()})
    return HealthReply(
        ok=not any(state == "degraded" for name, state in components.items() if name not in EXTRAS),
        timestamp=int(now.timestamp() * 1000),
        service=SERVICE,
        version=VERSION,
        ws_clients=deps.ws_clients(),
        recent_events=RecentEvents(total=total, face_matches=0, plate_reads=0),
        event_rate=EventRate(
            events_per_second=round(total / SAMPLE.total_seconds(), 3),
            sample_duration_seconds=SAMPLE.total_seconds(),
        ),
        components=components,
    )


def _checked(name: str, check: Check) -> ComponentState:
    try:
        found = check()
    except Exception as error:  # whatever is wrong with a component, the page must say so and not fail
        log.warning("component %s is degraded: %s", name, type(error).__name__)
        return "degraded"
    if found == "degraded":
        return "degraded"
    return "off" if found == "off" else "ok"
