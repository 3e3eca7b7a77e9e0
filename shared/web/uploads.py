"""POST /video/upload-url: where to put a file, and how (M)."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel, Field

from shared.domain.assets import DEFAULT_CONTENT_TYPE, MAX_UPLOAD_BYTES, UPLOAD_URL_HOURS
from shared.handlers import uploads


class UploadUrlRequest(BaseModel):
    """Everything is optional; `source_id` names the camera or beacon the video comes from."""

    content_type: str = DEFAULT_CONTENT_TYPE
    size: int | None = Field(default=None, description="Bytes, if the client knows")
    filename: str | None = None
    source_id: str | None = None


class UploadUrlReply(BaseModel):
    """Send the file by `method` to `upload_url` with exactly these `headers`; they are part of the signature."""

    upload_url: str
    video_id: str
    method: str
    headers: dict[str, str]
    expires_in_hours: int
    max_file_size_gb: int
    instructions: list[str]


def router(deps: Callable[[], uploads.Deps]) -> APIRouter:
    """The upload route over these collaborators, made at the first request."""
    routes = APIRouter(tags=["uploads"])

    @routes.post("/video/upload-url")
    def create_upload_url(body: UploadUrlRequest | None = None) -> UploadUrlReply:
        asked = body or UploadUrlRequest()
        ticket = uploads.request_upload(uploads.UploadRequest(**asked.model_dump()), deps())
        return UploadUrlReply(
            upload_url=ticket.upload.url,
            video_id=ticket.asset_id,
            method=ticket.upload.method,
            headers=dict(ticket.upload.headers),
            expires_in_hours=UPLOAD_URL_HOURS,
            max_file_size_gb=MAX_UPLOAD_BYTES >> 30,
            instructions=[
                f"Send the file by HTTP {ticket.upload.method} to upload_url with every header listed in headers.",
                "The analysis starts by itself once the upload is complete.",
                f"Follow it with GET /video/status/{ticket.asset_id} and GET /analysis/{ticket.asset_id}.",
            ],
        )

    return routes
