"""Makes V4-signed URLs with Google's own client library, for both homes, so that a local URL is a real one.

It must not decide anything: names, headers and life times are checked by `blob_names`. Google's library is imported
when the first URL is made, because most functions that hold a `Blobs` port never make one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.adapters import blob_names
from shared.ports import SignedUpload


def sign_get(blob: Any, *, signer: Any, endpoint: str | None, expires_in: timedelta) -> str:
    """A URL to GET `blob` (a `google.cloud.storage.Blob`), signed by the credentials `signer`."""
    blob_names.check_signable(blob.name)
    blob_names.check_life(expires_in)
    return str(
        blob.generate_signed_url(
            version="v4", method="GET", expiration=expires_in, credentials=signer, api_access_endpoint=endpoint
        )
    )


def sign_put(
    blob: Any,
    *,
    signer: Any,
    endpoint: str | None,
    content_type: str,
    max_bytes: int,
    expires_in: timedelta,
    resumable: bool,
    metadata: Mapping[str, str] | None,
) -> SignedUpload:
    """What a client sends to create `blob` once; see `Blobs.sign_put`."""
    blob_names.check_signable(blob.name)
    blob_names.check_life(expires_in)
    headers = blob_names.upload_headers(content_type, max_bytes, metadata)
    if resumable:
        headers["x-goog-resumable"] = "start"
    url = blob.generate_signed_url(
        version="v4",
        method="POST" if resumable else "PUT",
        expiration=expires_in,
        headers=dict(headers),  # a copy: the library adds `Host` to it
        credentials=signer,
        api_access_endpoint=endpoint,
    )
    return SignedUpload(url=str(url), method="POST" if resumable else "PUT", headers=headers)
