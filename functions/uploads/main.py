"""Deployed function `uploads`: hands out signed upload URLs, and starts analyses that did not start by themselves."""

from functools import cache

from fastapi import FastAPI
from functions_framework import aio
from starlette.requests import Request

from shared import logs, settings
from shared.adapters.google import blobs, bus, documents, firebase_identities, signing
from shared.adapters.system_clock import SystemClock
from shared.handlers import analyze, uploads
from shared.web import access, app
from shared.web import uploads as routes
from shared.web.meter import Meter

config = settings.load(settings.UploadSettings)
logs.configure(config.log_level, project=config.project)
store, clock = cache(lambda: documents.connect(config.project, config.database)), SystemClock()


@cache
def deps() -> routes.Deps:
    """The use cases on Google Cloud, made at the first request."""
    media = blobs.connect(config.media_bucket, signer=signing.for_uploads(config.upload_signer))
    asked = analyze.Deps(store(), media, bus.connect(config.project), clock, config.media_bucket)
    return routes.Deps(uploads.Deps(store(), media, clock), asked)


known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
meter = Meter(store, clock)
application = app.create_app([routes.router(deps)], access=known, allowed_origins=config.allowed_origins, meter=meter)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
