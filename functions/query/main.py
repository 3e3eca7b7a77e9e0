"""Deployed function `query`: everything is read back here."""

from functools import cache, partial

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, documents, health
from shared.adapters.system_clock import SystemClock
from shared.repositories import components
from shared.web import analysis, incidents, service, timeline
from shared.web import app as web

config = settings.load(settings.QuerySettings)
logs.configure(config.log_level, project=config.project)
media = cache(lambda: blobs.connect(config.media_bucket))
store = cache(lambda: documents.connect(config.project, config.database))


@cache
def deps() -> service.Deps:
    """The store and the health checks on Google Cloud, made at the first request."""
    checks: dict[str, service.Check] = {
        "blobs": lambda: media().stat("media/health"),
        "bus": health.TopicCheck(config.project, "media-uploaded").see,
        **{name: partial(components.state_of, store(), name) for name in ("model", "gemini")},
    }
    return service.Deps(store(), SystemClock(), checks, auth_enabled=True)


routers = [analysis.router(store), timeline.router(store, media), incidents.router(store), service.router(deps)]
application = web.create_app(routers, token=config.api_token, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
