"""A small pipeline for handler tests: real stores in a folder; a detector and a probe that read the file's word."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import BinaryIO

from shared.adapters.embedded.blobs import FolderBlobs
from shared.delivery import StageRunner, receive
from shared.domain.assets import Asset, object_name_of
from shared.domain.incidents import IncidentPolicy
from shared.domain.reuse import ReusePolicy
from shared.domain.stages import Stage, StageRecord
from shared.errors import MediaUnusable
from shared.handlers import context, correlate, detect, direct, ingest, observe, reuse, scoring
from shared.ids import TimeOrderedIds, new_uuid
from shared.ports import (
    FINGERPRINT_SIDE,
    Bus,
    ContextModel,
    Delivery,
    DetectionRun,
    Documents,
    MediaFacts,
    Moment,
    OutgoingMessage,
    ScoredWindow,
)
from shared.repositories import assets
from tests.fakes import ManualClock

BUCKET = "media-bucket"
LEASE = timedelta(seconds=1)
CONTENTS = {"fight": 0.9, "scuffle": 0.6, "calm": 0.1}


class WordDetector:
    """A `Detector` for files that say what they show: `WORD [SCENE [RECORDING [ENCODING]]]`, such as `fight gate 1`."""

    class_name = "violence"

    def __init__(self, version: str = "word-detector-1") -> None:
        self.calls = 0
        self.version = version

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        """One window of two seconds with the word's probability."""
        self.calls += 1
        word, *which = stream.read().decode().split()
        if word not in CONTENTS:
            raise MediaUnusable("no_picture", "The file has no picture.")
        windows = (ScoredWindow(0.0, 2.0, CONTENTS[word]),)
        return DetectionRun(windows, 2.0, truncated=False, fingerprint=_moving(which[1]) if which[1:] else b"")


def _moving(recording: str) -> bytes:
    """A fingerprint of two seconds, another one for each recording."""
    return random.Random(recording).randbytes(4 * FINGERPRINT_SIDE**2)


class WordProbe:
    """A `MediaProbe` that refuses the word `broken`."""

    def probe(self, stream: BinaryIO) -> MediaFacts:
        """Facts of a two-second clip."""
        data = stream.read()
        word, *which = data.decode().split()
        if word == "broken":
            raise MediaUnusable("not_a_video", "The file is text, not a video.")
        looks = hashlib.sha256(which[0].encode()).hexdigest()[:16] if which else "0" * 16
        sha256 = hashlib.sha256(data).hexdigest()
        return MediaFacts("mp4", "h264", 2.0, 640, 360, 25.0, sha256, looks, len(data), truncated=False)


class WordSheets:
    """A `ContactSheets` that says what it was asked to draw; it can be told to fail."""

    def __init__(self) -> None:
        self.failing: Exception | None = None

    def draw(self, stream: BinaryIO, moments: Sequence[Moment]) -> bytes:
        """The moments as text, or what it was told to raise."""
        if self.failing is not None:
            raise self.failing
        stream.seek(0)
        return b" ".join([stream.read(), *(f"{m.seconds}:{m.label}".encode() for m in moments)])


class ListBus:
    """A `Bus` that keeps what it is given; it can be told to fail."""

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []
        self.failing: Exception | None = None

    def publish(self, message: OutgoingMessage) -> str:
        """Keeps the message, or raises what it was told to."""
        if self.failing is not None:
            raise self.failing
        self.messages.append(message)
        return f"m{len(self.messages)}"

    def of_topic(self, topic: str) -> list[OutgoingMessage]:
        """What was published to one topic."""
        return [message for message in self.messages if message.topic == topic]


@dataclass
class Pipeline:
    """The stages over one store and bus."""

    documents: Documents
    media: FolderBlobs
    bus: Bus
    clock: ManualClock
    detector: WordDetector
    policy: IncidentPolicy = IncidentPolicy()
    sheets: WordSheets = field(default_factory=WordSheets)
    model: ContextModel | None = None
    reuse: ReusePolicy = ReusePolicy()

    def observe_deps(self) -> observe.Deps:
        """What observations need."""
        return observe.Deps(self.documents, self.clock, TimeOrderedIds(self.clock), self.policy)

    def scoring_deps(self) -> scoring.Deps:
        """What detection needs."""
        return scoring.Deps(self.media, self.detector, self.sheets)

    def detect_deps(self) -> detect.Deps:
        """What the detect stage needs."""
        return detect.Deps(self.scoring_deps(), reuse.Deps(self.documents, self.media, self.clock, self.reuse))

    def context_deps(self) -> context.Deps:
        """What the context stage needs."""
        return context.Deps(self.documents, self.media, self.model, self.sheets, "No model here.", self.reuse.mode)

    def direct_deps(self) -> direct.Deps:
        """What a direct analysis needs."""
        return direct.Deps(self.documents, WordProbe(), self.scoring_deps(), self.clock)

    def handlers(self) -> dict[str, Callable[[Delivery], None]]:
        """What handles each stage's deliveries."""
        runner = StageRunner(self.documents, self.bus, self.clock, LEASE)
        ingest_deps = ingest.Deps(self.documents, self.media, WordProbe(), self.clock, self.reuse)
        return {
            "ingest": partial(receive, ingest.consumer, ingest_deps, runner),
            "detect": partial(receive, detect.consumer, self.detect_deps(), runner),
            "context": partial(receive, context.consumer, self.context_deps(), runner),
            "correlate": partial(receive, correlate.consumer, correlate.Deps(self.observe_deps()), runner),
        }

    def upload(self, word: str, *, source_id: str | None = "gate") -> tuple[str, Delivery]:
        """An asset whose file has arrived, and the bucket's notification of it."""
        asset = Asset(new_uuid(), "", self.clock.now(), source_id)
        name = object_name_of(asset.id)
        self.documents.commit([assets.creation(Asset(asset.id, name, asset.created_at, source_id))])
        return asset.id, self.drop(name, word)

    def drop(self, name: str, word: str) -> Delivery:
        """Puts a file into the bucket and gives the notification of it."""
        info = self.media.put(name, word.encode(), content_type="video/mp4")
        resource = {"bucket": BUCKET, "name": name, "generation": str(info.generation)}
        return Delivery(new_uuid(), json.dumps(resource).encode(), {"eventType": "OBJECT_FINALIZE"})

    def asset(self, asset_id: str) -> Asset:
        """The asset as it is stored now."""
        return assets.get(self.documents, asset_id)


def delivery_of(message: OutgoingMessage, message_id: str = "m") -> Delivery:
    return Delivery(message_id, message.data, message.attributes)


def run_through(pipeline: Pipeline, bus: ListBus, notification: Delivery) -> None:
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    for topic, stage in (("media-uploaded", "detect"), ("media-detected", "context"), ("media-detected", "correlate")):
        for message in bus.of_topic(topic):
            handlers[stage](delivery_of(message))


def ledger(asset: Asset, stage: Stage) -> StageRecord:
    return assets.stage_record(asset, stage)
