"""Takes a `multipart/related` upload apart while it streams: a JSON head, then the media.

Only the head is ever in memory; the media passes through.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from shared.adapters.embedded.blob_errors import ServiceError

MAX_HEAD_BYTES = 1 << 20

_BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))')


@dataclass(frozen=True)
class RelatedUpload:
    """`resource` is the first part, `content_type` that of the second, `media` streams its bytes."""

    resource: dict[str, Any]
    content_type: str
    media: AsyncIterator[bytes]


async def read_related(content_type: str, body: AsyncIterator[bytes]) -> RelatedUpload:
    """Reads up to the start of the media. Raises `ServiceError` for anything malformed."""
    found = _BOUNDARY.search(content_type)
    if not found:
        raise _malformed("The boundary is missing.")
    delimiter = b"--" + (found.group(1) or found.group(2)).encode("latin-1")
    head_form = _head_form(delimiter)
    start = b""
    async for chunk in body:
        start += chunk
        head = head_form.match(start)
        if head:
            return RelatedUpload(
                resource=json_object(head.group("resource")),
                content_type=_content_type(head.group("headers")),
                media=_until(b"\r\n" + delimiter, start[head.end() :], body),
            )
        if len(start) > MAX_HEAD_BYTES:
            raise _malformed("The first part is too long.")
    raise _malformed("The media part is missing.")


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object; nothing at all counts as an empty one."""
    try:
        value = json.loads(data) if data.strip() else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceError(400, "ParseError", "The body is not a JSON object.")
    return value


def _head_form(delimiter: bytes) -> re.Pattern[bytes]:
    line = rb"(?:[^\r\n]+\r\n)*"
    marker = re.escape(delimiter) + rb"[ \t]*\r\n"
    return re.compile(
        rb"(?:\r\n)?" + marker + line + rb"\r\n(?P<resource>.*?)\r\n" + marker + rb"(?P<headers>" + line + rb")\r\n",
        re.DOTALL,
    )


def _content_type(headers: bytes) -> str:
    for line in headers.decode("latin-1").splitlines():
        name, _colon, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return value.strip()
    return "application/octet-stream"


async def _until(marker: bytes, start: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Everything before `marker`, holding back only as much as may be the beginning of it."""
    held = start
    while True:
        end = held.find(marker)
        if end >= 0:
            if end:
                yield held[:end]
            return
        sure = max(0, len(held) - len(marker) + 1)
        if sure:
            yield held[:sure]
            held = held[sure:]
        try:
            held += await anext(body)
        except StopAsyncIteration:
            raise _malformed("The closing delimiter is missing.") from None


def _malformed(message: str) -> ServiceError:
    return ServiceError(400, "InvalidMultipart", message)
