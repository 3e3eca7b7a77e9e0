"""Deployed function `query`: everything is read back here."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, documents, firebase_identities, health
from shared.adapters.system_clock import SystemClock
from shared.repositories import components
from shared.web import analysis, labels, replays, service, timeline
from shared.web import app as web
from shared.web.access import Access

config = settings.load(settings.QuerySettings)
logs.configure(config.log_level, project=config.project)
results = cache(lambda: blobs.connect(config.results_bucket))
store = cache(lambda: documents.connect(config.project, config.database))
topic = cache(lambda: health.TopicCheck(config.project, "media-uploaded"))
checks: dict[str, service.Check] = {"blobs": lambda: results().stat("analysis/health"), "bus": lambda: topic().see()}
parts = cache(lambda: components.checks(store(), SystemClock()))
deps = cache(lambda: service.Deps(store(), SystemClock(), {**checks, **parts()}, auth_enabled=True))

routers = [part.router(store) for part in (analysis, labels, replays)]
routers += [timeline.router(store, results), service.router(deps)]
access = Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
application = web.create_app(routers, access=access, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
