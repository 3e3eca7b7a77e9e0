"""POST /video/upload-url and POST /video/analyze: where to put a file, and how; what becomes of it (M)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool

from shared.domain.assets import DEFAULT_CONTENT_TYPE, MAX_UPLOAD_BYTES, UPLOAD_URL_HOURS
from shared.errors import NotFound, NotPermitted
from shared.handlers import analyze, uploads
from shared.handlers.visibility import visible_asset
from shared.ports import Caller, Documents
from shared.repositories import assets
from shared.web.callers import Operator


class UploadUrlRequest(BaseModel):
    """Everything is optional; `source_id` names the camera or beacon the video comes from."""

    content_type: str = DEFAULT_CONTENT_TYPE
    size: int | None = Field(default=None, description="Bytes, if the client knows")
    filename: str | None = None
    source_id: str | None = None
    resumable: bool = Field(default=False, description="A session that goes on after a lost connection")
    metadata: dict[str, str] = Field(default_factory=dict, description="Stored with the object and shown")
    strict_mode: StrictBool = Field(default=False, description="Moderate the upload by the strict profile at once")


class UploadUrlReply(BaseModel):
    """Send the request by `method` to `upload_url` with exactly these `headers`; they are part of the signature."""

    upload_url: str
    video_id: str
    method: str
    headers: dict[str, str]
    resumable: bool
    expires_in_hours: int
    max_file_size_gb: int
    instructions: list[str]


class AnalyzeRequest(BaseModel):
    """`strict_mode` chooses the strict profile of moderation, or not; without it, what was asked for with the upload.

    `depth` `full` a look at the whole video in any case."""

    video_id: str
    strict_mode: StrictBool | None = None
    depth: Literal["auto", "full"] = "auto"


class AnalyzeReply(BaseModel):
    """`task_id` is for GET /video/status/{task_id}; `state` is as that tells it."""

    task_id: str
    video_id: str
    state: str
    strict_mode: bool
    status_url: str


@dataclass(frozen=True)
class Deps:
    """What the routes need."""

    uploads: uploads.Deps
    analyze: analyze.Deps


def router(deps: Callable[[], Deps]) -> APIRouter:
    """The upload routes over these collaborators, made at the first request."""
    routes = APIRouter(tags=["uploads"])

    @routes.post("/video/upload-url")
    def create_upload_url(caller: Operator, body: UploadUrlRequest | None = None) -> UploadUrlReply:
        asked = body or UploadUrlRequest()
        _check_place(asked.source_id, caller)
        ticket = uploads.request_upload(uploads.UploadRequest(**asked.model_dump()), deps().uploads)
        return UploadUrlReply(
            upload_url=ticket.upload.url,
            video_id=ticket.asset_id,
            method=ticket.upload.method,
            headers=dict(ticket.upload.headers),
            resumable=asked.resumable,
            expires_in_hours=UPLOAD_URL_HOURS,
            max_file_size_gb=MAX_UPLOAD_BYTES >> 30,
            instructions=[*(_RESUMABLE if asked.resumable else _SINGLE), *_afterwards(ticket.asset_id)],
        )

    @routes.post("/video/analyze", status_code=202)
    def analyze_video(body: AnalyzeRequest, caller: Operator) -> AnalyzeReply:
        _check_seen(body.video_id, caller, deps().analyze.documents)
        full = body.depth == "full"
        state = analyze.request_analysis(body.video_id, deps().analyze, strict_mode=body.strict_mode, full_look=full)
        return AnalyzeReply(
            task_id=body.video_id,
            video_id=body.video_id,
            state=state,
            strict_mode=assets.get(deps().analyze.documents, body.video_id).strict_mode,
            status_url=f"/video/status/{quote(body.video_id, safe='')}",
        )

    return routes


def _check_place(source_id: str | None, caller: Caller) -> None:
    """Raises `NotPermitted` for another's place: what an upload shows may open incidents there."""
    if source_id is not None and not caller.may_see(source_id):
        raise NotPermitted("not_their_beacon", f"{caller.name} may not upload for this place.")


def _check_seen(video_id: str, caller: Caller, documents: Documents) -> None:
    """Raises `NotFound`, for what is not the caller's to see in the words for what is not there."""
    try:
        visible_asset(video_id, caller, documents)
    except NotFound:
        raise analyze.unknown() from None


_SINGLE = ["Send the file by HTTP PUT to upload_url with every header listed in headers."]

_RESUMABLE = [
    "Start a session: send an empty HTTP POST to upload_url with every header listed in headers. "
    "The 201 reply's Location is the session; whoever knows it may upload, for a week.",
    "Send the file by HTTP PUT to the session, at once or in parts: 'Content-Range: bytes FIRST-LAST/SIZE', where each "
    "part but the last is a multiple of 256 KiB. 308 says by Range what has arrived, 200 that everything has.",
    "After a lost connection or a 408, 429 or 5xx ask with an empty PUT and 'Content-Range: bytes */SIZE', "
    "and go on behind what the reply's Range names.",
]


def _afterwards(asset_id: str) -> list[str]:
    return [
        "The analysis starts by itself once the upload is complete; POST /video/analyze chooses strict_mode.",
        f"Follow it with GET /video/status/{asset_id} and GET /analysis/{asset_id}.",
    ]
