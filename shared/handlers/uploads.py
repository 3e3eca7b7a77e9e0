"""A client asks where to put a file: the asset is made, and a URL signed that creates its object exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared import ids
from shared.domain.assets import (
    DEFAULT_CONTENT_TYPE,
    MAX_SOURCE_ID_CHARACTERS,
    MAX_UPLOAD_BYTES,
    UPLOAD_URL_HOURS,
    VIDEO_CONTENT_TYPES,
    Asset,
    is_shown_text,
    object_name_of,
)
from shared.errors import Permanent, TooLarge
from shared.ports import Blobs, Clock, Documents, SignedUpload
from shared.repositories import assets

MAX_FILENAME_CHARACTERS = 255


@dataclass(frozen=True)
class Deps:
    """What an upload request needs of the world."""

    documents: Documents
    media: Blobs
    clock: Clock


@dataclass(frozen=True)
class UploadRequest:
    """What the client says of its file. `size` in bytes. `filename` is only ever shown, never used as a name."""

    content_type: str = DEFAULT_CONTENT_TYPE
    size: int | None = None
    filename: str | None = None
    source_id: str | None = None


@dataclass(frozen=True)
class UploadTicket:
    """The asset's id and how to send the bytes."""

    asset_id: str
    upload: SignedUpload


def request_upload(request: UploadRequest, deps: Deps) -> UploadTicket:
    """Makes the asset and signs its upload. Raises `Permanent` or `TooLarge` for a request that can't be granted."""
    _check(request)
    asset_id = ids.new_uuid()
    asset = Asset(
        id=asset_id,
        object_name=object_name_of(asset_id),
        created_at=deps.clock.now(),
        source_id=request.source_id,
        filename=request.filename,
    )
    upload = deps.media.sign_put(
        asset.object_name,
        content_type=request.content_type,
        max_bytes=MAX_UPLOAD_BYTES,
        expires_in=timedelta(hours=UPLOAD_URL_HOURS),
    )
    deps.documents.commit([assets.creation(asset)])
    return UploadTicket(asset_id, upload)


def _check(request: UploadRequest) -> None:
    if request.content_type not in VIDEO_CONTENT_TYPES:
        allowed = ", ".join(sorted(VIDEO_CONTENT_TYPES))
        raise Permanent("unsupported_content_type", f"content_type must be one of {allowed}.")
    if request.size is not None and request.size > MAX_UPLOAD_BYTES:
        raise TooLarge("file_too_large", "The file is larger than 5 GB.")
    if request.size is not None and request.size < 1:
        raise Permanent("empty_file", "The file is empty.")
    _check_text("source_id", request.source_id, MAX_SOURCE_ID_CHARACTERS)
    _check_text("filename", request.filename, MAX_FILENAME_CHARACTERS)


def _check_text(field: str, value: str | None, longest: int) -> None:
    if value is not None and not is_shown_text(value, longest):
        raise Permanent(f"invalid_{field}", f"{field} must be 1 to {longest} printable characters.")
