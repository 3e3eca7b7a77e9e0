"""Bodies in and out of the embedded blob server: streamed, limited while they are read, ranged when they are sent.

Disk work happens in worker threads, so that a slow disk holds up no other request. No body may ever be in memory whole.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from email.utils import format_datetime
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from shared.adapters.embedded.blob_errors import ServiceError
from shared.adapters.embedded.blob_object import StoredObject, etag

BLOCK = 1 << 20
IDLE_SECONDS = 60.0
SMALL_BODY = 1 << 20

_KEY = re.compile(r"[A-Za-z0-9._-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def chunks(request: Request, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[bytes]:
    """The body as it arrives. A client that falls silent is given up; one that goes away raises `ClientDisconnect`."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ServiceError(400, "RequestTimeout", "The client sent nothing for too long.") from None
        if chunk:
            yield chunk


async def save(body: AsyncIterator[bytes], write: Callable[[bytes], None], limit: int | None) -> None:
    """Hands the body to `write` in blocks, from a worker thread; more than `limit` bytes are refused on the way.

    What arrived before the body broke off is written too: a resumable upload goes on from there.
    """
    waiting = bytearray()
    total = 0
    try:
        async for chunk in body:
            total += len(chunk)
            if limit is not None and total > limit:
                raise too_large()
            waiting += chunk
            if len(waiting) >= BLOCK:
                block = bytes(waiting)
                waiting.clear()
                await run_in_threadpool(write, block)
    finally:
        if waiting:
            await run_in_threadpool(write, bytes(waiting))


async def small_body(request: Request) -> bytes:
    """A body that is data about data; over 1 MiB is refused."""
    parts = bytearray()
    async for chunk in chunks(request):
        parts += chunk
        if len(parts) > SMALL_BODY:
            raise too_large()
    return bytes(parts)


def declared_length(request: Request) -> int | None:
    """`Content-Length`, or None for a chunked body."""
    value = request.headers.get("content-length", "")
    return int(value) if value.isdigit() else None


def too_large() -> ServiceError:
    """The body is longer than it may be."""
    return ServiceError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")


def too_small() -> ServiceError:
    """The body is shorter than it must be."""
    return ServiceError(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")


def check_size(size: int, minimum: int, maximum: int | None) -> None:
    """Raises unless `minimum` <= `size` <= `maximum`."""
    if maximum is not None and size > maximum:
        raise too_large()
    if size < minimum:
        raise too_small()


def object_headers(stored: StoredObject) -> dict[str, str]:
    """What Cloud Storage says about an object in headers.

    `sandbox` and `nosniff`: uploads are strangers' files, and here they share an origin with the dashboard.
    """
    headers = {
        "Content-Type": stored.content_type if _VALUE.fullmatch(stored.content_type) else "application/octet-stream",
        "ETag": f'"{etag(stored)}"',
        "Last-Modified": format_datetime(stored.updated, usegmt=True),
        "Accept-Ranges": "bytes",
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
        "X-Goog-Storage-Class": "STANDARD",
        "X-Goog-Stored-Content-Encoding": "identity",
        "X-Goog-Stored-Content-Length": str(stored.size),
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    for key, value in stored.metadata.items():
        if _KEY.fullmatch(key) and _VALUE.fullmatch(value):  # what a header can carry
            headers[f"X-Goog-Meta-{key}"] = value
    return headers


def content_response(request: Request, stored: StoredObject, content: BinaryIO) -> Response:
    """The object's bytes, or the range of them that was asked for. Takes over `content`."""
    headers = object_headers(stored)
    first, last = 0, stored.size - 1
    status = 200
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    if wanted and wanted.group(0) != "bytes=-":
        status = 206
        first, last = _clamped(wanted.group(1), wanted.group(2), stored.size)
        if first > last:
            content.close()
            unsatisfiable = {"Content-Range": f"bytes */{stored.size}"}
            raise ServiceError(416, "InvalidRange", "The requested range cannot be satisfied.", unsatisfiable)
        headers["Content-Range"] = f"bytes {first}-{last}/{stored.size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        content.close()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_span(content, first, last - first + 1), status, headers)


def _clamped(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:  # the last so many bytes
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


async def _span(content: BinaryIO, first: int, length: int) -> AsyncIterator[bytes]:
    with content:
        content.seek(first)
        while length > 0:
            block = await run_in_threadpool(content.read, min(BLOCK, length))
            if not block:
                return
            length -= len(block)
            yield block
