"""GET /metrics and GET /metrics/history: how long replies take and how they end, over all instances (V)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from shared.domain.metrics import KEPT, Snapshot, Summary
from shared.handlers import reading_metrics
from shared.web import prometheus
from shared.web.callers import Viewer

MOST_HOURS = KEPT.days * 24

_HISTORIES = threading.BoundedSemaphore(2)
"""Histories put together at a time: one of a week may take some ten megabytes while it is made."""


class Latencies(BaseModel):
    """Of one route, or of all. Quantiles in ms, null without a request; `statusCounts` by HTTP status."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    statusCounts: dict[str, int]


class Sessions(BaseModel):
    """Streams of events: heard from in the last 30 s (`active`), and in the last five minutes (`total`)."""

    active: int
    total: int


class MetricsReply(BaseModel):
    """The last five minutes. `routes` by template; what no route served is `(none)`."""

    totals: Latencies
    routes: dict[str, Latencies]
    liveSessions: Sessions


class HistoryEntry(MetricsReply):
    """The five minutes that ended at `timestamp`."""

    timestamp: str


class HistoryReply(BaseModel):
    """The oldest first. Five minutes in which nobody took a snapshot are left out."""

    history: list[HistoryEntry]
    count: int


def router(deps: Callable[[], reading_metrics.Deps]) -> APIRouter:
    """Both routes; Prometheus gets its text format."""
    routes = APIRouter(tags=["metrics"])
    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @routes.get("/metrics", response_model=MetricsReply, responses=text)  # type: ignore[arg-type] # a plain mapping
    def metrics(request: Request, _: Viewer) -> Response:
        present = reading_metrics.present(deps())
        headers = {"Vary": "Accept", "Cache-Control": "no-store"}
        if wants_text(request.headers.get("accept", "")):
            return Response(prometheus.exposition(present), headers=headers, media_type=prometheus.MEDIA_TYPE)
        return JSONResponse(_shown(present.snapshot), headers=headers)

    @routes.get("/metrics/history", response_model=HistoryReply)
    def history(_: Viewer, hours: Annotated[int, Query(ge=1, le=MOST_HOURS)] = 24) -> JSONResponse:
        with _HISTORIES:
            found = reading_metrics.history(deps(), hours)
            entries = [{"timestamp": _time(each.at), **_shown(each)} for each in found]
            return JSONResponse({"history": entries, "count": len(entries)})

    return routes


def wants_text(accept: str) -> bool:
    """Whether a client would rather have plain text than JSON, which it gets if it doesn't say."""
    ranges = [_range(number, part) for number, part in enumerate(accept.split(","))]
    text = max((rank for name, rank in ranges if name in {"text/plain", "text/*"}), default=None)
    other = max((rank for name, rank in ranges if name in {"application/json", "application/*", "*/*"}), default=None)
    return text is not None and text[0] > 0 and (other is None or text > other)


def _range(number: int, part: str) -> tuple[str, tuple[float, bool, int]]:
    """A media range with its rank: its weight, whether it says anything, and the earlier the better."""
    name, *parameters = (each.strip().lower() for each in part.split(";"))
    weights = [each.removeprefix("q=") for each in parameters if each.startswith("q=")]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = 0.0
    return name, (weight, name != "*/*", -number)


def _shown(told: Snapshot) -> dict[str, object]:
    return {
        "totals": _latencies(told.totals),
        "routes": {route: _latencies(each) for route, each in told.routes.items()},
        "liveSessions": {"active": told.sessions.active, "total": told.sessions.total},
    }


def _latencies(told: Summary) -> dict[str, object]:
    return {
        "count": told.count,
        "p50_ms": told.p50_ms,
        "p95_ms": told.p95_ms,
        "p99_ms": told.p99_ms,
        "statusCounts": {str(status): number for status, number in told.statuses.items()},
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
