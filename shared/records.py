"""Between frozen dataclasses and plain values (documents, messages): enums by value, tuples as lists, times as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import time
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def to_data(value: object) -> dict[str, Any]:
    """The fields of a dataclass, by name."""
    plain = _plain(value)
    if not isinstance(plain, dict):
        raise TypeError(f"{type(value).__name__} is not a dataclass")
    return plain


def from_data(cls: type[T], data: Mapping[str, Any]) -> T:
    """The dataclass that `data` holds; fields it does not know are ignored, so that older code reads newer data.

    Raises pydantic's `ValidationError` for missing or wrong fields.
    """
    loaded: T = _adapter(cls).validate_python(data)  # type: ignore[arg-type] # a class is hashable
    return loaded


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
