"""Deployed function `maintain`: at regular times, looks for what stands still."""

from functools import cache, partial

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.google import blobs, bus, documents, routed_blobs, video_intelligence
from shared.adapters.system_clock import SystemClock
from shared.handlers import maintain
from shared.repositories import idempotency, metrics, verdict_cache

config = settings.load(settings.MaintainSettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.ScheduledFunction:
    """The sweeper on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    stores = (store, routed_blobs.connect(config.buckets()), blobs.connect(config.evidence_bucket))
    deps = maintain.Deps(
        *stores,
        bus=bus.connect(config.project),
        clock=clock,
        bucket=config.media_bucket,
        grace=config.grace(),
        cleaners=tuple(partial(each.remove_expired, store) for each in (verdict_cache, idempotency, metrics)),
        video=video_intelligence.connect(config.buckets(), endpoint=config.video_endpoint),
        keep=config.quarantine(),
        keep_pictures=config.evidence_retention(),
    )
    return entry.ScheduledFunction("maintain", partial(maintain.sweep, deps), store, clock)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscription."""
    return composed().answer(dict(request.headers), request.get_data())
