"""Deployed function `signals`: devices report."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import bus, documents, firebase_identities
from shared.adapters.system_clock import SystemClock
from shared.handlers import devices, observe, signals
from shared.ids import TimeOrderedIds
from shared.web import app as web
from shared.web import signals as routes
from shared.web.access import Access

config = settings.load(settings.SignalSettings)
logs.configure(config.log_level, project=config.project)
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()
observing = cache(lambda: observe.Deps(store(), clock, TimeOrderedIds(clock), config.policy()))
deps = cache(lambda: signals.Deps(observing(), bus.connect(config.project)))

users = firebase_identities.connect(config.project, config.firebase_keys())
access = Access(config.callers(), devices.DeviceKeys(lambda: devices.Deps(store(), clock)), users)
application = web.create_app([routes.router(deps)], access=access, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
