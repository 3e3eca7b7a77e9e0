"""Deployed function `incidents`: operators see incidents and act on them."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import bus, documents, firebase_identities
from shared.adapters.system_clock import SystemClock
from shared.handlers import incident_records
from shared.web import alerts, incident_actions, incident_timeline, incidents
from shared.web import app as web
from shared.web.access import Access

config, clock = settings.load(settings.IncidentsSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
store = cache(lambda: documents.connect(config.project, config.database))
deciding = cache(lambda: incident_records.Deps(store(), bus.connect(config.project), clock))

routers = [incidents.router(store), incident_actions.router(deciding), incident_timeline.router(store)]
routers += [alerts.router(deciding)]
access = Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
application = web.create_app(routers, access=access, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
