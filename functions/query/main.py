"""Deployed function `query`: everything is read back here."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, documents, firebase_identities, health
from shared.adapters.system_clock import SystemClock
from shared.handlers import reading_metrics
from shared.repositories import components
from shared.web import access, analysis, app, labels, metrics, replays, service, timeline
from shared.web.meter import Meter

config = settings.load(settings.QuerySettings)
logs.configure(config.log_level, project=config.project)
results = cache(lambda: blobs.connect(config.results_bucket))
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()
topic = cache(lambda: health.TopicCheck(config.project, "media-uploaded"))
checks: dict[str, service.Check] = {"blobs": lambda: results().stat("analysis/health"), "bus": lambda: topic().see()}
parts = cache(lambda: components.checks(store(), clock))
deps = cache(lambda: service.Deps(store(), clock, {**checks, **parts()}, True, config.ws_enabled))

routers = [part.router(store) for part in (analysis, labels, replays)]
meter = Meter(store, clock)
measured = cache(lambda: reading_metrics.Deps(store(), clock, meter.untold))
routers += [timeline.router(store, results), service.router(deps), metrics.router(measured)]
known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
application = app.create_app(routers, access=known, allowed_origins=config.allowed_origins, meter=meter)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
