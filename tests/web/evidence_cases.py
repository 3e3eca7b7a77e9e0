"""Incidents with evidence, as the stages and devices would have left them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi.testclient import TestClient

from local.home import Home
from shared.domain.assets import Asset
from shared.domain.context import Context
from shared.domain.evidence_images import EvidenceImage
from shared.ids import TimeOrderedIds, new_uuid
from shared.ports import Update
from shared.repositories import assets, evidence_images
from tests.fakes import NOON, ManualClock

IDS = TimeOrderedIds(ManualClock())


def reported(client: TestClient, **fields: Any) -> Mapping[str, Any]:
    """A signal that opened or joined an incident."""
    body = {"beacon_id": "gate", "confidence_score": 0.9, "description": "Two people fight", **fields}
    reply = client.post("/api/ai/violence-detected/", json=body)
    assert reply.status_code in {200, 201}, reply.text
    answer: Mapping[str, Any] = reply.json()
    return answer


def with_image(
    home: Home, signal: Mapping[str, Any], data: bytes = b"a picture", *, at: datetime = NOON
) -> EvidenceImage:
    """A picture of the signal's incident (or of no incident, where the signal was logged only)."""
    image_id = IDS.next()
    name = f"incidents/2026/03/01/{image_id}.jpg"
    home.evidence.put(name, data, content_type="image/jpeg")
    image = EvidenceImage(
        id=image_id,
        object_name=name,
        content_type="image/jpeg",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        received_sha256="0" * 64,
        width=8,
        height=8,
        description="Jane Doe at the gate",
        beacon_id="gate",
        ai_event_id=signal["ai_event_id"],
        uploaded_at=at,
        incident_id=signal.get("incident_id"),
        signal_id=signal.get("signal_id"),
    )
    home.documents.commit([evidence_images.creation(image)])
    return image


def with_clip(home: Home, incident_id: str, data: bytes = b"a clip", *, folder: str = "media") -> Asset:
    """An upload whose analysis has ended and whose observation joined the incident."""
    asset_id = new_uuid()
    name = f"{folder}/{asset_id}"
    info = home.media.put(name, data, content_type="video/mp4")
    asset = Asset(
        asset_id,
        name,
        NOON,
        "gate",
        filename="jane-doe.mp4",
        generation=info.generation,
        context=Context(("person",), (), ("street",), "Jane Doe is pushed."),
        complete=True,
        incident_ids=(incident_id,),
    )
    home.documents.commit([assets.creation(asset)])
    return asset


def set_fields(home: Home, collection: str, id: str, **fields: Any) -> None:
    """Changes a document as another function would."""
    home.documents.commit([Update(collection, id, fields)])
