"""Deployed function `signals`: devices report what they perceive, with pictures."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import bus, documents
from shared.adapters.system_clock import SystemClock
from shared.handlers import observe, signals
from shared.ids import TimeOrderedIds
from shared.web import app as web
from shared.web import beacons
from shared.web import signals as routes

config = settings.load(settings.SignalSettings)
logs.configure(config.log_level, project=config.project)


@cache
def deps() -> signals.Deps:
    """The use case on Google Cloud, made at the first request."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    return signals.Deps(observe.Deps(store, clock, TimeOrderedIds(clock), config.policy()), bus.connect(config.project))


routers = [routes.router(deps), beacons.router(lambda: deps().observe.documents)]
application = web.create_app(routers, token=config.api_token, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
