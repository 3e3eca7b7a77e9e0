"""Pictures that came with signals: what is kept of each, and where it lies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

EVIDENCE_PREFIX = "incidents/"
MAX_IMAGES = 3
MAX_IMAGE_BYTES = 10 << 20
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


_OBJECT_NAME = re.compile(re.escape(EVIDENCE_PREFIX) + r"\d{4}/\d\d/\d\d/([1-9]\d{0,15})\.[a-z]{3,4}", re.ASCII)


def object_name_of(image_id: int, extension: str, now: datetime) -> str:
    """Where a picture lies. `extension` without a dot."""
    return f"{EVIDENCE_PREFIX}{now:%Y/%m/%d}/{image_id}.{extension}"


def image_id_of(object_name: str) -> int | None:
    """The picture that lies there; None: the name is none of ours."""
    found = _OBJECT_NAME.fullmatch(object_name)
    return int(found[1]) if found else None
