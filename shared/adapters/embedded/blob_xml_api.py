"""Cloud Storage's XML API over a `BlobFolder`, for V4-signed URLs, and for reading from public buckets.

Whoever shows a valid signature, or the id of a session that a signed request started, may do exactly what was signed;
anybody may GET an object of a public bucket; everybody else gets 403. Nothing here may be reached in another way: these
routes are exposed to strangers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shared.adapters.embedded import blob_http, v4_signature
from shared.adapters.embedded.blob_errors import ServiceError, as_service_error, xml_error
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_object import NewObject, Preconditions
from shared.adapters.embedded.blob_sessions import UploadSession
from shared.adapters.embedded.blob_uploads import SizeRange, continue_upload, receive_object, sent_hashes
from shared.adapters.embedded.v4_signature import ArrivedRequest

METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS")
EXPOSED = "Content-Length, Content-Range, Content-Type, ETag, Location, Range, X-Goog-Generation, X-Goog-Hash"
PREFLIGHT_SECONDS = 3600

_ALLOWED_HEADER = re.compile(r"x-goog-[a-z0-9._-]+|content-(?:type|range|md5|length)|range")
_LENGTH_RANGE = re.compile(r"(\d{1,18}),(\d{1,18})")


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class SignedAccess:
    """Who may sign, for which buckets, and from which pages browsers may use it.

    `keys`: public keys by signer name. `origin`: how clients reach this server, for the session URIs it hands out;
    None takes what the request says, which is wrong behind a proxy that ends TLS.
    """

    keys: Mapping[str, RSAPublicKey]
    buckets: Collection[str]
    origin: str | None = None
    public_buckets: Collection[str] = ()
    allowed_origins: Collection[str] = ()
    now: Callable[[], datetime] = utc_now
    idle_seconds: float = blob_http.IDLE_SECONDS


def xml_routes(folder: BlobFolder, access: SignedAccess) -> list[BaseRoute]:
    """`/{bucket}/{object}` for each known bucket, and nothing else."""
    return [
        Route(f"/{bucket}/{{name:path}}", XmlApi(folder, bucket, access).endpoint, methods=list(METHODS))
        for bucket in access.buckets
    ]


class XmlApi:
    """The objects of one bucket."""

    def __init__(self, folder: BlobFolder, bucket: str, access: SignedAccess) -> None:
        self._folder = folder
        self._bucket = bucket
        self._access = access

    async def endpoint(self, request: Request) -> Response:
        """Answers one request; every refusal has the XML API's form."""
        if request.method == "OPTIONS":
            response = self._preflight(request)
        else:
            try:
                response = await self._answer(request)
            except Exception as error:
                refusal = as_service_error(error)
                if refusal is None:
                    raise
                response = xml_error(refusal)
        self._allow_origin(request, response)
        return response

    async def _answer(self, request: Request) -> Response:
        name = self._name(request)
        session_id = request.query_params.get("upload_id")
        if session_id is not None and request.method in {"PUT", "DELETE"}:
            session = await run_in_threadpool(self._session, session_id, name)
            return await (self._continue(request, session) if request.method == "PUT" else self._cancel(session))
        self._authorise(request)
        match request.method:
            case "GET" | "HEAD":
                return await run_in_threadpool(self._get, request, name)
            case "PUT":
                return await self._put(request, name)
            case "POST" if request.headers.get("x-goog-resumable") == "start":
                return await run_in_threadpool(self._start, request, name)
            case "DELETE":
                await run_in_threadpool(self._folder.delete, self._bucket, name, _preconditions(request))
                return Response(status_code=204)
        raise ServiceError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def _name(self, request: Request) -> str:
        """From the path as it came: the decoded one no longer tells `%2F` from `/`."""
        before, _bucket, name = request.scope["raw_path"].decode("latin-1").partition(f"/{self._bucket}/")
        if before or not name:
            raise ServiceError(404, "NoSuchKey", "The specified key does not exist.")
        return v4_signature.decoded(name)

    def _authorise(self, request: Request) -> None:
        query = request.scope["query_string"].decode("latin-1")
        if not v4_signature.is_signed(query):
            if self._bucket in self._access.public_buckets and request.method in {"GET", "HEAD"}:
                return
            raise ServiceError(403, "AccessDenied", "Access denied.")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
        arrived = ArrivedRequest(request.method, request.scope["raw_path"].decode("latin-1"), query, headers)
        v4_signature.verify(arrived, self._access.keys, self._access.now())

    def _get(self, request: Request, name: str) -> Response:
        generation = request.query_params.get("generation")
        if generation is not None and not generation.isdecimal():
            raise ServiceError(400, "InvalidArgument", "The generation must be a number.")
        stored, content = self._folder.open(self._bucket, name, int(generation) if generation else None)
        return blob_http.content_response(request, stored, content)

    async def _put(self, request: Request, name: str) -> Response:
        size = _size_range(request)
        declared = blob_http.declared_length(request)
        if declared is not None:
            blob_http.check_size(declared, size.minimum, size.maximum)
        stored = await receive_object(
            self._folder,
            self._new_object(request, name),
            _preconditions(request),
            blob_http.chunks(request, self._access.idle_seconds),
            size=size,
            hashes=sent_hashes(request.headers),
        )
        return _stored_response(blob_http.object_headers(stored))

    def _start(self, request: Request, name: str) -> Response:
        size = _size_range(request)
        session = self._folder.sessions.start(
            self._new_object(request, name),
            _preconditions(request),
            min_bytes=size.minimum,
            max_bytes=size.maximum,
        )
        origin = self._access.origin or f"{request.url.scheme}://{request.url.netloc}"
        location = f"{origin}{request.scope['raw_path'].decode('latin-1')}?upload_id={session.id}"
        return Response(status_code=201, headers={"Location": location, "X-GUploader-UploadID": session.id})

    def _session(self, session_id: str, name: str) -> UploadSession:
        session = self._folder.sessions.get(session_id)
        if (session.new.bucket, session.new.name) != (self._bucket, name):
            raise ServiceError(404, "NoSuchUpload", "The specified upload does not exist.")
        return session

    async def _continue(self, request: Request, session: UploadSession) -> Response:
        outcome = await continue_upload(self._folder, session, request, self._access.idle_seconds)
        return outcome if isinstance(outcome, Response) else _stored_response(blob_http.object_headers(outcome))

    async def _cancel(self, session: UploadSession) -> Response:
        await run_in_threadpool(self._folder.sessions.cancel, session)
        return Response(status_code=499)  # what Cloud Storage answers to a cancelled upload

    def _new_object(self, request: Request, name: str) -> NewObject:
        prefix = "x-goog-meta-"
        metadata = {key.removeprefix(prefix): value for key, value in request.headers.items() if key.startswith(prefix)}
        return NewObject(self._bucket, name, request.headers.get("content-type", "application/octet-stream"), metadata)

    # ------------------------------------------------------------------ browsers

    def _preflight(self, request: Request) -> Response:
        wanted = request.headers.get("access-control-request-headers", "").lower()
        allowed = [header for part in wanted.split(",") if _ALLOWED_HEADER.fullmatch(header := part.strip())]
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST",
            "Access-Control-Allow-Headers": ", ".join(allowed),
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
        return Response(headers=headers if self._is_allowed(request) else {})

    def _allow_origin(self, request: Request, response: Response) -> None:
        response.headers["Vary"] = "Origin"
        if self._is_allowed(request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED

    def _is_allowed(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        return origin is not None and ("*" in self._access.allowed_origins or origin in self._access.allowed_origins)


def _stored_response(headers: dict[str, str]) -> Response:
    """200 without a body: what the object's own headers say about its bytes does not apply."""
    told = ("ETag", "X-Goog-Generation", "X-Goog-Metageneration", "X-Goog-Hash", "X-Goog-Stored-Content-Length")
    return Response(status_code=200, headers={name: headers[name] for name in told})


def _size_range(request: Request) -> SizeRange:
    value = request.headers.get("x-goog-content-length-range")
    if value is None:
        return SizeRange()
    match = _LENGTH_RANGE.fullmatch(value)
    if not match:
        raise ServiceError(400, "InvalidArgument", "x-goog-content-length-range is malformed.")
    return SizeRange(int(match.group(1)), int(match.group(2)))


def _preconditions(request: Request) -> Preconditions:
    return Preconditions(
        generation=_header_number(request, "x-goog-if-generation-match"),
        metageneration=_header_number(request, "x-goog-if-metageneration-match"),
    )


def _header_number(request: Request, name: str) -> int | None:
    value = request.headers.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise ServiceError(400, "InvalidArgument", f"{name} must be a number.")
    return int(value)
