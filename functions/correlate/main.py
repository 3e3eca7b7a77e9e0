"""Deployed function `correlate`: what was detected joins an incident, or opens one."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import bus, documents
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.handlers import correlate, observe
from shared.ids import TimeOrderedIds
from shared.messages import MediaDetected

config = settings.load(settings.CorrelateSettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.EventFunction[MediaDetected, correlate.Deps]:
    """The stage on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    deps = correlate.Deps(observe.Deps(store, clock, TimeOrderedIds(clock), config.policy()))
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(correlate.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
