"""What JSON and XML API share of uploads: an object in one request, and the ranged PUTs of a resumable session.

A lost connection keeps what had arrived of a session; the client asks (`bytes */N`), is told (308 with `Range`), and
goes on. Here nothing may be checked that was agreed when the session began, except sizes, which only now are known.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from shared.adapters.embedded import blob_http
from shared.adapters.embedded.blob_errors import ServiceError
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_object import NewObject, Preconditions, StoredObject
from shared.adapters.embedded.blob_sessions import PartFile, UploadSession, verify_hashes
from shared.adapters.embedded.blob_workspace import IncomingFile
from shared.errors import InProgress, NotFound

TAKE_OVER_SECONDS = 5.0
"""How long a new request waits for the one before it, whose connection may be lost without our knowing yet."""

_CONTENT_RANGE = re.compile(r"bytes (?:\*|(\d{1,18})-(\d{1,18}))/(?:\*|(\d{1,18}))")


@dataclass(frozen=True)
class SizeRange:
    """How many bytes an object may have; `maximum` None: as many as the disk holds."""

    minimum: int = 0
    maximum: int | None = None


async def receive_object(
    folder: BlobFolder,
    new: NewObject,
    preconditions: Preconditions,
    body: AsyncIterator[bytes],
    *,
    size: SizeRange,
    hashes: Mapping[str, str],
) -> StoredObject:
    """Takes an object in one request: all of it, or nothing is left behind."""
    await run_in_threadpool(folder.check, new.bucket, new.name, preconditions)
    with folder.receive() as incoming:
        await blob_http.save(body, incoming.write, size.maximum)
        blob_http.check_size(incoming.size, size.minimum, size.maximum)
        return await run_in_threadpool(_store, folder, incoming, new, preconditions, hashes)


def _store(
    folder: BlobFolder,
    incoming: IncomingFile,
    new: NewObject,
    preconditions: Preconditions,
    hashes: Mapping[str, str],
) -> StoredObject:
    received = incoming.finish()
    verify_hashes(hashes, md5=received.md5, crc32c=received.crc32c)
    return folder.store(received, new, preconditions)


@dataclass(frozen=True)
class SentRange:
    """What a ranged PUT carries: bytes `first` to `last` of `total` (None: not known yet).

    `first` None: no bytes, only a question. `whole`: no range was given, so the body is everything and ends it.
    """

    first: int | None
    last: int | None
    total: int | None
    whole: bool = False


def sent_range(request: Request) -> SentRange:
    """Reads `Content-Range`."""
    value = request.headers.get("content-range")
    if value is None:
        length = blob_http.declared_length(request)
        return SentRange(0, None if length is None else length - 1, length, whole=True)
    match = _CONTENT_RANGE.fullmatch(value)
    if not match:
        raise ServiceError(400, "InvalidArgument", "The Content-Range is malformed.")
    first, last, total = (None if part is None else int(part) for part in match.groups())
    if first is not None and last is not None and not (first <= last and (total is None or last < total)):
        raise ServiceError(400, "InvalidArgument", "The Content-Range contradicts itself.")
    return SentRange(first, last, total)


async def continue_upload(
    folder: BlobFolder, session: UploadSession, request: Request, idle_seconds: float
) -> StoredObject | Response:
    """Takes a ranged PUT: the object once it is complete, else the 308 that says how far the upload is."""
    sent = sent_range(request)
    async with _held(folder, session) as part:
        if part is None:
            return await run_in_threadpool(_finished, folder, session.id)
        if sent.total is not None:
            blob_http.check_size(sent.total, session.min_bytes, session.max_bytes)
        if sent.first is not None:
            await _append(session, part, sent, blob_http.chunks(request, idle_seconds))
        if not _is_complete(sent, part):
            await run_in_threadpool(part.sync)
            return _incomplete(part.size)
        blob_http.check_size(part.size, session.min_bytes, session.max_bytes)
        return await run_in_threadpool(folder.sessions.finish, session, part, sent_hashes(request.headers))


def sent_hashes(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums a client sends along: `x-goog-hash: crc32c=...,md5=...` and `Content-MD5`."""
    hashes = {}
    for part in headers.get("x-goog-hash", "").split(","):
        kind, equals, value = part.strip().partition("=")
        if equals:
            hashes[kind] = value
    if "content-md5" in headers:
        hashes["md5"] = headers["content-md5"]
    return hashes


@asynccontextmanager
async def _held(folder: BlobFolder, session: UploadSession) -> AsyncIterator[PartFile | None]:
    """The part file for this request alone, or None when the upload is finished."""
    give_up = time.monotonic() + TAKE_OVER_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                part = stack.enter_context(folder.sessions.appending(session))
                break
            except InProgress:
                if time.monotonic() > give_up:
                    raise
            except NotFound:
                # The file of a finished upload is gone, that of an unknown one was never there: `_finished` tells.
                yield None
                return
            await asyncio.sleep(0.05)
        # Who held the file until now may have finished the upload.
        now = await run_in_threadpool(folder.sessions.get, session.id)
        yield None if now.finished_generation is not None else part


async def _append(session: UploadSession, part: PartFile, sent: SentRange, body: AsyncIterator[bytes]) -> None:
    """Adds what is new of the body. Behind a gap nothing is: the answer tells the client where to go on."""
    before = part.size
    first = sent.first or 0
    if first > before:
        return
    ends = [end for end in (session.max_bytes, None if sent.last is None else sent.last + 1) if end is not None]
    limit = max(0, min(ends) - first) if ends else None
    try:
        await blob_http.save(_limited(body, limit, before - first), part.append, None)
    except ServiceError as error:
        if error.code == "EntityTooLarge":  # more than was agreed: none of it counts
            part.shorten(before)
        raise


async def _limited(body: AsyncIterator[bytes], limit: int | None, skip: int) -> AsyncIterator[bytes]:
    """The body without its first `skip` bytes, which arrived before; over `limit` bytes in all are refused."""
    total = 0
    async for chunk in body:
        fresh = chunk[max(0, skip - total) :]
        total += len(chunk)
        if limit is not None and total > limit:
            raise blob_http.too_large()
        if fresh:
            yield fresh


def _is_complete(sent: SentRange, part: PartFile) -> bool:
    if sent.total is not None and part.size > sent.total:
        raise ServiceError(400, "InvalidArgument", "More bytes have arrived than the upload is said to have.")
    return part.size == sent.total or (sent.whole and sent.total is None)


def _incomplete(received: int) -> Response:
    """308 Resume Incomplete. Without `Range` nothing has arrived yet."""
    headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
    return Response(status_code=308, headers=headers)


def _finished(folder: BlobFolder, session_id: str) -> StoredObject:
    session = folder.sessions.get(session_id)
    stored = folder.find(session.new.bucket, session.new.name)
    if stored is None or stored.generation != session.finished_generation:
        raise ServiceError(404, "NoSuchUpload", "The upload was finished and its object has been replaced since.")
    return stored
