"""A client asks where to put a file: the asset is made, and a URL signed that creates its object exactly once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared import ids
from shared.domain.assets import (
    DEFAULT_CONTENT_TYPE,
    MAX_SOURCE_ID_CHARACTERS,
    MAX_UPLOAD_BYTES,
    MEDIA_CONTENT_TYPES,
    UPLOAD_URL_HOURS,
    Asset,
    is_shown_text,
    object_name_of,
)
from shared.domain.header_text import encode_header_text
from shared.errors import Permanent, TooLarge
from shared.messages import SOURCE_ID_KEY
from shared.ports import Blobs, Clock, Documents, SignedUpload
from shared.repositories import assets

MAX_FILENAME_CHARACTERS = 255
MAX_METADATA_ENTRIES = 16
MAX_METADATA_CHARACTERS = 256
MAX_METADATA_BYTES = 8 << 10
"""Of all custom metadata of one object, keys and values as they travel: Cloud Storage's own limit."""

_METADATA_KEY = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True)
class Deps:
    """What an upload request needs of the world."""

    documents: Documents
    media: Blobs
    clock: Clock


@dataclass(frozen=True)
class UploadRequest:
    """What the client says of its file. `size` in bytes. `filename` is only ever shown, never used as a name.

    `metadata` travels with the object, too. `resumable`: a session that survives lost connections.
    """

    content_type: str = DEFAULT_CONTENT_TYPE
    size: int | None = None
    filename: str | None = None
    source_id: str | None = None
    resumable: bool = False
    strict_mode: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


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
        metadata=request.metadata,
        resumable=request.resumable,
        strict_mode=request.strict_mode,
    )
    upload = deps.media.sign_put(
        asset.object_name,
        content_type=request.content_type,
        max_bytes=MAX_UPLOAD_BYTES,
        expires_in=timedelta(hours=UPLOAD_URL_HOURS),
        resumable=request.resumable,
        metadata=_bound_metadata(request),
    )
    deps.documents.commit([assets.creation(asset)])
    return UploadTicket(asset_id, upload)


def _bound_metadata(request: UploadRequest) -> dict[str, str]:
    """What the signature makes the client send along, as headers can carry it. Raises `TooLarge`."""
    said = dict(request.metadata)
    if request.source_id is not None:
        said[SOURCE_ID_KEY] = request.source_id
    bound = {key: encode_header_text(value) for key, value in said.items()}
    if sum(len(key) + len(value) for key, value in bound.items()) > MAX_METADATA_BYTES:
        raise TooLarge("metadata_too_large", "metadata and source_id together take more than 8 KiB as headers.")
    return bound


def _check(request: UploadRequest) -> None:
    if request.content_type not in MEDIA_CONTENT_TYPES:
        allowed = ", ".join(sorted(MEDIA_CONTENT_TYPES))
        raise Permanent("unsupported_content_type", f"content_type must be one of {allowed}.")
    if request.size is not None and request.size > MAX_UPLOAD_BYTES:
        raise TooLarge("file_too_large", "The file is larger than 5 GB.")
    if request.size is not None and request.size < 1:
        raise Permanent("empty_file", "The file is empty.")
    _check_text("source_id", request.source_id, MAX_SOURCE_ID_CHARACTERS)
    _check_text("filename", request.filename, MAX_FILENAME_CHARACTERS)
    _check_metadata(request.metadata)


def _check_text(field: str, value: str | None, longest: int) -> None:
    if value is not None and not is_shown_text(value, longest):
        raise Permanent(f"invalid_{field.partition('.')[0]}", f"{field} must be 1 to {longest} printable characters.")


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise Permanent("invalid_metadata", f"metadata has at most {MAX_METADATA_ENTRIES} entries.")
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key) or key.startswith("-"):
            sentence = "A key of metadata has 1 to 40 characters of a-z, 0-9 and '-', and does not begin with '-'."
            raise Permanent("invalid_metadata", sentence)
        if key == SOURCE_ID_KEY:
            raise Permanent("invalid_metadata", "Say where the video comes from in source_id, not in metadata.")
        _check_text(f"metadata.{key}", value, MAX_METADATA_CHARACTERS)
