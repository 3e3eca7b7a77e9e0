"""Deployed function `detect`: an upload waits to be looked at."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import bus, documents, routed_blobs
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.detection.contact_sheet import TileSheets
from shared.detection.detector import load_detector
from shared.handlers import detect, reuse, scoring
from shared.messages import MediaUploaded
from shared.repositories import components

config = settings.load(settings.DetectSettings)
logs.configure(config.log_level, project=config.project)
detector = load_detector(config.model_path)  # at the start: a model that can't be used fails its deployment


@cache
def composed() -> entry.EventFunction[MediaUploaded, detect.Deps]:
    """The stage on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    media = routed_blobs.connect(config.buckets())
    deps = detect.Deps(
        scoring.Deps(media, detector, TileSheets()), reuse.Deps(store, media, clock, config.reuse_policy())
    )
    components.report(store, "model", detector.version, clock.now())
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(detect.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
