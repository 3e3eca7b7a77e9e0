"""Deployed function `analysis`: a video is analysed while the client waits, a stage replayed, a verdict judged."""

from functools import cache

from fastapi import FastAPI, Request
from functions_framework import aio

from shared import logs, settings
from shared.adapters.google import bus, documents, firebase_identities, routed_blobs
from shared.adapters.system_clock import SystemClock
from shared.detection.contact_sheet import TileSheets
from shared.detection.detector import load_detector
from shared.detection.probe import StreamProbe
from shared.handlers import direct as analyses
from shared.handlers import labelling, replays, scoring
from shared.repositories import components
from shared.web import access, app, direct, feedback, replay_orders
from shared.web.meter import Meter

config, clock = settings.load(settings.AnalysisSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
detector = load_detector(config.model_path)  # at the start: a model that can't be used fails its deployment
store = cache(lambda: documents.connect(config.project, config.database))
media = cache(lambda: routed_blobs.connect(config.buckets()))
told = cache(lambda: components.report(store(), "model", detector.version, clock.now()))
pixels = cache(lambda: scoring.Deps(media(), detector, TileSheets()))
looking = cache(lambda: analyses.Deps(told(), StreamProbe(), pixels(), clock, config.machine()))
replaying = cache(lambda: replays.Deps(store(), media(), bus.connect(config.project), clock, config.media_bucket))
judging = cache(lambda: labelling.Deps(store(), clock))

routers = [direct.router(looking), replay_orders.router(replaying), feedback.router(judging)]
known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
meter = Meter(store, clock)
application = app.create_app(routers, access=known, allowed_origins=config.allowed_origins, meter=meter)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
