"""All routes of the function `incidents`: what operators see and do, of incidents and their evidence."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from shared.handlers import bundling, evidence, incident_records
from shared.web import (
    ai_events,
    alerts,
    erasures,
    evidence_bundles,
    incident_actions,
    incident_timeline,
    incidents,
)
from shared.web import deliveries as delivery_log
from shared.web import evidence as evidence_links


def routers(
    deciding: Callable[[], incident_records.Deps],
    giving: Callable[[], evidence.Deps],
) -> tuple[APIRouter, ...]:
    """The routers over what changes incidents, and what gives evidence; both are made at the first request."""
    return (
        incidents.router(lambda: deciding().documents),
        incident_timeline.router(lambda: deciding().documents),
        incident_actions.router(deciding),
        alerts.router(deciding),
        delivery_log.router(lambda: deciding().documents),
        erasures.router(deciding),
        ai_events.router(giving),
        evidence_links.router(giving),
        evidence_bundles.router(lambda: bundling.Deps(giving(), deciding().bus)),
    )
