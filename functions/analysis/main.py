"""Deployed function `analysis`: a video is analysed while the client waits."""

from functools import cache

from fastapi import FastAPI, Request
from functions_framework import aio

from shared import logs, settings
from shared.adapters.google import blobs, documents
from shared.adapters.system_clock import SystemClock
from shared.detection.contact_sheet import TileSheets
from shared.detection.detector import load_detector
from shared.detection.probe import StreamProbe
from shared.handlers import direct as analyses
from shared.handlers import scoring
from shared.repositories import components
from shared.web import app as web
from shared.web import direct

config = settings.load(settings.AnalysisSettings)
logs.configure(config.log_level, project=config.project)
detector = load_detector(config.model_path)  # at the start: a model that can't be used fails its deployment


@cache
def deps() -> analyses.Deps:
    """The use case on Google Cloud, made at the first request."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    components.report(store, "model", detector.version, clock.now())
    pixels = scoring.Deps(blobs.connect(config.media_bucket), detector, TileSheets())
    return analyses.Deps(store, StreamProbe(), pixels, clock, config.machine())


application = web.create_app([direct.router(deps)], token=config.api_token, allowed_origins=config.allowed_origins)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
