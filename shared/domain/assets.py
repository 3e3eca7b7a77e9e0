"""An asset: one uploaded file and everything known of it. Its object's name is made, or checked, here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.context import Context
from shared.domain.detections import DEFAULT_SENSITIVITY, Segment
from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.moderated import LeftBehind, Moderation, QuarantineState
from shared.domain.stages import Stage, StageRecord
from shared.errors import MediaUnusable
from shared.ports import MediaFacts

MEDIA_PREFIX = "media/"
DIRECT_PREFIX = "direct/"
"""Of files that were sent to be analysed at once: beside `media/`, so that their arrival starts no pipeline."""

MAX_UPLOAD_BYTES = 5 << 30
"""5 GB (SPEC §2), as the binary gigabytes the signed length range names: 5368709120."""

UPLOAD_URL_HOURS = 2
MAX_SOURCE_ID_CHARACTERS = 256

# What Cloud Storage, Video Intelligence (where * and ? are wildcards) and a shell all take literally.
_SAFE_NAME = re.compile(r"media/[A-Za-z0-9][A-Za-z0-9._\-]*(/[A-Za-z0-9][A-Za-z0-9._\-]*)*")
_MAX_NAME_BYTES = 1024

MEDIA_CONTENT_TYPES = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "image/bmp",
        "image/tiff",
        "video/mp4",
        "video/quicktime",
        "video/x-msvideo",
        "video/avi",
        "video/x-matroska",
        "video/webm",
        "application/octet-stream",
    }
)
DEFAULT_CONTENT_TYPE = "video/mp4"

PICTURE_CONTAINERS = frozenset({"jpeg", "png", "gif", "webp", "bmp", "tiff"})
MAX_PICTURE_BYTES = 10 << 20
"""10 MB (SPEC §5), as the binary megabytes of the other limits."""

_PICTURE_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
PICTURE_HEAD_BYTES = 12
"""As many bytes of a file are enough for `begins_like_a_picture`."""


@dataclass(frozen=True)
class Detection:
    """What the detector found: the segments at `sensitivity`, and the highest window of all.

    It looked at every `step`-th frame. `look` says under which name its timeline is kept: empty for the first look,
    the replay's id for a later one.
    """

    segments: tuple[Segment, ...]
    peak_probability: float
    duration: float
    truncated: bool
    model: str
    sensitivity: float = DEFAULT_SENSITIVITY
    step: int = 1
    look: str = ""


@dataclass(frozen=True)
class SeenBefore:
    """An earlier upload that shows the same: byte for byte, or (`exact` False) as far as its fingerprint tells.

    `distance`: differing bits of the perceptual hashes.
    """

    asset_id: str
    exact: bool
    distance: int


@dataclass(frozen=True)
class Asset:
    """One upload. `object_name` and `generation` are known from the start and from the upload on, respectively.

    `metadata` is the client's own, shown and never read. `resumable`: its upload URL starts a session, which lasts.
    `observed_by`: the stages whose observation has joined one of `incident_ids`.
    `full_look`: Video Intelligence shall look at it, whatever its frames say.
    `complete`: every stage ended at least once, and it was said. `provisional`: its verdict is not final yet.
    `quarantine_until`: when a file that is held is deleted. `erased_at`: its media and texts were erased for a person.
    """

    id: str
    object_name: str
    created_at: datetime
    source_id: str | None = None
    filename: str | None = None
    generation: int | None = None
    facts: MediaFacts | None = None
    detection: Detection | None = None
    context: Context | None = None
    seen_before: SeenBefore | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    resumable: bool = False
    strict_mode: bool = False
    full_look: bool = False
    complete: bool = False
    incident_ids: tuple[str, ...] = ()
    observed_by: tuple[Stage, ...] = ()
    moderation: Moderation | None = None
    provisional: bool = False
    quarantine: QuarantineState | None = None
    quarantine_until: datetime | None = None
    left_behind: LeftBehind | None = None
    erased_at: datetime | None = None
    stages: Mapping[Stage, StageRecord] = field(default_factory=dict)

    @property
    def kind(self) -> MediaKind:
        """A video, unless its bytes were a still picture's."""
        still = self.facts is not None and self.facts.container in PICTURE_CONTAINERS
        return MediaKind.IMAGE if still else MediaKind.VIDEO


def object_name_of(asset_id: str) -> str:
    """The name of the object an upload URL is made for. No part of it comes from a client."""
    return f"{MEDIA_PREFIX}{asset_id}"


def direct_name_of(asset_id: str) -> str:
    """The name of the object that holds a directly analysed file. No part of it comes from a client."""
    return f"{DIRECT_PREFIX}{asset_id}"


def issued_asset_id(object_name: str) -> str | None:
    """The asset an upload URL was issued for, if the name has that form; else None (a file dropped in directly)."""
    name = object_name.removeprefix(MEDIA_PREFIX)
    return name if object_name.startswith(MEDIA_PREFIX) and is_asset_id(name) else None


def is_asset_id(text: str) -> bool:
    """Whether a text has the form of the ids that are made here."""
    return _UUID.fullmatch(text) is not None


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def begins_like_a_picture(head: bytes) -> bool:
    """Whether a file that begins so can only be a still picture (or broken): no video container begins like one."""
    return head.startswith(_PICTURE_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_shown_text(text: str, longest: int) -> bool:
    """Whether a client's text may be stored and shown: 1 to `longest` printable characters, not blank."""
    return bool(text.strip()) and len(text) <= longest and text.isprintable()


def are_shown_lines(text: str, longest: int) -> bool:
    """Whether a client's longer text may be stored and shown: up to `longest` characters, line breaks and tabs too."""
    return len(text) <= longest and text.translate(_BREAKS).isprintable()


_BREAKS = str.maketrans(dict.fromkeys("\r\n\t", " "))


def check_object_name(object_name: str) -> None:
    """Raises `MediaUnusable` for a dropped file whose name would mean something else elsewhere."""
    if len(object_name.encode()) <= _MAX_NAME_BYTES and _SAFE_NAME.fullmatch(object_name):
        return
    raise MediaUnusable(
        "unsafe_object_name",
        "The object's name has characters other than letters, digits, '.', '_', '-' and '/', or an empty, "
        "hidden or '..' part; upload it under another name.",
    )
