"""Reads `data:` URLs (RFC 2397) strictly. Pure. Their size is capped before anything is decoded."""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

from shared.adapters.fetching.failures import failure

MAX_HEADER_LENGTH = 256
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNUSABLE = re.compile(r"[^\x21-\x7e]")
_BASE64 = ";base64"


def is_data_url(text: str) -> bool:
    """Whether this is a `data:` URL, well-formed or not."""
    return text[:5].lower() == "data:"


def read_data_url(text: str, max_bytes: int) -> tuple[bytes, str]:
    """The bytes, and the media type as it stands there (`text/plain` if none does).

    Raises `FetchFailed`: `data_url_invalid`, or `too_large` for more than `max_bytes` bytes.
    """
    header_end = text.find(",", 5, MAX_HEADER_LENGTH)
    if header_end < 0:
        raise failure("data_url_invalid")
    header = text[5:header_end]
    encoded = header[-len(_BASE64) :].lower() == _BASE64
    allowed = 4 * -(-max_bytes // 3) if encoded else max_bytes
    # Each character can be escaped by three.
    if len(text) - header_end - 1 > 3 * allowed:
        raise failure("too_large")
    payload = _unescaped(text[header_end + 1 :])
    if len(payload) > allowed:
        raise failure("too_large")
    data = _from_base64(payload) if encoded else payload
    if len(data) > max_bytes:
        raise failure("too_large")
    return data, header.partition(";")[0] or "text/plain"


def _unescaped(text: str) -> bytes:
    if _UNUSABLE.search(text) or _BAD_ESCAPE.search(text):
        raise failure("data_url_invalid")
    return unquote_to_bytes(text)


def _from_base64(payload: bytes) -> bytes:
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except binascii.Error:
        raise failure("data_url_invalid") from None
