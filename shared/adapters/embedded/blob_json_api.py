"""Cloud Storage's JSON API over a `BlobFolder`: as much of it as google-cloud-storage needs for what the port asks.

There is no authentication here: it is for tests and for a developer's machine, and must never be mounted where
strangers can reach it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shared.adapters.embedded import blob_http
from shared.adapters.embedded.blob_errors import ServiceError, as_service_error, json_error
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_multipart import json_object, read_related
from shared.adapters.embedded.blob_object import NewObject, Preconditions, StoredObject, object_resource
from shared.adapters.embedded.blob_uploads import SizeRange, continue_upload, receive_object, sent_hashes
from shared.adapters.embedded.v4_signature import decoded

MAX_PAGE = 1000
DEFAULT_TYPE = "application/octet-stream"

Endpoint = Callable[[Request], Awaitable[Response]]


def json_routes(folder: BlobFolder, *, buckets: Collection[str], idle_seconds: float) -> list[BaseRoute]:
    """The routes below `/storage/v1`, `/download/storage/v1` and `/upload/storage/v1`."""
    api = JsonApi(folder, frozenset(buckets), idle_seconds)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/storage/v1/{rest:path}", _guarded(api.resource), methods=methods),
        Route("/download/storage/v1/{rest:path}", _guarded(api.resource), methods=["GET"]),
        Route("/upload/storage/v1/{rest:path}", _guarded(api.upload), methods=methods),
    ]


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Puts every refusal into the JSON API's form."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            refusal = as_service_error(error)
            if refusal is None:
                raise
            return json_error(refusal)

    return guarded


class JsonApi:
    """Dispatches by the path's segments as they came: an object's name may hold encoded slashes."""

    def __init__(self, folder: BlobFolder, buckets: frozenset[str], idle_seconds: float) -> None:
        self._folder = folder
        self._buckets = buckets
        self._idle_seconds = idle_seconds

    async def resource(self, request: Request) -> Response:
        """Everything but uploads."""
        segments = _segments(request)
        self._check_bucket(segments)
        match request.method, segments:
            case "GET", ["b", bucket]:
                return JSONResponse({"kind": "storage#bucket", "id": bucket, "name": bucket, "metageneration": "1"})
            case "GET", ["b", bucket, "o"]:
                return await run_in_threadpool(self._list, request, bucket)
            case "GET" | "HEAD", ["b", bucket, "o", name]:
                return await run_in_threadpool(self._get, request, bucket, name)
            case "PATCH", ["b", bucket, "o", name]:
                body = json_object(await blob_http.small_body(request))
                return await run_in_threadpool(self._patch, request, bucket, name, body)
            case "DELETE", ["b", bucket, "o", name]:
                return await run_in_threadpool(self._delete, request, bucket, name)
            case "POST", ["b", bucket, "o", name, "rewriteTo" | "copyTo" as verb, "b", to_bucket, "o", to_name]:
                body = json_object(await blob_http.small_body(request))
                stored = await run_in_threadpool(self._copy, request, (bucket, name), (to_bucket, to_name), body)
                return _copied(request, stored, verb)
        raise ServiceError(404, "NotFound", "Not Found")

    async def upload(self, request: Request) -> Response:
        """The three kinds of upload: `media`, `multipart` and `resumable`."""
        segments = _segments(request)
        self._check_bucket(segments)
        if segments[2:] != ["o"]:
            raise ServiceError(404, "NotFound", "Not Found")
        session_id = request.query_params.get("upload_id")
        match request.method, request.query_params.get("uploadType"):
            case "PUT", "resumable" if session_id:
                return await self._continue(request, session_id)
            case "DELETE", "resumable" if session_id:
                self._folder.sessions.cancel(self._folder.sessions.get(session_id))
                return Response(status_code=499)
            case "POST", "resumable":
                return await self._start(request, segments[1])
            case "POST", "media":
                return await self._media(request, segments[1])
            case "POST", "multipart":
                return await self._multipart(request, segments[1])
        raise ServiceError(400, "InvalidArgument", "Unknown kind of upload.")

    # ------------------------------------------------------------------ resources

    def _check_bucket(self, segments: list[str]) -> None:
        if len(segments) < 2 or segments[0] != "b" or segments[1] not in self._buckets:
            raise ServiceError(404, "NoSuchBucket", "The specified bucket does not exist.")

    def _list(self, request: Request, bucket: str) -> Response:
        limit = min(_number(request, "maxResults") or MAX_PAGE, MAX_PAGE)
        token = request.query_params.get("pageToken")
        after = _opened_token(token) if token else None
        page = self._folder.page(bucket, request.query_params.get("prefix", ""), after=after, limit=limit)
        listing: dict[str, Any] = {"kind": "storage#objects", "items": [_resource(request, stored) for stored in page]}
        if len(page) == limit:
            listing["nextPageToken"] = base64.urlsafe_b64encode(page[-1].name.encode()).decode()
        return JSONResponse(listing)

    def _get(self, request: Request, bucket: str, name: str) -> Response:
        stored, content = self._folder.open(bucket, name, _number(request, "generation"))
        try:
            wanted = _preconditions(request)
            replace(wanted, not_generation=None, not_metageneration=None).check(stored)
            if stored.generation == wanted.not_generation or stored.metageneration == wanted.not_metageneration:
                raise ServiceError(304, "NotModified", "Not Modified")
        except Exception:
            content.close()
            raise
        if request.query_params.get("alt") == "media" or request.url.path.startswith("/download/"):
            return blob_http.content_response(request, stored, content)
        content.close()
        return JSONResponse(_resource(request, stored))

    def _patch(self, request: Request, bucket: str, name: str, body: Mapping[str, Any]) -> Response:
        def change(stored: StoredObject) -> StoredObject:
            metadata = dict(stored.metadata) if body.get("metadata", {}) is not None else {}
            for key, value in (body.get("metadata") or {}).items():
                metadata[key] = value
            kept = {key: value for key, value in metadata.items() if value is not None}  # null removes a key
            return replace(stored, metadata=kept, content_type=body.get("contentType", stored.content_type))

        return JSONResponse(_resource(request, self._folder.amend(bucket, name, change, _preconditions(request))))

    def _delete(self, request: Request, bucket: str, name: str) -> Response:
        self._require_generation(bucket, name, _number(request, "generation"))
        self._folder.delete(bucket, name, _preconditions(request))
        return Response(status_code=204)

    def _copy(
        self, request: Request, source: tuple[str, str], target: tuple[str, str], body: Mapping[str, Any]
    ) -> StoredObject:
        self._check_bucket(["b", target[0]])
        _preconditions(request, "ifSource").check(self._folder.find(*source))
        return self._folder.copy(
            source,
            target,
            _preconditions(request),
            source_generation=_number(request, "sourceGeneration"),
            content_type=body.get("contentType"),
            metadata=body.get("metadata"),
        )

    def _require_generation(self, bucket: str, name: str, generation: int | None) -> None:
        present = self._folder.find(bucket, name)
        if generation is not None and (present is None or present.generation != generation):
            raise ServiceError(404, "NoSuchKey", "The specified key does not exist.")

    # ------------------------------------------------------------------ uploads

    async def _media(self, request: Request, bucket: str) -> Response:
        new = _new_object(request, bucket, {}, request.headers.get("content-type"))
        body = blob_http.chunks(request, self._idle_seconds)
        hashes = sent_hashes(request.headers)
        stored = await receive_object(self._folder, new, _preconditions(request), body, size=SizeRange(), hashes=hashes)
        return JSONResponse(_resource(request, stored))

    async def _multipart(self, request: Request, bucket: str) -> Response:
        body = blob_http.chunks(request, self._idle_seconds)
        related = await read_related(request.headers.get("content-type", ""), body)
        new = _new_object(request, bucket, related.resource, related.content_type)
        fields = {"md5": "md5Hash", "crc32c": "crc32c"}
        hashes = {kind: related.resource[key] for kind, key in fields.items() if key in related.resource}
        stored = await receive_object(
            self._folder, new, _preconditions(request), related.media, size=SizeRange(), hashes=hashes
        )
        return JSONResponse(_resource(request, stored))

    async def _start(self, request: Request, bucket: str) -> Response:
        resource = json_object(await blob_http.small_body(request))
        new = _new_object(request, bucket, resource, request.headers.get("x-upload-content-type"))
        session = await run_in_threadpool(self._folder.sessions.start, new, _preconditions(request))
        location = f"{_origin(request)}{request.url.path}?uploadType=resumable&upload_id={session.id}"
        return Response(status_code=200, headers={"Location": location, "X-GUploader-UploadID": session.id})

    async def _continue(self, request: Request, session_id: str) -> Response:
        session = await run_in_threadpool(self._folder.sessions.get, session_id)
        outcome = await continue_upload(self._folder, session, request, self._idle_seconds)
        return outcome if isinstance(outcome, Response) else JSONResponse(_resource(request, outcome))


def _segments(request: Request) -> list[str]:
    _before, _version, rest = request.scope["raw_path"].decode("latin-1").partition("/storage/v1/")
    return [decoded(segment) for segment in rest.split("/")]


def _new_object(request: Request, bucket: str, resource: Mapping[str, Any], content_type: str | None) -> NewObject:
    name = request.query_params.get("name") or resource.get("name")
    if not name:
        raise ServiceError(400, "InvalidArgument", "The object has no name.")
    metadata = {str(key): str(value) for key, value in (resource.get("metadata") or {}).items()}
    return NewObject(bucket, name, resource.get("contentType") or content_type or DEFAULT_TYPE, metadata)


def _preconditions(request: Request, prefix: str = "if") -> Preconditions:
    return Preconditions(
        generation=_number(request, f"{prefix}GenerationMatch"),
        not_generation=_number(request, f"{prefix}GenerationNotMatch"),
        metageneration=_number(request, f"{prefix}MetagenerationMatch"),
        not_metageneration=_number(request, f"{prefix}MetagenerationNotMatch"),
    )


def _number(request: Request, parameter: str) -> int | None:
    value = request.query_params.get(parameter)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise ServiceError(400, "InvalidArgument", f"{parameter} must be a number.")
    return int(value)


def _opened_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        raise ServiceError(400, "InvalidArgument", "The page token is malformed.") from None


def _copied(request: Request, stored: StoredObject, verb: str) -> Response:
    if verb == "copyTo":
        return JSONResponse(_resource(request, stored))
    size = str(stored.size)
    answer = {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
    return JSONResponse({**answer, "resource": _resource(request, stored)})


def _resource(request: Request, stored: StoredObject) -> dict[str, Any]:
    path = f"b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    origin = _origin(request)
    return {
        **object_resource(stored),
        "selfLink": f"{origin}/storage/v1/{path}",
        "mediaLink": f"{origin}/download/storage/v1/{path}?generation={stored.generation}&alt=media",
    }


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
