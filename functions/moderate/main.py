"""Deployed function `moderate`: witnesses look at an upload, a profile judges."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, policies, settings
from shared.adapters.google import bus, documents, language, routed_blobs, video_intelligence, vision
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.detection.frames import VideoFrames
from shared.detection.pictures import SafePictures
from shared.handlers import asking, looking, moderate
from shared.messages import MediaDetected

config, clock = settings.load(settings.ModerateSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
patterns, profiles = policies.load_patterns(), policies.load_in_force(*config.profile_names())


@cache
def composed() -> entry.EventFunction[MediaDetected, moderate.Deps]:
    """The stage on Google Cloud, made at the first event."""
    store, media = documents.connect(config.project, config.database), routed_blobs.connect(config.buckets())
    seeing = vision.connect(endpoint=config.vision_endpoint)
    reading = language.connect(endpoint=config.language_endpoint)
    asked = asking.billed_witnesses(seeing, reading, patterns, config.budgets(), store, clock)
    watching = video_intelligence.connect(config.buckets(), endpoint=config.video_endpoint)
    full = asking.billed_full_look(watching, config.video_budget, store, clock)
    pictures = looking.Pictures(store, media, VideoFrames(), SafePictures())
    deps = moderate.Deps(store, clock, pictures, asked, profiles, full, config.reuse_analyses)
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(moderate.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
