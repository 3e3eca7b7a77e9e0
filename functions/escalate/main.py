"""Deployed function `escalate`: a verdict that its profile wants an incident for joins one, or opens one."""

from functools import cache

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import bus, documents
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner
from shared.handlers import escalate, observe
from shared.ids import TimeOrderedIds
from shared.messages import MediaModerated

config = settings.load(settings.EscalateSettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.EventFunction[MediaModerated, escalate.Deps]:
    """The stage on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    deps = escalate.Deps(observe.Deps(store, clock, TimeOrderedIds(clock), config.policy()))
    runner = StageRunner(store, bus.connect(config.project), clock, config.lease(), config.machine())
    return entry.EventFunction(escalate.consumer, deps, runner)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
