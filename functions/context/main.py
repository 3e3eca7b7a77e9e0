"""Deployed function `context`: Gemini describes what was uploaded."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import bus, documents, gemini, routed_blobs
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.detection.contact_sheet import TileSheets
from shared.handlers import context
from shared.handlers.spending import Spending
from shared.handlers.watched_model import WatchedModel
from shared.messages import MediaDetected

config = settings.load(settings.ContextSettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.EventFunction[MediaDetected, context.Deps]:
    """The stage on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    media, spending = routed_blobs.connect(config.buckets()), Spending(store, clock, "Gemini", config.gemini_budget)
    place = (config.project, config.location, config.gemini_model, config.buckets(), media, config.gemini_timeout)
    asked = gemini.connect(*place, endpoint=config.gemini_endpoint) if config.asks_gemini else None
    model = WatchedModel(asked, store, clock) if asked else None
    deps = context.Deps(store, media, model, TileSheets(), spending, context.NO_MODEL, config.reuse_analyses)
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(context.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
