"""Gets hold of what a client wants moderated: by `http(s)` or `data:` URL, or as an object of an allowed bucket.

A picture comes into memory, because it is small. A video never does: from a URL it is streamed into the media bucket,
below `direct/`, and removed when it has been looked at; one that lies in a bucket is read where it lies.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, cast

from shared import ids
from shared.domain.assets import direct_name_of
from shared.domain.moderation.findings import MediaKind
from shared.domain.moderation.formats import HEAD_BYTES, kind_of
from shared.errors import FetchFailed, Malformed, MediaUnusable, NotFound, TooLarge
from shared.ports import Blobs, MediaFetcher

log = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 10 << 20
MAX_VIDEO_BYTES = 50 << 20
"""SPEC §5, as MiB: a client that counts in MB is never refused."""

OBJECT_SCHEME = "gs://"


class AccessDenied(FetchFailed):
    """An object that clients may not have looked at, whether it exists or not."""

    def __init__(self) -> None:
        super().__init__("access_denied", "Access denied to media URL.", status=403)


@dataclass(frozen=True)
class Shelf:
    """The objects of a bucket whose names start with `prefix`: what a client may name by `gs://`."""

    bucket: str
    prefix: str
    blobs: Callable[[], Blobs]


@dataclass(frozen=True)
class Deps:
    """`media`: where a video from a URL lies while it is looked at."""

    fetcher: MediaFetcher
    media: Callable[[], Blobs]
    shelves: tuple[Shelf, ...] = ()


def sources(
    fetcher: MediaFetcher, bucket: Callable[[str], Blobs], media_bucket: str, places: Iterable[tuple[str, str]]
) -> Deps:
    """With a shelf for each of `places` (bucket, prefix); `bucket` opens one by its name, when it is needed."""
    shelves = tuple(Shelf(name, prefix, partial(bucket, name)) for name, prefix in places)
    return Deps(fetcher, partial(bucket, media_bucket), shelves)


@dataclass(frozen=True)
class PictureFile:
    """A picture's bytes."""

    data: bytes


@dataclass(frozen=True)
class VideoFile:
    """A stored video."""

    blobs: Blobs
    name: str
    generation: int

    def open(self) -> BinaryIO:
        """A seekable reader. Raises `NotFound` when the object was replaced, and `Retryable`."""
        return self.blobs.open(self.name, generation=self.generation)


MediaFile = PictureFile | VideoFile


@contextmanager
def opened(url: str, declared: MediaKind | None, deps: Deps) -> Iterator[MediaFile]:
    """The media behind a URL, while the block lasts. `declared`: what the client says it is.

    Raises `FetchFailed`, `TooLarge`, `NotFound`, `MediaUnusable` for what is neither a picture nor a video,
    `Malformed` for one that is not what was declared, and `Retryable`.
    """
    if url.lower().startswith(OBJECT_SCHEME):
        yield _stored(url, declared, deps)
        return
    name: str | None = None
    try:
        limit = _LIMITS[declared or MediaKind.VIDEO]
        with _named_limit(declared), deps.fetcher.open(url, max_bytes=limit) as remote:
            head = _read(remote.stream, HEAD_BYTES)
            if _kind(head, declared) is MediaKind.IMAGE:
                found: MediaFile = PictureFile(_whole(head, remote.stream))
            else:
                name = direct_name_of(ids.new_uuid())
                found = _store(name, _Joined(head, remote.stream), deps.media())
        yield found
    finally:
        if name is not None:
            _remove(name, deps)


def shown(url: str) -> str:
    """A URL as it may be logged: without a user, a query or data, in printable ASCII, and short."""
    scheme, colon, rest = url.partition(":")
    if scheme.lower() == "data" or not colon:
        return f"{ascii(scheme)[1:-1][:10]}:…"
    place = rest.partition("?")[0].partition("#")[0].removeprefix("//")
    host, slash, path = place.partition("/")
    return ascii(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")[1:-1][:200]


def _stored(url: str, declared: MediaKind | None, deps: Deps) -> MediaFile:
    bucket, _, name = url[len(OBJECT_SCHEME) :].partition("/")
    shelf = next((each for each in deps.shelves if each.bucket == bucket and name.startswith(each.prefix)), None)
    if shelf is None or name == shelf.prefix:
        raise AccessDenied
    blobs = shelf.blobs()
    info = blobs.stat(name)
    if info is None:
        raise NotFound("not_found", "Media not found at its URL.")
    with blobs.open(name, generation=info.generation) as stream:
        head = _read(stream, HEAD_BYTES)
        kind = _kind(head, declared)
        if info.size > _LIMITS[kind]:
            raise _too_large(kind)
        if kind is MediaKind.IMAGE:
            return PictureFile(_whole(head, stream))
    return VideoFile(blobs, name, info.generation)


def _store(name: str, stream: io.RawIOBase, blobs: Blobs) -> VideoFile:
    info = blobs.put(name, cast("BinaryIO", stream), content_type="application/octet-stream", if_generation=0)
    return VideoFile(blobs, name, info.generation)


def _remove(name: str, deps: Deps) -> None:
    """What can't be removed now is left to the sweeper, which removes what nobody owns below `direct/`."""
    try:
        with suppress(NotFound):
            deps.media().delete(name)
    except Exception as error:  # the verdict matters more
        log.warning("%s could not be removed: %s", name, type(error).__name__)


# --------------------------------------------------------------------------- what it is, and how much of it

_LIMITS = {MediaKind.IMAGE: MAX_IMAGE_BYTES, MediaKind.VIDEO: MAX_VIDEO_BYTES}


def _too_large(kind: MediaKind | None) -> TooLarge:
    if kind is MediaKind.IMAGE:
        return TooLarge("image_too_large", f"The image is larger than {MAX_IMAGE_BYTES >> 20} MB.")
    return TooLarge(
        "video_too_large",
        f"The video is larger than {MAX_VIDEO_BYTES >> 20} MB: too large to be moderated directly; "
        "ask POST /video/upload-url where to put it.",
    )


@contextmanager
def _named_limit(declared: MediaKind | None) -> Iterator[None]:
    """The fetcher knows the limit that it hit, but not what to do about it."""
    try:
        yield
    except FetchFailed as error:
        if error.status != TooLarge.status:
            raise
        raise _too_large(declared) from None


def _kind(head: bytes, declared: MediaKind | None) -> MediaKind:
    kind = kind_of(head)
    if kind is None:
        raise MediaUnusable(
            "unsupported_format",
            "The media is neither a picture (JPEG, PNG, GIF, WebP, BMP, TIFF) nor a video (MP4, MOV, AVI, MKV, WebM).",
        )
    if declared is not None and kind is not declared:
        raise Malformed("type_contradicted", f"The media was declared as type '{declared}', but is of type '{kind}'.")
    return kind


def _whole(head: bytes, stream: BinaryIO) -> bytes:
    """All of a picture; no more is read than it may have."""
    data = head + _read(stream, MAX_IMAGE_BYTES + 1 - len(head))
    if len(data) > MAX_IMAGE_BYTES:
        raise _too_large(MediaKind.IMAGE)
    return data


def _read(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end: a reader of a connection may give them piece by piece."""
    pieces = []
    while size > 0 and (piece := stream.read(min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class _Joined(io.RawIOBase):
    """What was read of a stream already, and then the rest of it."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes, 0 at the end. Raises what the stream raises."""
        piece = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
