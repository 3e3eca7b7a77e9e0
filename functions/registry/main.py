"""Deployed function `registry`: administrators set up places, guards, webhooks and devices."""

from functools import cache, partial

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.fetching.webhook_urls import read_receiver
from shared.adapters.google import bus, documents, firebase_identities
from shared.adapters.system_clock import SystemClock
from shared.handlers import webhook_registry
from shared.handlers.devices import Deps
from shared.web import access, app, beacons, devices, guards, webhooks
from shared.web.meter import Meter

config = settings.load(settings.RegistrySettings)
logs.configure(config.log_level, project=config.project)
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()


@cache
def hooks() -> webhook_registry.Deps:
    """The registry of webhooks on Google Cloud, made at the first request."""
    check = partial(read_receiver, private_hosts=config.private_hosts)
    return webhook_registry.Deps(store(), clock, bus.connect(config.project), check)


routers = [beacons.router(store), guards.router(store), webhooks.router(hooks)]
routers.append(devices.router(lambda: Deps(store(), clock)))
known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
meter = Meter(store, clock)
application = app.create_app(routers, access=known, allowed_origins=config.allowed_origins, meter=meter)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
