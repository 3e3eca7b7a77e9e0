"""Deployed function `moderation`: pictures and short videos are moderated while the client waits."""

from functools import cache

from fastapi import FastAPI, Request
from functions_framework import aio

from shared import logs, policies, settings
from shared.adapters.fetching.url_fetcher import UrlFetcher
from shared.adapters.google import blobs, documents, firebase_identities, language, vision
from shared.adapters.system_clock import SystemClock
from shared.detection.detector import load_detector
from shared.detection.frames import VideoFrames
from shared.detection.pictures import SafePictures
from shared.detection.probe import StreamProbe
from shared.handlers import asking, caching, media_sources, moderation, moderation_batch
from shared.web import access, app, meter, shadows, verdict_cache
from shared.web import moderation as routes

config, clock = settings.load(settings.ModerationSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
patterns, detector = policies.load_patterns(), load_detector(config.model_path)  # at the start, like the profiles:
profiles = policies.load_in_force(*config.profile_names())  # what can't be used fails its deployment
store, bucket = cache(lambda: documents.connect(config.project, config.database)), cache(blobs.connect)
eyes = cache(lambda: vision.connect(endpoint=config.vision_endpoint))
reader = cache(lambda: language.connect(endpoint=config.language_endpoint))
asked = cache(lambda: asking.billed_witnesses(eyes(), reader(), patterns, config.budgets(), store(), clock))
cached = cache(lambda: caching.Deps(store(), clock, config.cache_duration()))
sources = media_sources.sources(UrlFetcher(), bucket, config.media_bucket, config.places(config.media_bucket))
pixels, metered = moderation.Pixels(SafePictures(), StreamProbe(), detector, VideoFrames()), meter.Meter(store, clock)
deps = cache(lambda: moderation_batch.Deps(sources, pixels, asked(), cached(), profiles, config.concurrency))
routers = [routes.router(deps), verdict_cache.router(cached), shadows.router(cached, profiles.shadow)]
known = access.Access(config.callers(), firebase_identities.connect(config.project, config.firebase_keys()))
application = app.create_app(routers, access=known, allowed_origins=config.allowed_origins, meter=metered)


@aio.http  # type: ignore[arg-type] # its types do not say so, but an application may be returned
async def main(request: Request) -> FastAPI:  # noqa: ARG001 - the framework hands the request on to the application
    """Everything is the application's."""
    return application
