"""Pictures that came with signals: what is kept of each, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

EVIDENCE_PREFIX = "incidents/"
MAX_IMAGES = 3
MAX_IMAGE_BYTES = 10 * 1000 * 1000
"""The source's limits: three pictures of 10 MB each."""


class DeletedBecause(StrEnum):
    """Why a picture's file was deleted."""

    RETENTION = "retention"
    ERASURE = "erasure"


class LinkMode(StrEnum):
    """`EVIDENCE_URLS`: how stored pictures are linked to. PUBLIC needs a bucket that everybody may read."""

    SIGNED = "signed"
    PUBLIC = "public"


@dataclass(frozen=True)
class EvidenceImage:
    """A picture as it is stored: drawn anew, without metadata, in the evidence bucket.

    `id` is time-ordered; `size` in bytes, `sha256` in hex, both of the stored file; `received_sha256` of what the
    device sent. `incident_id` and `signal_id` are None while it is kept for review only (the confidence was below the
    threshold). `deleted_at`: the file is gone (retention, erasure) and only this record is left; `deleted_because` says
    why. `stored`: the file may still lie there; a deletion is decided first, then done, then this is False.
    """

    id: int
    object_name: str
    content_type: str
    size: int
    sha256: str
    received_sha256: str
    width: int
    height: int
    description: str
    beacon_id: str
    ai_event_id: int
    uploaded_at: datetime
    incident_id: str | None = None
    signal_id: int | None = None
    deleted_at: datetime | None = None
    deleted_because: str | None = None
    stored: bool = True
