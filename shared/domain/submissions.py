"""What a device submits in one request, and what it was answered: kept so that a repetition is answered the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.evidence_images import EvidenceImage
from shared.domain.incidents import IncidentStatus, Observation, Priority, SignalKind

KEPT = timedelta(hours=24)
"""How long a repetition is recognised."""


class Became(StrEnum):
    """What a submission led to, in the source's words."""

    INCIDENT_CREATED = "incident_created"
    SIGNAL_ADDED = "signal_added_to_existing"
    LOGGED_ONLY = "logged_only"


@dataclass(frozen=True)
class AnsweredImage:
    """What the answer says of a picture; its link is made whenever the answer is given."""

    id: int
    object_name: str
    uploaded_at: datetime
    description: str


@dataclass(frozen=True)
class Joined:
    """The incident a signal belongs to, as it was when it was answered."""

    incident_id: str
    signal_id: int
    location: str
    status: IncidentStatus
    priority: Priority


@dataclass(frozen=True)
class Answer:
    """What a device is told. `joined` is None when the observation was only logged."""

    became: Became
    kind: SignalKind
    ai_event_id: int
    confidence: float
    device_id: str | None
    images: tuple[AnsweredImage, ...]
    joined: Joined | None


@dataclass(frozen=True)
class RepetitionKey:
    """A device's own name of a request, which means something only to this caller and for this kind of signal.

    `caller`: its identity, for a device and a person may have the same name.
    """

    caller: str
    kind: SignalKind
    key: str

    @property
    def id(self) -> str:
        """One text for all three."""
        return hashlib.sha256(json.dumps([self.caller, self.kind, self.key]).encode()).hexdigest()


@dataclass(frozen=True)
class Answered:
    """A submission under a key, and its answer. `content`: see `content_of`."""

    id: str
    content: str
    answer: Answer
    created_at: datetime
    expires_at: datetime


def content_of(observation: Observation, received: Sequence[str]) -> str:
    """One hash for all that was submitted. `received`: the SHA-256 of each picture as it came, in order."""
    said = [
        observation.kind,
        observation.beacon_id,
        observation.confidence,
        observation.description,
        observation.device_id,
        *received,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def described(number: int, kind: SignalKind) -> str:
    """What a device's picture is called; `number` counts from 1."""
    return f"AI Detection Image {number} ({kind.value.upper()})"


def answered_image(image: EvidenceImage) -> AnsweredImage:
    """What is said of a stored picture."""
    return AnsweredImage(image.id, image.object_name, image.uploaded_at, image.description)
