"""Firestore's order of values, as text: comparing two keys byte by byte compares the values.

null < false < true < NaN < numbers (integers and floats by value) < timestamps < text (UTF-8) < bytes < lists < maps.
Lists count as equal among themselves, and so do maps: nothing here sorts or filters by their contents.
It must not know any store.
"""

from __future__ import annotations

import hashlib
import math
import struct
from datetime import datetime
from typing import Any

INDEXED_LENGTH = 1500
"""Characters of a key that count for the order, as in Firestore; a digest of the rest keeps longer ones apart."""


def order_key(value: Any) -> str:
    """The key of a plain value; its first character is the value's type."""
    key = _key(value)
    if len(key) <= INDEXED_LENGTH:
        return key
    return key[:INDEXED_LENGTH] + hashlib.sha256(key.encode()).hexdigest()


def type_bounds(value: Any) -> tuple[str, str]:
    """Keys of the values that an inequality with `value` can match lie in [first, second): the same type, no NaN."""
    rank = _key(value)[0]
    return ("21" if rank == "2" else rank), chr(ord(rank) + 1)


def _key(value: Any) -> str:  # noqa: PLR0911 - one line a type reads best
    if value is None:
        return "0"
    if isinstance(value, bool):
        return f"1{value:d}"
    if isinstance(value, int | float):
        return f"2{_number(value)}"
    if isinstance(value, datetime):
        return f"3{value.isoformat(timespec='microseconds')}"
    if isinstance(value, str):
        # SQLite's JSON functions end a text at NUL, so the key must hold none; the order stays.
        escaped = value.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
        return f"4{escaped}"
    if isinstance(value, bytes):
        return f"5{value.hex()}"
    return "6" if isinstance(value, list) else "7"


def _number(value: float) -> str:
    """The nearest double with its bits arranged to sort, then what an integer differs from it (at most 512)."""
    if math.isnan(value):
        return "0"
    nearest = float(value) or 0.0  # minus zero equals zero
    bits: int = struct.unpack(">Q", struct.pack(">d", nearest))[0]
    sortable = bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63
    difference = value - int(nearest) if isinstance(value, int) else 0
    return f"1{sortable:016x}{difference + 0x8000:04x}"
