"""What a document may hold and be called, the same for every home of the `Documents` port.

Checks ids, field names, values and sizes before any store sees them, and writes values down as text without loss.
It must not know any store: no SQL, no client library.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from shared.errors import InvalidKey, TooLarge
from shared.ports import MAX_DOCUMENT_BYTES, MAX_ID_BYTES, Create, Write

MAX_VALUE_BYTES = 1_048_487
"""The longest text or bytes that Firestore takes as one value."""

MAX_DEPTH = 20
"""How deep Firestore lets lists and maps lie within each other."""

_RESERVED = re.compile(r"__.*__", re.DOTALL)
_COLLECTION = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Firestore refuses `/`; control characters are kept out because SQLite's text functions stop at NUL.
_ENCODED_IN_IDS = re.compile(r"[%/\x00-\x1f\x7f]")


# --------------------------------------------------------------------------- names


def stored_id(id: str) -> str:
    """The form of an id in which every store accepts it; `original_id` is the way back.

    Raises `InvalidKey` for an empty id, one that is no valid Unicode, or one of over 1,500 bytes in this form.
    """
    if not id:
        raise InvalidKey("invalid_id", "An id must not be empty.")
    encoded = _ENCODED_IN_IDS.sub(_percent, id)
    if encoded in (".", "..") or _RESERVED.fullmatch(encoded):
        encoded = _percent_text(encoded[0]) + encoded[1:]
    if _utf8_length(encoded) > MAX_ID_BYTES:
        raise InvalidKey("invalid_id", f"An id must not be longer than {MAX_ID_BYTES} bytes.")
    return encoded


def original_id(stored: str) -> str:
    """The id that `stored_id` was given."""
    return unquote(stored)


def check_collection(name: str) -> None:
    """Raises `InvalidKey` unless a collection may be called `name`: letters, digits, `_` and `-`, not reserved."""
    if not _COLLECTION.fullmatch(name) or _RESERVED.fullmatch(name):
        raise InvalidKey("invalid_collection", "A collection's name is made of letters, digits, '_' and '-'.")


def check_field(name: str) -> None:
    """Raises `InvalidKey` unless a top-level field may be called `name`."""
    _check_key(name)
    if "`" in name or "\\" in name:
        # Firestore's client library cannot quote every such name in an update.
        raise InvalidKey("invalid_field", "A field's name must not contain a backtick or a backslash.")


def _check_key(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the keys of a map must be text, not {type(name).__name__}")
    if not name or _RESERVED.fullmatch(name) or _utf8_length(name) > MAX_ID_BYTES:
        raise InvalidKey("invalid_field", "A field's name has 1 to 1,500 bytes and is not of the form '__name__'.")
    return name


def _percent(match: re.Match[str]) -> str:
    return _percent_text(match.group())


def _percent_text(character: str) -> str:
    return f"%{ord(character):02X}"


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidKey("invalid_id", "A name must be valid Unicode text.") from error


def check_order(writes: Iterable[Write]) -> None:
    """Raises `ValueError` if a commit creates a document that it wrote to before, as Firestore does."""
    seen: set[tuple[str, str]] = set()
    for write in writes:
        if isinstance(write, Create) and (write.collection, write.id) in seen:
            raise ValueError("a create must be the first write to its document")
        seen.add((write.collection, write.id))


# --------------------------------------------------------------------------- values


def plain_document(collection: str, stored: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of a whole document's data. Raises as `plain_fields`, and `TooLarge` over 1 MiB."""
    plain = plain_fields(data)
    check_size(collection, stored, plain)
    return plain


def plain_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of some of a document's fields, datetimes in UTC and tuples as lists.

    Raises `ValueError` for a value that no home can store, `InvalidKey` for a field's name, `TooLarge` for a value.
    """
    for name in data:
        check_field(name)
    return {name: plain_value(value) for name, value in data.items()}


def plain_value(value: Any, *, depth: int = 0, in_list: bool = False) -> Any:
    """A checked copy of one value; raises as `plain_fields`."""
    if isinstance(value, Mapping):
        _check_depth(depth)
        return {_check_key(key): plain_value(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if in_list:
            raise ValueError("a list must not hold a list")
        _check_depth(depth)
        return [plain_value(item, depth=depth + 1, in_list=True) for item in value]
    return _plain_scalar(value)


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise ValueError(f"lists and maps must not lie deeper than {MAX_DEPTH} levels")


def _plain_scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # An enum of strings becomes the text it holds, and lone surrogates are refused (UnicodeEncodeError).
        text = str.__str__(value)
        _check_length(len(text.encode()))
        return text
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError("an integer must fit into 64 bits")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        _check_length(len(value))
        return bytes(value)
    if isinstance(value, datetime):
        return _in_utc(value)
    raise ValueError(f"a document cannot hold a {type(value).__name__}")


def _check_length(length: int) -> None:
    if length > MAX_VALUE_BYTES:
        raise TooLarge("value_too_large", f"One value must not be longer than {MAX_VALUE_BYTES:,} bytes.")


def _in_utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("a datetime must be aware of its time zone")
    try:
        moment = value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a datetime must lie within the years 1 to 9999 in UTC") from error
    return datetime.combine(moment.date(), moment.time(), UTC)


# --------------------------------------------------------------------------- sizes


def check_size(collection: str, stored: str, data: Mapping[str, Any]) -> None:
    """Raises `TooLarge` if the document is over 1 MiB by Firestore's rules; `data` is plain."""
    name_size = _text_size(collection) + _text_size(stored) + 16
    if name_size + _map_size(data) + 32 > MAX_DOCUMENT_BYTES:
        raise TooLarge("document_too_large", f"A document must not be larger than {MAX_DOCUMENT_BYTES:,} bytes.")


def _map_size(data: Mapping[str, Any]) -> int:
    return sum(_text_size(name) + _value_size(value) for name, value in data.items())


def _value_size(value: Any) -> int:
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return _text_size(value)
    if isinstance(value, bytes):
        return len(value) + 1  # the documentation says the length alone; the server counts one more
    if isinstance(value, dict):
        return _map_size(value)
    if isinstance(value, list):
        return sum(map(_value_size, value))
    return 8  # a number or a timestamp


def _text_size(text: str) -> int:
    return len(text.encode()) + 1


# --------------------------------------------------------------------------- as text

_DECODERS: dict[str, Callable[[str], Any]] = {
    "$time": datetime.fromisoformat,
    "$bytes": base64.b64decode,
    "$float": float,
}


def dump(value: Any) -> str:
    """Plain values as JSON, without loss and the same for equal values; `load` is the way back."""
    return json.dumps(_tagged(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def load(text: str) -> Any:
    """What `dump` was given. Raises `ValueError` or `TypeError` for a text that it did not write."""
    return json.loads(text, object_hook=_untagged)


def _tagged(value: Any) -> Any:
    """What JSON cannot say becomes a map with one key that starts with `$`; a map's own such keys get one more `$`."""
    if isinstance(value, dict):
        return {f"${key}" if key.startswith("$") else key: _tagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    return value


def _untagged(data: dict[str, Any]) -> Any:
    if len(data) == 1:
        ((key, item),) = data.items()
        if key in _DECODERS:
            return _DECODERS[key](item)
    return {key[1:] if key.startswith("$") else key: item for key, item in data.items()}
