"""Composes Sightline's embedded home: every port on SQLite, a folder and threads, wired by `infra/pipeline.yaml`.

A folder belongs to one process at a time. What a killed process left behind is taken up at the next start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path

from fastapi import APIRouter

from infra import topology
from local.ticker import Ticker
from shared import policies
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_keys import local_signing_key
from shared.adapters.embedded.blob_notifications import NotificationRelay
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.embedded.image_annotator import RapidAnnotator
from shared.adapters.embedded.push_log import PushLog
from shared.adapters.embedded.queue import QueueSubscription, SqliteQueue
from shared.adapters.embedded.queue_workers import QueueWorkers
from shared.adapters.embedded.text_analyzer import LexiconAnalyzer
from shared.adapters.fetching.url_fetcher import UrlFetcher
from shared.adapters.fetching.webhook_sender import HttpWebhookSender
from shared.adapters.fetching.webhook_urls import read_receiver
from shared.adapters.google import gemini_files
from shared.adapters.system_clock import SystemClock
from shared.delivery import StageRunner, receive, receive_news, receive_tick
from shared.detection.contact_sheet import TileSheets
from shared.detection.detector import load_detector
from shared.detection.evidence_pictures import EvidencePictures
from shared.detection.frames import VideoFrames
from shared.detection.pictures import SafePictures
from shared.detection.probe import StreamProbe
from shared.domain.evidence_views import Purpose
from shared.domain.moderation.patterns import PatternSet
from shared.errors import SightlineError
from shared.handlers import (
    analyze,
    caching,
    context,
    correlate,
    delivering,
    detect,
    devices,
    direct,
    escalate,
    evidence,
    incident_records,
    ingest,
    labelling,
    looking,
    maintain,
    media_sources,
    moderate,
    moderation_batch,
    notify,
    observe,
    reading_metrics,
    replays,
    reuse,
    scoring,
    signals,
    submissions,
    uploads,
    webhook_registry,
    witnesses,
)
from shared.handlers.evidence_links import EvidenceLinks
from shared.handlers.moderation import Pixels
from shared.handlers.newsroom import Newsroom
from shared.handlers.spending import Spending
from shared.handlers.watched_model import WatchedModel
from shared.ids import TimeOrderedIds
from shared.outbox import publish_pending
from shared.ports import Delivery, Feature
from shared.repositories import components, idempotency, metrics, verdict_cache
from shared.settings import EmbeddedSettings
from shared.web import (
    analysis,
    beacons,
    feedback,
    guards,
    labels,
    live_sockets,
    operators,
    replay_orders,
    service,
    shadows,
    stream,
    timeline,
)
from shared.web import devices as device_routes
from shared.web import direct as direct_routes
from shared.web import metrics as metrics_routes
from shared.web import moderation as moderation_routes
from shared.web import replays as replay_routes
from shared.web import signals as signal_routes
from shared.web import uploads as upload_routes
from shared.web import verdict_cache as cache_routes
from shared.web import webhooks as webhook_routes
from shared.web.access import Access
from shared.web.meter import Meter

MINIMUM_BACKOFF = timedelta(seconds=1)
MAXIMUM_BACKOFF = timedelta(seconds=60)
"""Shorter than in the cloud: on one machine nobody else is kept waiting."""

PENDING_SECONDS = 5.0

NOT_HERE = frozenset({"annotate"})
"""Nobody here looks at whole videos, so there are no results to go on with."""


class FolderInUse(SightlineError):
    """Another process serves this folder."""


def bucket_name(bucket: str) -> str:
    """What a bucket of the topology is called here."""
    return f"sightline-{bucket}"


def notification_rules(declared: topology.Topology) -> list[tuple[str, str, str]]:
    """(bucket, prefix, topic) of every bucket notification."""
    return [
        (bucket_name(name), rule.prefix, rule.topic)
        for name, bucket in declared.buckets.items()
        for rule in bucket.notifications
    ]


def queue_subscriptions(declared: topology.Topology) -> list[QueueSubscription]:
    """One a trigger of an event function. Every process that opens a queue must declare the same.

    As many workers as the function may have deliveries at once, since those that wait for others (a webhook that hangs)
    must hold up nobody else, and no fewer than there are processors.
    """
    return [
        QueueSubscription(
            name=topology.subscription_name(name, trigger),
            topic=trigger,
            max_attempts=declared.delivery.max_attempts,
            minimum_backoff=MINIMUM_BACKOFF,
            maximum_backoff=MAXIMUM_BACKOFF,
            workers=max(os.cpu_count() or 1, function.concurrency),
        )
        for name, function in functions_here(declared).items()
        for trigger in function.triggers
    ]


def functions_here(declared: topology.Topology) -> dict[str, topology.Function]:
    """The event functions that this home has a use for."""
    return {name: function for name, function in declared.event_functions().items() if name not in NOT_HERE}


def _gemini(config: EmbeddedSettings, media: FolderBlobs) -> gemini_files.FilesGemini | None:
    if config.google_api_key is None or not config.asks_gemini:
        return None
    return gemini_files.connect(config.google_api_key, config.gemini_model, media, endpoint=config.gemini_endpoint)


@cache
def _patterns() -> PatternSet:
    """Compiled once a process, however many homes there are in it."""
    return policies.load_patterns()


class Home:
    """Everything of one data folder. `base_url` is the origin that clients reach; signed URLs begin with it."""

    def __init__(self, data: Path, config: EmbeddedSettings, base_url: str) -> None:
        self.config = config
        self.base_url = base_url
        self.detector = load_detector(config.model_path)
        self._declared = topology.load()
        self._closing = ExitStack()
        data.mkdir(parents=True, exist_ok=True)
        self._lock_folder(data)
        self._clock = SystemClock()
        self.documents = SqliteDocuments(data / "documents.sqlite3", self._declared.document_indexes())
        self._closing.callback(self.documents.close)
        self.folder = BlobFolder(data / "blobs", notifications=notification_rules(self._declared))
        self._closing.callback(self.folder.close)
        self.signing_key = local_signing_key(data)
        signer = self.signing_key.credentials
        self.media = FolderBlobs(self.folder, bucket_name("media"), signer=signer, base_url=base_url)
        self.evidence = FolderBlobs(self.folder, bucket_name("evidence"), signer=signer, base_url=base_url)
        self.links = EvidenceLinks(self.evidence, config.evidence_urls, f"{base_url}/{bucket_name('evidence')}")
        self.queue = SqliteQueue(
            data / "queue.sqlite3", self._declared.topics, queue_subscriptions(self._declared), self._clock
        )
        self._closing.callback(self.queue.close)
        self.gemini = _gemini(config, self.media)
        self.images = RapidAnnotator()
        self.texts = LexiconAnalyzer()
        self._scoring = scoring.Deps(self.media, self.detector, TileSheets())
        self._profiles = policies.load_in_force(*config.profile_names())
        self._witnesses = witnesses.Deps(self.images, self.texts, _patterns())
        self._acting = incident_records.Deps(self.documents, self.queue, self._clock)
        self.meter = Meter(lambda: self.documents, self._clock)
        self._closing.callback(self.meter.close)
        self._newsroom = Newsroom(self.documents, self._clock, max_listeners=stream.MAX_LISTENERS)
        self._sockets = live_sockets.Sockets()
        self._observe = observe.Deps(self.documents, self._clock, TimeOrderedIds(self._clock), config.policy())

    def start(self) -> None:
        """Takes up what an earlier process left, and starts handling."""
        self.queue.release_leases()
        workers = QueueWorkers(self.queue, self.handlers())
        workers.start()
        self._closing.callback(workers.stop)
        relay = NotificationRelay(self.folder, self.queue.publish)
        relay.start()
        self._closing.callback(relay.stop)
        self._closing.enter_context(Ticker("outbox", PENDING_SECONDS, self._publish_pending))
        for schedule in self._declared.schedules:
            seconds = self.config.sweep_seconds or schedule.every
            publish = partial(self.queue.publish, schedule.message())
            self._closing.enter_context(Ticker(schedule.topic, seconds, publish))

    def end_streams(self) -> None:
        """Ends the replies that would not end by themselves; the server is about to stop."""
        self._newsroom.close()

    def close(self) -> None:
        """Ends the threads, waiting for what they are doing, then closes the stores."""
        self._closing.close()

    def handlers(self) -> dict[str, Callable[[Delivery], None]]:
        """What handles each subscription of the topology."""
        runner = StageRunner(self.documents, self.queue, self._clock, timedelta(seconds=self.config.lease_seconds))
        stages: dict[str, Callable[[Delivery], None]] = {
            "ingest": partial(receive, ingest.consumer, self._ingest_deps(), runner),
            "detect": partial(receive, detect.consumer, self._detect_deps(), runner),
            "context": partial(receive, context.consumer, self._context_deps(), runner),
            "correlate": partial(receive, correlate.consumer, correlate.Deps(self._observe), runner),
            "moderate": partial(receive, moderate.consumer, self._moderate_deps(), runner),
            "escalate": partial(receive, escalate.consumer, escalate.Deps(self._observe), runner),
            "notify": partial(receive_news, "notify", self._alerting(), self.documents, self._clock),
            "maintain": partial(receive_tick, "maintain", partial(maintain.sweep, self.maintain_deps())),
        }
        declared = functions_here(self._declared)
        return {
            topology.subscription_name(name, trigger): stages[name]
            for name, function in declared.items()
            for trigger in function.triggers
        }

    def routers(self) -> list[APIRouter]:
        """The HTTP interface of all functions together."""
        upload_deps = upload_routes.Deps(
            uploads.Deps(self.documents, self.media, self._clock),
            analyze.Deps(self.documents, self.media, self.queue, self._clock, bucket_name("media")),
        )
        direct_deps = direct.Deps(self.documents, StreamProbe(), self._scoring, self._clock)
        reporting = submissions.Deps(signals.Deps(self._observe, self.queue), self.evidence, EvidencePictures())
        signal_deps = signal_routes.Deps(reporting, self.links)
        replay_deps = replays.Deps(self.documents, self.media, self.queue, self._clock, bucket_name("media"))
        labelling_deps = labelling.Deps(self.documents, self._clock)
        moderation_deps = self.moderation_deps()
        evidence_deps = self.evidence_deps()
        return [
            upload_routes.router(lambda: upload_deps),
            signal_routes.router(lambda: signal_deps),
            beacons.router(lambda: self.documents),
            guards.router(lambda: self.documents),
            device_routes.router(self._device_deps),
            webhook_routes.router(self._webhook_deps),
            direct_routes.router(lambda: direct_deps),
            analysis.router(lambda: self.documents),
            replay_orders.router(lambda: replay_deps),
            replay_routes.router(lambda: self.documents),
            feedback.router(lambda: labelling_deps),
            labels.router(lambda: self.documents),
            timeline.router(lambda: self.documents, lambda: self.media),
            *operators.routers(lambda: self._acting, lambda: evidence_deps),
            stream.router(lambda: self._newsroom),
            live_sockets.router(lambda: self._newsroom, self._sockets, enabled=self.config.ws_enabled),
            moderation_routes.router(lambda: moderation_deps),
            cache_routes.router(lambda: moderation_deps.cache),
            shadows.router(lambda: moderation_deps.cache, self._profiles.shadow),
            service.router(self._service_deps),
            metrics_routes.router(lambda: reading_metrics.Deps(self.documents, self._clock, self.meter.untold)),
        ]

    def access(self) -> Access | None:
        """Who may call; None: everybody."""
        callers = self.config.callers()
        return Access(callers, devices.DeviceKeys(self._device_deps)) if callers else None

    def _device_deps(self) -> devices.Deps:
        return devices.Deps(self.documents, self._clock)

    def evidence_deps(self) -> evidence.Deps:
        """What gives evidence to people."""
        return evidence.over(self.documents, self._clock, self.links, self.media)

    def _alerting(self) -> Callable[[Delivery], None]:
        """Calls guards by the log, and tells webhooks."""
        link = partial(evidence.link_for, purpose=Purpose.WEBHOOK, deps=self.evidence_deps())
        posts = HttpWebhookSender(self.config.private_hosts)
        sending = delivering.Deps(self.documents, self._clock, self.queue, PushLog(), posts, link)
        deliver = partial(delivering.attempt_due, deps=sending)
        deps = notify.Deps(self.documents, self._clock, self.queue, deliver, self.config.cool_down())
        return partial(notify.handle, deps=deps)

    def _webhook_deps(self) -> webhook_registry.Deps:
        check = partial(read_receiver, private_hosts=self.config.private_hosts)
        return webhook_registry.Deps(self.documents, self._clock, self.queue, check)

    def moderation_deps(self) -> moderation_batch.Deps:
        """What moderates while a client waits. Of buckets, clients may name the one there is."""
        own = bucket_name("media")
        places = [place for place in self.config.places(own) if place[0] == own]
        return moderation_batch.Deps(
            sources=media_sources.sources(UrlFetcher(), lambda _: self.media, own, places),
            pixels=Pixels(SafePictures(), StreamProbe(), self.detector, VideoFrames()),
            witnesses=self._witnesses,
            cache=caching.Deps(self.documents, self._clock, self.config.cache_duration()),
            profiles=self._profiles,
            concurrency=self.config.concurrency,
            full_look=False,
        )

    def _ingest_deps(self) -> ingest.Deps:
        policy = self.config.reuse_policy()
        return ingest.Deps(self.documents, self.media, StreamProbe(), SafePictures(), self._clock, policy)

    def _moderate_deps(self) -> moderate.Deps:
        """Nobody here looks at whole videos, and nobody bills."""
        pictures = looking.Pictures(self.documents, self.media, VideoFrames(), SafePictures())
        mode = self.config.reuse_analyses
        return moderate.Deps(self.documents, self._clock, pictures, self._witnesses, self._profiles, None, mode)

    def _detect_deps(self) -> detect.Deps:
        finding = reuse.Deps(self.documents, self.media, self._clock, self.config.reuse_policy())
        return detect.Deps(self._scoring, finding)

    def _context_deps(self) -> context.Deps:
        """Without a key Gemini can't be asked, and the ledger says so."""
        why = "GOOGLE_API_KEY is not set, so Gemini was not asked."
        why = why if self.config.asks_gemini else context.NO_MODEL
        spending = Spending(self.documents, self._clock, "Gemini", self.config.gemini_budget)
        watched = WatchedModel(self.gemini, self.documents, self._clock) if self.gemini else None
        mode = self.config.reuse_analyses
        return context.Deps(self.documents, self.media, watched, TileSheets(), spending, why, mode)

    def _gemini_state(self) -> str:
        """What the health page says of it; before the first call, that there is a key."""
        if self.gemini is None:
            return "off"
        return "degraded" if components.state_of(self.documents, "gemini") == "degraded" else "ok"

    def maintain_deps(self) -> maintain.Deps:
        """What the sweeper needs."""
        return maintain.Deps(
            documents=self.documents,
            media=self.media,
            evidence=self.evidence,
            bus=self.queue,
            clock=self._clock,
            bucket=bucket_name("media"),
            grace=timedelta(seconds=self.config.grace_seconds),
            cleaners=self._cleaners(),
            keep=self.config.quarantine(),
            keep_pictures=self.config.evidence_retention(),
        )

    def _cleaners(self) -> tuple[Callable[[datetime], int], ...]:
        expiring = tuple(partial(each.remove_expired, self.documents) for each in (verdict_cache, idempotency, metrics))
        return (*expiring, self.gemini.remove_leftovers) if self.gemini else expiring

    def _sweeper_state(self) -> str:
        return components.maintenance_state(self.documents, self._clock.now())

    def _service_deps(self) -> service.Deps:
        checks: dict[str, service.Check] = {
            "blobs": lambda: self.media.stat("media/health"),
            "bus": lambda: self.queue.list(limit=1),
            "model": lambda: self.detector.version,
            "maintain": self._sweeper_state,
            "gemini": self._gemini_state,
            "ocr": lambda: self.images.condition(Feature.TEXT),
            "faces": lambda: self.images.condition(Feature.FACES),
            "sentiment": lambda: self.texts.condition,
        }
        enabled = self.access() is not None
        return service.Deps(
            self.documents, self._clock, checks, enabled, self.config.ws_enabled, lambda: self._sockets.open
        )

    def _publish_pending(self) -> None:
        publish_pending(self.documents, self.queue, self._clock.now())

    def _lock_folder(self, data: Path) -> None:
        lock = (data / "lock").open("ab")
        self._closing.callback(lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._closing.close()
            raise FolderInUse(f"another process serves {data}") from None
