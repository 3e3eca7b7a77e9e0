"""POST /analysis and POST /analyze-video: a video goes in, AnalysisData comes out at once (V).

The file streams from the request into the bucket and from there through the detector; it is never whole in memory or
in a temporary file (docs/decisions/006). An object comes to be only when the form ended well, so a request that is
refused, breaks off or is given up leaves none.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request

from shared import ids
from shared.domain.analysis import analysis_of
from shared.domain.assets import direct_name_of
from shared.domain.detections import DEFAULT_SENSITIVITY, AnalysisData, threshold
from shared.domain.labels import verdict_of
from shared.errors import Malformed, Retryable, TooLarge
from shared.handlers import direct
from shared.ports import BlobInfo, Blobs
from shared.web.feed import Feed, ReaderEnded
from shared.web.forms import FileForm
from shared.web.receiving import chunks, in_thread

MAX_FILE_BYTES = 32 << 20
"""SPEC §2's 32 MB, as the 32 MiB at which Cloud Run ends a request (there, the form's own bytes count too)."""

FORM_BYTES = 64 << 10
"""What the form may need around the file: boundaries, headers, fields."""

MAX_REQUEST_BYTES = MAX_FILE_BYTES + FORM_BYTES
MAX_STEP = 30
"""One picture a second of 30, for models that judge single pictures; the bundled one says when it can't see motion."""

MAX_REQUESTS = 8
MAX_DETECTIONS = 2
"""At a time, in one process: detection uses all cores it gets, so more would only make each slower."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)


class DirectAnalysis(AnalysisData):
    """AnalysisData, and under which id GET /analysis/{id} and its timeline find it.

    `verdict` names what was detected: feedback may repeat it.
    """

    analysisId: str
    verdict: str | None


def sensitivity(text: str) -> float:
    """Reads the field. Raises `Malformed`."""
    if _NUMBER.fullmatch(text):
        value = float(text)
        try:
            threshold(value)
        except ValueError:
            pass
        else:
            return value
    raise Malformed("invalid_sensitivity", "sensitivity must be a number between 0 and 1.")


def step(text: str) -> int:
    """Reads the field. Raises `Malformed`."""
    if _INTEGER.fullmatch(text) and 1 <= int(text) <= MAX_STEP:
        return int(text)
    raise Malformed("invalid_step", f"step must be a whole number between 1 and {MAX_STEP}.")


Fields = Mapping[str, Callable[[str], float]]
ANALYSIS_FIELDS: Fields = {"sensitivity": sensitivity}
ANALYZE_VIDEO_FIELDS: Fields = {"sensitivity": sensitivity, "step": step}


def router(deps: Callable[[], direct.Deps]) -> APIRouter:
    """Both routes over these collaborators, made at the first request."""
    routes = APIRouter(tags=["analysis"])
    desk = _Desk(deps)

    @routes.post("/analysis", max_body_size=MAX_REQUEST_BYTES, openapi_extra=_body("video", "file"))
    async def analyse(request: Request) -> DirectAnalysis:
        return await desk.serve(request, ("video", "file"), ANALYSIS_FIELDS)

    @routes.post("/analyze-video", max_body_size=MAX_REQUEST_BYTES, openapi_extra=_body("file", "video", _STEP))
    async def analyze_video(request: Request) -> DirectAnalysis:
        return await desk.serve(request, ("file", "video"), ANALYZE_VIDEO_FIELDS)

    return routes


class _Desk:
    """Serves requests, so many at a time. Its threads are its own: a slow client must not hold up other routes."""

    def __init__(self, deps: Callable[[], direct.Deps]) -> None:
        self._deps = deps
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        self._receiving = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="receive")
        self._detecting = ThreadPoolExecutor(MAX_DETECTIONS, thread_name_prefix="analyse")

    async def serve(self, request: Request, file_names: tuple[str, ...], fields: Fields) -> DirectAnalysis:
        form = FileForm(
            request.headers.get("content-type"),
            file_names=file_names,
            parsers=fields,
            file_too_large=_too_large(),
            max_file_bytes=MAX_FILE_BYTES,
        )
        with self._place():
            deps = await in_thread(self._receiving, self._deps)
            asset_id = ids.new_uuid()
            stored = await self._receive(request, form, deps.scoring.media, direct_name_of(asset_id))
            upload = direct.Upload(
                asset_id=asset_id,
                generation=stored.generation,
                sensitivity=form.values.get("sensitivity", DEFAULT_SENSITIVITY),
                step=int(form.values.get("step", 1)),
                filename=form.filename,
            )
            asset = await in_thread(self._detecting, partial(direct.analyse, upload, deps))
        return DirectAnalysis(**analysis_of(asset), analysisId=asset_id, verdict=verdict_of(asset))

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise Retryable(f"{MAX_REQUESTS} direct analyses are under way")
        try:
            yield
        finally:
            self._free.release()

    async def _receive(self, request: Request, form: FileForm, media: Blobs, name: str) -> BlobInfo:
        """Streams the form's file into the bucket, all of it or nothing."""
        feed = Feed()
        storing: asyncio.Future[BlobInfo] | None = None
        try:
            async for chunk in chunks(request, _too_large()):
                for block in form.feed(chunk):
                    storing = storing or self._start_storing(feed, media, name)
                    await feed.send(block)
            form.finish()
        except ReaderEnded:
            pass  # the bucket refused: its own error comes with the result
        except BaseException:
            feed.abort()
            if storing is not None:
                await asyncio.gather(storing, return_exceptions=True)
            raise
        assert storing is not None  # noqa: S101 - `finish` refuses a form without a file's bytes
        feed.finish()
        return await storing

    def _start_storing(self, feed: Feed, media: Blobs, name: str) -> asyncio.Future[BlobInfo]:
        def put() -> BlobInfo:
            stream = cast("BinaryIO", feed)
            return media.put(name, stream, content_type="application/octet-stream", if_generation=0)

        storing = in_thread(self._receiving, put)
        storing.add_done_callback(lambda _: feed.reader_ended())
        return storing


def _too_large() -> TooLarge:
    return TooLarge(
        "file_too_large",
        f"The file is larger than {MAX_FILE_BYTES >> 20} MiB; ask POST /video/upload-url where to put it.",
    )


_SENSITIVITY = {
    "sensitivity": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": DEFAULT_SENSITIVITY,
        "description": "A window counts from a probability of 1 - sensitivity on",
    }
}
_STEP = {
    "step": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_STEP,
        "default": 1,
        "description": "Look at every step-th frame only",
    }
}


def _body(first: str, second: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The form, for OpenAPI, which can't be told from a route that reads the body itself."""
    file = {"type": "string", "format": "binary", "description": f"The video, at most {MAX_FILE_BYTES >> 20} MiB"}
    other = {**file, "description": f"Instead of {first}"}
    schema = {"type": "object", "properties": {first: file, second: other, **_SENSITIVITY, **(more or {})}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
