"""The view log: who was given which evidence, when, and how. An entry is written before the evidence is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Purpose(StrEnum):
    """How evidence was given: a link somebody asked for, a bundle, a webhook's or push's link, a device's reply."""

    LINK = "link"
    BUNDLE = "bundle"
    WEBHOOK = "webhook"
    PUSH = "push"
    REPLY = "reply"


class Item(StrEnum):
    """What was given."""

    IMAGE = "image"
    MEDIA = "media"
    BUNDLE = "bundle"


@dataclass(frozen=True)
class EvidenceView:
    """One giving of evidence. `id` is time-ordered; `by` is a person's name, a device's, or a webhook's.

    `incident_id` None: the picture is kept for review only. `expires_at`: until when the link works; None for a bundle,
    and for a public URL, which works for ever and whose use nobody sees.
    """

    id: int
    at: datetime
    by: str
    purpose: Purpose
    item: Item
    item_id: str
    incident_id: str | None
    expires_at: datetime | None = None
