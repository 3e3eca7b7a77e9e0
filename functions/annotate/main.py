"""Deployed function `annotate`: Video Intelligence has looked at a whole video; the verdict becomes final."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, policies, settings
from shared.adapters.google import blobs, bus, documents, language, video_intelligence, vision
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.handlers import annotate, asking
from shared.messages import AnnotationsFinalised

config, clock = settings.load(settings.AnnotateSettings), SystemClock()
logs.configure(config.log_level, project=config.project)
patterns, profiles = policies.load_patterns(), policies.load_in_force(*config.profile_names())


@cache
def composed() -> entry.EventFunction[AnnotationsFinalised, annotate.Deps]:
    """The stage on Google Cloud, made at the first event."""
    store, results = documents.connect(config.project, config.database), blobs.connect(config.results_bucket)
    seeing = vision.connect(endpoint=config.vision_endpoint)
    reading = language.connect(endpoint=config.language_endpoint)
    asked = asking.billed_witnesses(seeing, reading, patterns, config.budgets(), store, clock)
    service = video_intelligence.connect(config.buckets(), endpoint=config.video_endpoint)
    deps = annotate.Deps(store, results, clock, service, asked, profiles, config.media_bucket)
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(annotate.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
