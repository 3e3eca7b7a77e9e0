"""Serves a `BlobFolder` as Cloud Storage would, so that Google's client library and signed URLs work without it.

`signed_routes` is safe to expose: without a valid V4 signature it serves nothing but buckets that are public.
`create_blob_server` adds the JSON API, which has no authentication: it is for `STORAGE_EMULATOR_HOST` in tests and on a
developer's machine, on loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shared.adapters.embedded.blob_errors import ServiceError, xml_error
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blob_http import IDLE_SECONDS
from shared.adapters.embedded.blob_json_api import json_routes
from shared.adapters.embedded.blob_xml_api import METHODS, SignedAccess, utc_now, xml_routes


def signed_routes(
    folder: BlobFolder,
    *,
    buckets: Collection[str],
    public_buckets: Collection[str] = (),
    keys: Mapping[str, RSAPublicKey],
    origin: str | None = None,
    allowed_origins: Collection[str] = (),
    now: Callable[[], datetime] = utc_now,
    idle_seconds: float = IDLE_SECONDS,
) -> list[BaseRoute]:
    """Routes `/{bucket}/{object}` to be mounted at the root of an application, before any catch-all.

    Of the `buckets`, the `public_buckets` may be read by anybody (none of their objects be listed or written).
    `keys` are `LocalSigningKey.trusted`; `origin` is the base URL of signed URLs; `allowed_origins` are the pages
    (`*`: all) whose browsers may use them. A client silent for `idle_seconds` in the middle of a body is given up.
    """
    access = SignedAccess(
        keys=keys,
        buckets=tuple(buckets),
        public_buckets=frozenset(public_buckets),
        origin=origin,
        allowed_origins=tuple(allowed_origins),
        now=now,
        idle_seconds=idle_seconds,
    )
    return xml_routes(folder, access)


def create_blob_server(
    folder: BlobFolder,
    *,
    buckets: Collection[str],
    keys: Mapping[str, RSAPublicKey],
    origin: str | None = None,
    allowed_origins: Collection[str] = (),
    now: Callable[[], datetime] = utc_now,
    idle_seconds: float = IDLE_SECONDS,
) -> Starlette:
    """The JSON and the XML API as an application of its own; see `signed_routes` for the parameters."""
    signed = signed_routes(
        folder,
        buckets=buckets,
        keys=keys,
        origin=origin,
        allowed_origins=allowed_origins,
        now=now,
        idle_seconds=idle_seconds,
    )
    unknown = Route("/{rest:path}", _no_such_bucket, methods=list(METHODS))
    return Starlette(routes=[*json_routes(folder, buckets=buckets, idle_seconds=idle_seconds), *signed, unknown])


async def _no_such_bucket(request: Request) -> Response:
    del request
    return xml_error(ServiceError(404, "NoSuchBucket", "The specified bucket does not exist."))
