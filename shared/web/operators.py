"""All routes of the function `incidents`: what operators see and do, of incidents and their evidence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fastapi import APIRouter

from shared.handlers import bundling, evidence, incident_records
from shared.handlers.newsroom import Newsroom
from shared.web import (
    ai_events,
    alerts,
    erasures,
    evidence_bundles,
    incident_actions,
    incident_timeline,
    incidents,
    stream,
)
from shared.web import deliveries as delivery_log
from shared.web import evidence as evidence_links

MAX_LISTENERS = 20
"""Of the stream of events, in one process: half of the requests that an instance of the function may have at once."""


def routers(
    deciding: Callable[[], incident_records.Deps],
    giving: Callable[[], evidence.Deps],
    newsroom: Callable[[], Newsroom] | None = None,
) -> tuple[APIRouter, ...]:
    """The routers over what changes incidents, and what gives evidence; both are made at the first request.

    `newsroom`: for who will close it; else one is made.
    """
    told = newsroom or cache(lambda: newsroom_of(deciding()))
    return (
        incidents.router(lambda: deciding().documents),
        incident_timeline.router(lambda: deciding().documents),
        incident_actions.router(deciding),
        alerts.router(deciding),
        delivery_log.router(lambda: deciding().documents),
        erasures.router(deciding),
        stream.router(told),
        ai_events.router(giving),
        evidence_links.router(giving),
        evidence_bundles.router(lambda: bundling.Deps(giving(), deciding().bus)),
    )


def newsroom_of(deps: incident_records.Deps) -> Newsroom:
    """What the stream of events is told by."""
    return Newsroom(deps.documents, deps.clock, max_listeners=MAX_LISTENERS)
