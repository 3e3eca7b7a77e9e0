"""The messages between the functions: versioned, JSON, with CloudEvent attributes.

A reader ignores fields it does not know and refuses, permanently, what lacks a field it needs. A change that older
readers could not read gets a new class with the next version; a published one never changes its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import ValidationError

from shared import logs
from shared.domain.assets import MAX_SOURCE_ID_CHARACTERS, is_shown_text
from shared.domain.detections import DEFAULT_SENSITIVITY, Segment
from shared.domain.header_text import decode_header_text, encode_header_text
from shared.domain.moderation.findings import MediaKind
from shared.domain.stages import Stage
from shared.errors import Malformed
from shared.json_objects import read_object
from shared.ports import Delivery, OutgoingMessage
from shared.records import from_data, to_data


class Message(Protocol):
    """What every message class states about itself."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[str]


M = TypeVar("M")
SOURCE = "//sightline"

SOURCE_ID_KEY = "source-id"
"""The object metadata that names the camera or beacon a file comes from (`x-goog-meta-source-id`)."""

FINALISED_KINDS = frozenset({None, "OBJECT_FINALIZE", "google.cloud.storage.object.v1.finalized"})
"""As Cloud Storage's own notification and as Eventarc's CloudEvent name the same thing; None where one is absent."""


@dataclass(frozen=True, kw_only=True)
class ReplayOrder:
    """Asks one stage alone to run again on what is stored; the others pass the message by. `id` names the replay.

    `sensitivity` and `step` are those of the earlier detection, so that the same is asked of the detector again.
    """

    id: str
    asset_id: str
    stage: str
    sensitivity: float = DEFAULT_SENSITIVITY
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class MediaUploaded:
    """An upload was identified and probed. `duration` in seconds, 0 of a still picture."""

    TYPE: ClassVar[str] = "media-uploaded.v1"
    TOPIC: ClassVar[str] = "media-uploaded"

    asset_id: str
    bucket: str
    object_name: str
    generation: int
    duration: float
    kind: MediaKind = MediaKind.VIDEO
    replay: ReplayOrder | None = None


@dataclass(frozen=True, kw_only=True)
class MediaDetected:
    """The detector has looked at an upload, or passed a still picture by. `segments`: of the default sensitivity."""

    TYPE: ClassVar[str] = "media-detected.v1"
    TOPIC: ClassVar[str] = "media-detected"

    asset_id: str
    bucket: str
    object_name: str
    generation: int
    segments: tuple[Segment, ...]
    confidence: float
    model: str
    kind: MediaKind = MediaKind.VIDEO
    replay: ReplayOrder | None = None


@dataclass(frozen=True, kw_only=True)
class MediaModerated:
    """The verdict on an upload is final. `categories` are those of the findings that counted.

    `status` is `PASS`, `FAIL` or `ERROR` (nothing could be evaluated), `rule` what decided. `score`, `confidence`: 0-1.
    """

    TYPE: ClassVar[str] = "media-moderated.v1"
    TOPIC: ClassVar[str] = "media-moderated"

    asset_id: str
    bucket: str
    object_name: str
    generation: int
    status: str
    rule: str
    score: float
    confidence: float
    reasons: tuple[str, ...]
    categories: tuple[str, ...]
    profile: str
    profile_version: str
    replay: ReplayOrder | None = None


@dataclass(frozen=True, kw_only=True)
class MediaDescribed:
    """The context stage has looked at an upload. `threat_level` (0-2) may raise attention and lowers nothing."""

    TYPE: ClassVar[str] = "media-described.v1"
    TOPIC: ClassVar[str] = "media-described"

    asset_id: str
    bucket: str
    object_name: str
    generation: int
    objects: tuple[str, ...]
    emotions: tuple[str, ...]
    scenes: tuple[str, ...]
    description: str
    threat_level: int | None
    model: str


@dataclass(frozen=True, kw_only=True)
class MediaAnalysed:
    """Every stage of an upload has ended: its AnalysisData is complete. Sent once each time that becomes true.

    `state` is `done` or `failed`; `missing` names the stages that gave no result, each with its reason's code.
    `overall_risk` is `unknown` where nothing was detected because nothing was looked at.
    """

    TYPE: ClassVar[str] = "media-analysed.v1"
    TOPIC: ClassVar[str] = "media-analysed"

    asset_id: str
    object_name: str
    generation: int | None
    state: str
    overall_risk: str
    confidence: float
    attention: str
    missing: Mapping[str, str]
    cost_usd: float


@dataclass(frozen=True, kw_only=True)
class IncidentOpened:
    """An incident opened: the one moment to alert."""

    TYPE: ClassVar[str] = "incident-opened.v1"
    TOPIC: ClassVar[str] = "incident-opened"

    incident_id: str
    beacon_id: str
    beacon_location: str
    priority: str
    opened_at: datetime
    signal_id: int


@dataclass(frozen=True, kw_only=True)
class IncidentChanged:
    """An incident changed after it opened: its priority rose, or somebody acted.

    `change` is the timeline entry's kind (`incident_changes.Action`), `revision` its number, `actor` who did it; 0 and
    empty in messages from before actions were told of. `status` and `assignee` are as they are after the change. Of all
    changes but `priority_raised`, which has the signal that caused it, both priorities are the same.
    """

    TYPE: ClassVar[str] = "incident-changed.v1"
    TOPIC: ClassVar[str] = "incident-changed"

    incident_id: str
    beacon_id: str
    previous_priority: str
    priority: str
    signal_id: int | None = None
    change: str = "priority_raised"
    revision: int = 0
    actor: str = ""
    status: str | None = None
    assignee: str | None = None


@dataclass(frozen=True, kw_only=True)
class AlertDue:
    """It is time to look at an alert again: its round is over, somebody answered, or a delivery may be tried (again).

    What is to be done, the alert and its deliveries say; early, late and repeated news do no harm.
    """

    TYPE: ClassVar[str] = "alert-due.v1"
    TOPIC: ClassVar[str] = "alert-due"

    alert_id: str


@dataclass(frozen=True, kw_only=True)
class ObjectFinalised:
    """Cloud Storage's notification that an object is complete, as far as it matters here. A replay sends its own."""

    TYPE: ClassVar[str] = "google.cloud.storage.object.v1.finalized"
    TOPIC: ClassVar[str] = "media-finalised"

    bucket: str
    name: str
    generation: int
    source_id: str | None = None
    replay: ReplayOrder | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotationsFinalised:
    """Cloud Storage's notification that the result of Video Intelligence's look is complete."""

    TYPE: ClassVar[str] = ObjectFinalised.TYPE
    TOPIC: ClassVar[str] = "annotations-finalised"

    bucket: str
    name: str
    replay: ReplayOrder | None = None


TRIGGERS: Mapping[Stage, str] = {
    Stage.INGEST: ObjectFinalised.TOPIC,
    Stage.DETECT: MediaUploaded.TOPIC,
    Stage.CONTEXT: MediaDetected.TOPIC,
    Stage.CORRELATE: MediaDetected.TOPIC,
    Stage.MODERATE: MediaDetected.TOPIC,
    Stage.ANNOTATE: AnnotationsFinalised.TOPIC,
    Stage.ESCALATE: MediaModerated.TOPIC,
}
"""The topic whose messages each stage waits for, as `infra/pipeline.yaml` declares it (a test compares them)."""


def encode(message: Message, *, message_id: str, now: datetime) -> OutgoingMessage:
    """The message as it is published. The same `message_id` for the same fact lets readers recognise a repetition."""
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": message_id,
        "ce-type": message.TYPE,
        "ce-source": SOURCE,
        "ce-time": now.isoformat(),
        "content-type": "application/json",
    }
    trace = logs.current_trace()
    if trace:
        attributes["traceparent"] = f"00-{trace}-{message_id.replace('-', '')[:16]}-01"
    data = json.dumps(to_data(message), default=_encode_value).encode()
    return OutgoingMessage(message.TOPIC, data, attributes)


def decode(cls: type[M], delivery: Delivery) -> M:
    """Reads a message. Raises `Malformed` when it is no JSON object, of another type, or lacks a field."""
    expected = cls.TYPE  # type: ignore[attr-defined]
    sent = delivery.attributes.get("ce-type", expected)
    if sent != expected:
        raise Malformed("unexpected_type", f"Expected a message of type {expected}, got {sent[:100]!r}.")
    return _validated(cls, read_object(delivery.data))


def decode_finalised(delivery: Delivery) -> ObjectFinalised | None:
    """Reads Cloud Storage's notification; None for an event other than a finalised object."""
    if not _is_finalised(delivery):
        return None
    resource = read_object(delivery.data)
    metadata = resource.get("metadata")
    written = metadata.get(SOURCE_ID_KEY) if isinstance(metadata, dict) else None
    source = decode_header_text(written) if isinstance(written, str) else ""
    # Whoever dropped the file may have written anything there; a bad name must not cost the detection.
    usable = is_shown_text(source, MAX_SOURCE_ID_CHARACTERS)
    return _validated(ObjectFinalised, {**resource, "source_id": source if usable else None})


def decode_annotations(delivery: Delivery) -> AnnotationsFinalised | None:
    """Reads the notification of a result object; None for an event other than a finalised object."""
    return _validated(AnnotationsFinalised, read_object(delivery.data)) if _is_finalised(delivery) else None


def _is_finalised(delivery: Delivery) -> bool:
    kinds = (delivery.attributes.get("eventType"), delivery.attributes.get("ce-type"))
    return all(kind in FINALISED_KINDS for kind in kinds)


def notification_of(finalised: ObjectFinalised) -> OutgoingMessage:
    """What the bucket would have published of an object, for when it did not, or when nobody heard."""
    metadata = {} if finalised.source_id is None else {SOURCE_ID_KEY: encode_header_text(finalised.source_id)}
    resource = {
        "kind": "storage#object",
        "bucket": finalised.bucket,
        "name": finalised.name,
        "generation": str(finalised.generation),
        "metadata": metadata,
    }
    attributes = {
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": finalised.bucket,
        "objectId": finalised.name,
        "objectGeneration": str(finalised.generation),
    }
    return OutgoingMessage(ObjectFinalised.TOPIC, json.dumps(resource).encode(), attributes)


def _validated(cls: type[M], fields: Mapping[str, Any]) -> M:
    try:
        return from_data(cls, fields)
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        raise Malformed("invalid_fields", f"Missing or wrong in the message: {', '.join(places)[:300]}.") from None


def _encode_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} does not belong in a message")
