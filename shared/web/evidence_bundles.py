"""GET /incidents/{id}/evidence and POST /evidence/verify: a bundle is made while it is sent, and checked when it is
shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Malformed, TooLarge
from shared.handlers import bundle_reading, bundling, verifying
from shared.handlers.bundle_reading import Sums
from shared.web.app import SERVICE, VERSION
from shared.web.callers import Operator, Viewer
from shared.web.clients import Actor
from shared.web.forms import FileForm
from shared.web.receiving import Room, chunks, declared_length

MAX_BUNDLE_BYTES = 31 << 20
"""Below the 32 MiB at which Cloud Run ends a request."""

MAX_REQUEST_BYTES = MAX_BUNDLE_BYTES + (64 << 10)
ROOM_BYTES = 2 * MAX_BUNDLE_BYTES
"""Of bundles in the memory of one process; others wait before they are read."""

PATIENCE_SECONDS = 20.0
ZIP_TYPES = frozenset({"application/zip", "application/x-zip-compressed", "application/octet-stream"})


class ManifestBody(BaseModel):
    """For bundles that are too large to send: the manifest (as JSON, or as the text of manifest.json), and the SHA-256
    (hex) of every other file by path, computed by the client."""

    model_config = ConfigDict(extra="forbid")

    manifest: dict[str, Any] | str
    files: dict[str, str] = Field(max_length=20_000)


class FilesReply(BaseModel):
    """The bundle's files against its manifest, by path."""

    ok: list[str]
    changed: list[str]
    missing: list[str]
    unexpected: list[str]


class VerdictReply(BaseModel):
    """`valid`: made here and unchanged. `absent`: how many files the manifest itself says are not in the bundle."""

    valid: bool
    bundle_id: str | None
    incident_id: str | None
    manifest_known: bool
    files: FilesReply
    absent: int
    problems: list[str]


class ZipResponse(StreamingResponse):
    """A zip, in OpenAPI too."""

    media_type = "application/zip"


def router(deps: Callable[[], bundling.Deps]) -> APIRouter:
    """Both routes."""
    routes = APIRouter(tags=["evidence"])
    room = Room(ROOM_BYTES, PATIENCE_SECONDS)

    @routes.get("/incidents/{incident_id}/evidence", response_class=ZipResponse)
    def get_bundle(incident_id: str, caller: Operator, by: Actor) -> ZipResponse:
        begun = bundling.begin(incident_id, replace(caller, name=by), f"{SERVICE} {VERSION}", deps())
        name = f"incident-{begun.incident.id}-{begun.incident.revision}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return ZipResponse(bundling.stream(begun, deps()), headers=headers)

    @routes.post("/evidence/verify", max_body_size=MAX_REQUEST_BYTES, openapi_extra=_BODIES)
    async def verify(request: Request, _: Viewer) -> VerdictReply:
        async with room.holding(declared_length(request) or MAX_BUNDLE_BYTES):
            read = await _reader(request)
            return await run_in_threadpool(lambda: _shown(verifying.verify(read(), deps().evidence.documents)))

    return routes


async def _reader(request: Request) -> Callable[[], Sums]:
    """What reads the bundle in the body, which has arrived. Raises `Malformed` and `TooLarge`."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        said = _claim((await _received(request, None)).getvalue())
        return lambda: said
    if kind == "multipart/form-data":
        form = FileForm(
            request.headers.get("content-type"),
            file_names=("file",),
            parsers={},
            file_too_large=_too_large(),
            max_file_bytes=MAX_BUNDLE_BYTES,
        )
        data = await _received(request, form)
    elif kind in ZIP_TYPES:
        data = await _received(request, None)
    else:
        what = '{"manifest": …, "files": {path: sha256}} as JSON'
        sentence = f"Send the bundle as application/zip or as the form field 'file', or {what}."
        raise Malformed("unknown_content_type", sentence)
    return lambda: bundle_reading.sums_of(data)


async def _received(request: Request, form: FileForm | None) -> io.BytesIO:
    data = io.BytesIO()
    async for chunk in chunks(request, _too_large()):
        for block in [chunk] if form is None else form.feed(chunk):
            data.write(block)
            if data.tell() > MAX_BUNDLE_BYTES:
                raise _too_large()
    if form is not None:
        form.finish()
    return data


def _claim(data: bytes) -> Sums:
    try:
        body = ManifestBody.model_validate_json(data)
    except ValidationError:
        raise Malformed("no_manifest", 'Send {"manifest": …, "files": {path: sha256}}.') from None
    return verifying.claimed(body.manifest, body.files)


def _too_large() -> TooLarge:
    hint = "compute the sums yourself and send the manifest with them as JSON (python -m local verify-bundle does)"
    return TooLarge("bundle_too_large", f"The bundle is larger than {MAX_BUNDLE_BYTES >> 20} MiB; {hint}.")


def _shown(verdict: verifying.Verdict) -> VerdictReply:
    files = verdict.files
    return VerdictReply(
        valid=verdict.valid,
        bundle_id=verdict.bundle_id,
        incident_id=verdict.incident_id,
        manifest_known=verdict.manifest_known,
        files=FilesReply(
            ok=list(files.ok),
            changed=list(files.changed),
            missing=list(files.missing),
            unexpected=list(files.unexpected),
        ),
        absent=verdict.absent,
        problems=list(verdict.problems),
    )


_FILE = {"type": "string", "format": "binary", "description": f"The bundle, at most {MAX_BUNDLE_BYTES >> 20} MiB"}
_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/zip": {"schema": _FILE},
            "multipart/form-data": {"schema": {"type": "object", "properties": {"file": _FILE}}},
            "application/json": {"schema": ManifestBody.model_json_schema()},
        },
    }
}
