"""Reads a JSON object from bytes that a stranger sent. The one place that knows what can be wrong with them."""

from __future__ import annotations

import json
from typing import Any

from shared.errors import Malformed


def read_object(data: bytes) -> dict[str, Any]:
    """The object. Raises `Malformed` for what is no JSON, no object, or holds text that no store can encode."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("not_json", "The data is not JSON.") from None
    if not isinstance(value, dict):
        raise Malformed("not_an_object", "The data is not a JSON object.")
    try:
        # An escape such as \ud800 smuggles in half a surrogate pair.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Malformed("invalid_text", "The data holds text that is not valid Unicode.") from None
    return value
