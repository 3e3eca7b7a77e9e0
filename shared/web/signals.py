"""POST /api/ai/violence-detected/ and /api/ai/scream-detected/: devices report, and are told what became of it (I).

As JSON, or as a multipart form with up to three pictures. The replies and the wording of the errors are the source's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from shared.domain.actors import is_reserved
from shared.domain.evidence_images import MAX_IMAGE_BYTES, MAX_IMAGES
from shared.domain.incidents import PROFILES, Observation, SignalKind, parse_confidence
from shared.domain.submissions import Answer, AnsweredImage, Became, RepetitionKey
from shared.errors import Malformed, Permanent, Retryable, SettingsError, TooLarge
from shared.handlers import submissions
from shared.handlers.evidence_links import EvidenceLinks
from shared.json_objects import read_object
from shared.web.app import MAX_BODY_BYTES
from shared.web.callers import caller, reported_by
from shared.web.clients import IdempotencyKey
from shared.web.receiving import Room, chunks, declared_length, in_thread
from shared.web.signal_forms import SignalForm

log = logging.getLogger(__name__)

REQUIRED = ("beacon_id", "confidence_score", "description")
LONGEST = {"beacon_id": 256, "description": 4000, "device_id": 256}

FORM_BYTES = 256 << 10
"""What the form may need around the pictures: boundaries, headers, fields."""

MAX_REQUEST_BYTES = MAX_IMAGES * MAX_IMAGE_BYTES + FORM_BYTES
"""Below the 32 MiB at which Cloud Run ends a request."""

HELD_BYTES = 96 << 20
"""Of forms that are being received or worked on, in one process; further ones wait."""

PATIENCE_SECONDS = 15.0
RECEIVE_SECONDS = 40.0
"""For a whole form, however steadily it drips."""

THREADS = 16
"""For forms alone: they may wait for one another, and must not keep the other routes waiting."""


class SignalBody(BaseModel):
    """The JSON body, for the documentation; it is read by hand so that errors keep the source's wording."""

    beacon_id: str
    confidence_score: float = Field(ge=0, le=1)
    description: str
    device_id: str | None = None


@dataclass(frozen=True)
class Deps:
    """The use case, and how its pictures are linked to."""

    submissions: submissions.Deps
    links: EvidenceLinks


def router(deps: Callable[[], Deps]) -> APIRouter:
    """Both signal routes over these collaborators, made at the first request."""
    routes = APIRouter(prefix="/api/ai", tags=["signals"])
    desk = _Desk(deps)

    @routes.post("/violence-detected/", max_body_size=MAX_REQUEST_BYTES, openapi_extra=_documented())
    async def violence_detected(request: Request, key: IdempotencyKey) -> JSONResponse:
        return await desk.serve(SignalKind.VIOLENCE, request, key)

    @routes.post("/scream-detected/", max_body_size=MAX_REQUEST_BYTES, openapi_extra=_documented())
    async def scream_detected(request: Request, key: IdempotencyKey) -> JSONResponse:
        return await desk.serve(SignalKind.SCREAM, request, key)

    return routes


class _Desk:
    """Serves requests, and holds no more of their pictures at once than there is room for."""

    def __init__(self, deps: Callable[[], Deps]) -> None:
        self._deps = deps
        self._room = Room(HELD_BYTES, PATIENCE_SECONDS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="signals")

    async def serve(self, kind: SignalKind, request: Request, key: str | None) -> JSONResponse:
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        named = None if key is None else RepetitionKey(caller(request).identity, kind, key)
        if media_type == "application/json":
            observation = reported_by(caller(request), read_observation(kind, await _short_body(request)))
            submission = submissions.Submission(observation, key=named)
            return await run_in_threadpool(self._answer, submission)
        if media_type == "multipart/form-data":
            return await self._serve_form(kind, request, named)
        return JSONResponse({"error": "Send application/json, or multipart/form-data with images"}, 415)

    async def _serve_form(self, kind: SignalKind, request: Request, key: RepetitionKey | None) -> JSONResponse:
        form = SignalForm(request.headers.get("content-type"), _CHECKS)
        declared = declared_length(request)
        async with self._room.holding(MAX_REQUEST_BYTES if declared is None else declared):
            await _receive(request, form)
            observation = reported_by(caller(request), observation_of(kind, form.fields))
            submission = submissions.Submission(observation, tuple(form.images), key)
            return await in_thread(self._threads, partial(self._answer, submission))

    def _answer(self, submission: submissions.Submission) -> JSONResponse:
        deps = self._deps()
        status, body = reply(submissions.submit(submission, deps.submissions), deps.links)
        return JSONResponse(body, status)


async def _receive(request: Request, form: SignalForm) -> None:
    """Reads the whole form. Raises 408 for a client that takes too long: it holds room that others wait for."""
    too_large = TooLarge("request_too_large", f"The request is larger than {MAX_REQUEST_BYTES} bytes")
    try:
        async with asyncio.timeout(RECEIVE_SECONDS):
            async for chunk in chunks(request, too_large):
                form.feed(chunk)
    except TimeoutError:
        raise HTTPException(408, f"The request did not arrive within {RECEIVE_SECONDS:.0f} seconds") from None
    form.finish()


async def _short_body(request: Request) -> bytes:
    """A body without pictures. Raises `TooLarge`."""
    too_large = TooLarge("request_too_large", f"The request body is larger than {MAX_BODY_BYTES} bytes")
    body = bytearray()
    async for chunk in chunks(request, too_large):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def read_observation(kind: SignalKind, body: bytes) -> Observation:
    """The observation in a JSON body. Raises `Permanent` with the source's wording."""
    try:
        fields = read_object(body)
    except Malformed:
        raise Permanent("not_json", "Invalid JSON") from None
    return observation_of(kind, fields)


def observation_of(kind: SignalKind, fields: Mapping[str, Any]) -> Observation:
    """The observation in a request's fields. Raises `Permanent` with the source's wording."""
    absent = [name for name in REQUIRED if fields.get(name) in (None, "")]
    if absent:
        raise Permanent("missing_fields", f"Missing required fields ({', '.join(absent)})")
    return Observation(
        kind=kind,
        beacon_id=_text("beacon_id", fields["beacon_id"]),
        confidence=parse_confidence(fields["confidence_score"]),
        description=_text("description", fields["description"]),
        device_id=None if fields.get("device_id") in (None, "") else _device_id(fields["device_id"]),
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Permanent("invalid_field", f"{name} must be text")
    if len(value) > LONGEST[name]:
        raise Permanent("invalid_field", f"{name} must be at most {LONGEST[name]} characters")
    return value


def _device_id(value: object) -> str:
    """As the timeline will name it."""
    device_id = _text("device_id", value)
    if is_reserved(device_id):
        raise Permanent("reserved_name", "device_id is a reserved name")
    return device_id


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "confidence_score": parse_confidence,
    **{name: partial(_text, name) for name in LONGEST},
    "device_id": _device_id,
}


def reply(answer: Answer, links: EvidenceLinks) -> tuple[int, dict[str, Any]]:
    """Status and body, field by field as the source has them."""
    if answer.joined is None:
        return 200, {
            "status": answer.became.value,
            "ai_event_id": answer.ai_event_id,
            "message": _why_logged_only(answer),
            "images_received": len(answer.images),
        }
    body = {
        "status": answer.became.value,
        "ai_event_id": answer.ai_event_id,
        "incident_id": answer.joined.incident_id,
        "signal_id": answer.joined.signal_id,
        "confidence_score": answer.confidence,
        "beacon_location": answer.joined.location,
        "incident_status": answer.joined.status.value,
        "incident_priority": answer.joined.priority.value,
    }
    images = [_shown(image, links) for image in answer.images]
    if answer.became is Became.SIGNAL_ADDED:
        return 200, {**body, "images": images}
    return 201, {**body, "device_id": answer.device_id, "images": images}


def _why_logged_only(answer: Answer) -> str:
    least = PROFILES[answer.kind].threshold
    if answer.confidence < least:
        return f"Confidence {answer.confidence:.2f} below threshold {least:.2f}"
    return f"Signals of kind {answer.kind.value} take no part in incidents here"


def _shown(image: AnsweredImage, links: EvidenceLinks) -> dict[str, Any]:
    return {
        "id": image.id,
        "image": _link(image, links),
        "uploaded_at": moment(image.uploaded_at),
        "description": image.description,
    }


def moment(when: datetime) -> str:
    """A time in UTC as the source writes it: with six digits of a second, and a Z."""
    return f"{when:%Y-%m-%dT%H:%M:%S.%f}Z"


def _link(image: AnsweredImage, links: EvidenceLinks) -> str | None:
    try:
        return links.link(image.object_name)
    except (Retryable, SettingsError) as error:
        # The signal is stored: an error would make the device send it again.
        log.warning("no link could be made to %s: %s", image.object_name, error)
        return None


def _documented() -> dict[str, Any]:
    """Both bodies, for OpenAPI, which can't be told from routes that read the body themselves."""
    schema = SignalBody.model_json_schema()
    image = {"type": "string", "format": "binary", "description": f"At most {MAX_IMAGE_BYTES >> 20} MB"}
    images = {"type": "array", "maxItems": MAX_IMAGES, "items": image}
    form = {**schema, "properties": {**schema["properties"], "images": images}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
