"""Deployed function `ingest`: an object was finalised in the media bucket."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import bus, documents, routed_blobs
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.detection.pictures import SafePictures
from shared.detection.probe import StreamProbe
from shared.handlers import ingest
from shared.messages import ObjectFinalised

config = settings.load(settings.MediaSettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.EventFunction[ObjectFinalised, ingest.Deps]:
    """The stage on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    media = routed_blobs.connect(config.buckets())
    deps = ingest.Deps(store, media, StreamProbe(), SafePictures(), clock, config.reuse_policy())
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(ingest.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
