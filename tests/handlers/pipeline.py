"""A small pipeline for handler tests: real stores in a folder; a detector and a probe that read the file's word."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import BinaryIO

from shared import policies
from shared.adapters.embedded.blobs import FolderBlobs
from shared.delivery import StageRunner, receive
from shared.detection.pictures import SafePictures
from shared.domain.assets import Asset, object_name_of
from shared.domain.costs import Machine
from shared.domain.incidents import IncidentPolicy
from shared.domain.moderation.in_force import InForce
from shared.domain.moderation.moderated import ANNOTATIONS_PREFIX
from shared.domain.reuse import ReusePolicy
from shared.domain.stages import Stage, StageRecord
from shared.errors import Malformed, MediaUnusable, Retryable
from shared.handlers import (
    annotate,
    asking,
    context,
    correlate,
    detect,
    direct,
    escalate,
    ingest,
    labelling,
    leftovers,
    looking,
    maintain,
    moderate,
    observe,
    replays,
    reuse,
    scoring,
    witnesses,
)
from shared.handlers.spending import Spending
from shared.ids import TimeOrderedIds, new_uuid
from shared.ports import (
    FINGERPRINT_SIDE,
    Bus,
    ContextModel,
    Delivery,
    DetectionRun,
    Documents,
    Frame,
    MediaFacts,
    Moment,
    Operation,
    OperationState,
    OutgoingMessage,
    ScoredWindow,
    VideoAnnotation,
)
from shared.records import from_data
from shared.repositories import assets
from tests.fakes import ManualClock
from tests.handlers.scripted_witnesses import ScriptedAnnotator, ScriptedText, jpeg

BUCKET = "media-bucket"
RESULTS_BUCKET = "results-bucket"
"""Where notifications say that annotations lie; work on an upload is known by the bucket of uploads all the same."""
LEASE = timedelta(seconds=1)
GRACE = timedelta(seconds=2)
SUBSCRIBERS = {
    "media-finalised": ["ingest"],
    "media-uploaded": ["detect"],
    "media-detected": ["context", "correlate", "moderate"],
    "annotations-finalised": ["annotate"],
    "media-moderated": ["escalate"],
}
PROFILES = policies.load_in_force("balanced", "strict", None)
PATTERNS = policies.load_patterns()
CONTENTS = {"fight": 0.9, "scuffle": 0.6, "calm": 0.1}


class WordDetector:
    """A `Detector` for files that say what they show: `WORD [SCENE [RECORDING [ENCODING]]]`, such as `fight gate 1`.

    `probabilities` of each word are what it has learnt.
    """

    class_name = "violence"

    def __init__(self, version: str = "word-detector-1", probabilities: Mapping[str, float] = CONTENTS) -> None:
        self.version = version
        self.calls = 0
        self._probabilities = probabilities

    def detect(
        self, stream: BinaryIO, *, step: int = 1, report: Callable[[float], None] = lambda _: None
    ) -> DetectionRun:
        """One window of two seconds with the word's probability."""
        self.calls += 1
        word, *which = stream.read().decode().split()
        if word not in self._probabilities:
            raise MediaUnusable("no_picture", "The file has no picture.")
        windows = (ScoredWindow(0.0, 2.0, self._probabilities[word]),)
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


class WordFrames:
    """A `FrameSampler` that has a small gray picture for every moment."""

    def sample(self, stream: BinaryIO, seconds: Sequence[float]) -> list[Frame]:
        """One picture a moment."""
        return [Frame(jpeg(), 8, 8, moment) for moment in seconds]


@dataclass
class ScriptedVideo:
    """A `VideoAnnotator` whose operations stand as the test says, and whose results are JSON of `VideoAnnotation`."""

    name: str = "scripted-video-1"
    started: list[tuple[str, str]] = field(default_factory=list)
    states: dict[str, OperationState] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    failing: Exception | None = None

    def start(self, object_name: str, output_name: str) -> str:
        """An operation that runs until the test says otherwise."""
        if self.failing is not None:
            raise self.failing
        self.started.append((object_name, output_name))
        name = f"operation-{len(self.started)}"
        self.states[name] = OperationState.RUNNING
        return name

    def look_up(self, operation: str) -> Operation:
        """As the test says; halfway while it runs."""
        if self.failing is not None:
            raise self.failing
        return Operation(operation, self.states.get(operation, OperationState.LOST), 0.5)

    def cancel(self, operation: str) -> None:
        """Remembers it."""
        self.cancelled.append(operation)

    def read(self, stream: BinaryIO) -> VideoAnnotation:
        """The annotation in the JSON."""
        try:
            return from_data(VideoAnnotation, json.loads(stream.read()))
        except ValueError:
            raise Malformed("not_a_result", "This is no result.") from None


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
        self.failing_topics: set[str] = set()

    def publish(self, message: OutgoingMessage) -> str:
        """Keeps the message, or raises what it was told to."""
        if self.failing is not None:
            raise self.failing
        if message.topic in self.failing_topics:
            raise Retryable("this topic is away")
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
    budget_usd: float | None = None
    machine: Machine | None = None
    reuse: ReusePolicy = ReusePolicy()
    images: ScriptedAnnotator = field(default_factory=ScriptedAnnotator)
    texts: ScriptedText = field(default_factory=ScriptedText)
    video: ScriptedVideo | None = None
    video_budget: float | None = None
    vision_budget: float | None = None
    profiles: InForce = PROFILES

    def witnesses(self) -> witnesses.Deps:
        """Who looks; Vision and Language send bills."""
        vision = Spending(self.documents, self.clock, "Vision", self.vision_budget)
        language = Spending(self.documents, self.clock, "Language", None)
        return witnesses.Deps(self.images, self.texts, PATTERNS, vision, language)

    def moderate_deps(self) -> moderate.Deps:
        """What the moderate stage needs."""
        pictures = looking.Pictures(self.documents, self.media, WordFrames(), SafePictures())
        money = Spending(self.documents, self.clock, "Video Intelligence", self.video_budget)
        full = asking.FullLook(self.video, money) if self.video else None
        asked = self.witnesses()
        return moderate.Deps(self.documents, self.clock, pictures, asked, self.profiles, full, self.reuse.mode)

    def annotate_deps(self) -> annotate.Deps:
        """What the annotate stage needs."""
        video = self.video or ScriptedVideo()
        return annotate.Deps(self.documents, self.media, self.clock, video, self.witnesses(), self.profiles, BUCKET)

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
        spending = Spending(self.documents, self.clock, "Gemini", self.budget_usd)
        why = "No model here."
        return context.Deps(self.documents, self.media, self.model, self.sheets, spending, why, self.reuse.mode)

    def direct_deps(self) -> direct.Deps:
        """What a direct analysis needs."""
        return direct.Deps(self.documents, WordProbe(), self.scoring_deps(), self.clock, self.machine)

    def maintain_deps(self, *cleaners: leftovers.Cleaner) -> maintain.Deps:
        """What the sweeper needs. The pictures of signals lie in the same bucket here, under a prefix of their own."""
        blobs = (self.media, self.media)
        return maintain.Deps(self.documents, *blobs, self.bus, self.clock, BUCKET, GRACE, cleaners, self.video)

    def replay_deps(self) -> replays.Deps:
        """What an order to replay a stage needs."""
        return replays.Deps(self.documents, self.media, self.bus, self.clock, BUCKET)

    def labelling_deps(self) -> labelling.Deps:
        """What feedback needs."""
        return labelling.Deps(self.documents, self.clock)

    def handlers(self) -> dict[str, Callable[[Delivery], None]]:
        """What handles each stage's deliveries."""
        runner = StageRunner(self.documents, self.bus, self.clock, LEASE, self.machine)
        ingest_deps = ingest.Deps(self.documents, self.media, WordProbe(), SafePictures(), self.clock, self.reuse)
        return {
            "ingest": partial(receive, ingest.consumer, ingest_deps, runner),
            "detect": partial(receive, detect.consumer, self.detect_deps(), runner),
            "context": partial(receive, context.consumer, self.context_deps(), runner),
            "correlate": partial(receive, correlate.consumer, correlate.Deps(self.observe_deps()), runner),
            "moderate": partial(receive, moderate.consumer, self.moderate_deps(), runner),
            "annotate": partial(receive, annotate.consumer, self.annotate_deps(), runner),
            "escalate": partial(receive, escalate.consumer, escalate.Deps(self.observe_deps()), runner),
        }

    def upload(self, word: str | bytes, *, source_id: str | None = "gate") -> tuple[str, Delivery]:
        """An asset whose file has arrived, and the bucket's notification of it."""
        asset = Asset(new_uuid(), "", self.clock.now(), source_id)
        name = object_name_of(asset.id)
        self.documents.commit([assets.creation(Asset(asset.id, name, asset.created_at, source_id))])
        return asset.id, self.drop(name, word)

    def drop(self, name: str, word: str | bytes) -> Delivery:
        """Stores an object and gives the notification of it, by its own bucket. All lie in one folder here."""
        data = word.encode() if isinstance(word, str) else word
        info = self.media.put(name, data, content_type="video/mp4")
        bucket = RESULTS_BUCKET if name.startswith(ANNOTATIONS_PREFIX) else BUCKET
        resource = {"bucket": bucket, "name": name, "generation": str(info.generation)}
        return Delivery(new_uuid(), json.dumps(resource).encode(), {"eventType": "OBJECT_FINALIZE"})

    def asset(self, asset_id: str) -> Asset:
        """The asset as it is stored now."""
        return assets.get(self.documents, asset_id)


def delivery_of(message: OutgoingMessage, message_id: str = "m") -> Delivery:
    return Delivery(message_id, message.data, message.attributes)


def run_through(pipeline: Pipeline, bus: ListBus, notification: Delivery) -> None:
    handlers = pipeline.handlers()
    handlers["ingest"](notification)
    for topic in ("media-uploaded", "media-detected", "media-moderated"):
        for stage in SUBSCRIBERS[topic]:
            for message in bus.of_topic(topic):
                handlers[stage](delivery_of(message))


def deliver(pipeline: Pipeline, messages: Sequence[OutgoingMessage]) -> None:
    """Hands messages to every stage that is subscribed to their topics."""
    handlers = pipeline.handlers()
    for number, message in enumerate(messages):
        for stage in SUBSCRIBERS.get(message.topic, ()):
            handlers[stage](delivery_of(message, f"m{number}"))


def ledger(asset: Asset, stage: Stage) -> StageRecord:
    return assets.stage_record(asset, stage)
