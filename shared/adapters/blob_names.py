"""What both homes of the `Blobs` port agree on: which names, headers and life times they accept.

Pure: it must do no I/O and import no library, so that a call is refused before anything leaves the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from shared.errors import InvalidKey, Malformed

MAX_NAME_BYTES = 1024
MAX_URL_LIFE = timedelta(days=7)  # what a V4 signature allows

_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_METADATA_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_name(name: str) -> None:
    """Raises `InvalidKey` for a name that Cloud Storage cannot store."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise _invalid("An object's name must be valid Unicode.") from None
    if not 1 <= size <= MAX_NAME_BYTES:
        raise _invalid(f"An object's name has 1 to {MAX_NAME_BYTES} bytes.")
    if "\n" in name or "\r" in name:
        raise _invalid("An object's name has no line breaks.")
    # HTTP clients fold these two into the path before it, so that they would name the bucket itself.
    if name in {".", ".."}:
        raise _invalid("An object's name is neither `.` nor `..`.")


def check_signable(name: str) -> None:
    """Raises `InvalidKey` for a name whose signed URL would not work.

    Browsers and HTTP clients remove `.` and `..` segments from a path before they send it, and the signature breaks.
    """
    check_name(name)
    if any(segment in {".", ".."} for segment in name.split("/")):
        raise _invalid("A signed URL cannot name an object with a `.` or `..` segment.")


def check_life(expires_in: timedelta) -> None:
    """Raises `ValueError` unless a V4 signature can live that long."""
    if not timedelta(seconds=1) <= expires_in <= MAX_URL_LIFE:
        raise ValueError(f"a signed URL lives 1 second to {MAX_URL_LIFE.days} days, not {expires_in}")


def upload_headers(content_type: str, max_bytes: int, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The headers that bind a signed upload. Raises `Malformed` for what HTTP headers cannot carry unchanged.

    Metadata keys must be lower-case, since header names lose their case on the way.
    """
    if max_bytes < 1:
        raise ValueError(f"an upload of at most {max_bytes} bytes can hold nothing")
    headers = {
        "content-type": content_type,
        "x-goog-content-length-range": f"1,{max_bytes}",
        "x-goog-if-generation-match": "0",
    }
    for key, value in (metadata or {}).items():
        if not _METADATA_KEY.fullmatch(key):
            raise Malformed("invalid_upload_header", "Metadata of an upload has lower-case ASCII keys.")
        headers[f"x-goog-meta-{key}"] = value
    if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
        raise Malformed("invalid_upload_header", "Content type and metadata of an upload are printable ASCII.")
    return headers


def _invalid(sentence: str) -> InvalidKey:
    return InvalidKey("invalid_blob_name", sentence)
