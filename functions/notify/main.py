"""Deployed function `notify`: calls guards and tells webhooks of incidents, until somebody has them."""

from functools import cache, partial

import flask
import functions_framework

from shared import entry, logs, settings
from shared.adapters.fetching.webhook_sender import HttpWebhookSender
from shared.adapters.google import blobs, documents, fcm, signing, timers
from shared.adapters.system_clock import SystemClock
from shared.domain.evidence_views import Purpose
from shared.handlers import delivering, evidence, notify
from shared.handlers.evidence_links import EvidenceLinks
from shared.ids import TimeOrderedIds

config = settings.load(settings.NotifySettings)
logs.configure(config.log_level, project=config.project)


@cache
def composed() -> entry.NewsFunction:
    """Alerting on Google Cloud, made at the first event."""
    clock, store = SystemClock(), documents.connect(config.project, config.database)
    bucket = blobs.connect(config.evidence_bucket, signer=signing.for_evidence(config.evidence_signer))
    links = EvidenceLinks(bucket, config.evidence_urls, config.public_base())
    giving = evidence.PictureDeps(store, clock, TimeOrderedIds(clock), links)
    link = partial(evidence.link_for, purpose=Purpose.WEBHOOK, deps=giving)
    later = timers.connect(config.project, config.timer_queue, config.timer_account, emulated=config.emulated_timers())
    push = fcm.connect(config.project, origin=config.fcm_origin)
    sending = delivering.Deps(store, clock, later, push, HttpWebhookSender(config.private_hosts), link)
    deliver = partial(delivering.attempt_due, deps=sending)
    deps = notify.Deps(store, clock, later, deliver, config.cool_down())
    return entry.NewsFunction("notify", partial(notify.handle, deps=deps), store, clock)


@functions_framework.http
def main(request: flask.Request) -> tuple[str, int]:
    """The endpoint of the push subscriptions."""
    return composed().answer(dict(request.headers), request.get_data())
