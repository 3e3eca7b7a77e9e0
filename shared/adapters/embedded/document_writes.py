"""What each kind of write does to a document, the preconditions included.

`prepare` checks a write and does all work that needs no look at the store; `outcome` is then quick, for it runs while
others wait for the writer. It must not touch SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.adapters.document_values import (
    check_collection,
    check_field,
    check_size,
    dump,
    load,
    plain_document,
    plain_fields,
    plain_value,
    stored_id,
)
from shared.adapters.embedded.document_sql import keys_of
from shared.errors import AlreadyExists, VersionConflict
from shared.ports import Create, Delete, Increment, Set, Update, Write

LOWEST, HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Stored:
    """The present row of a document."""

    version: str
    data: str


@dataclass(frozen=True)
class Content:
    """What a row shall hold."""

    data: str
    keys: str


@dataclass(frozen=True)
class Prepared:
    """A checked write: its target, and its fields or its whole new content, whichever can be known beforehand."""

    write: Write
    collection: str
    id: str
    fields: dict[str, Any]
    content: Content | None


def prepare(write: Write) -> Prepared:
    """Raises `InvalidKey`, `TooLarge`, and `ValueError` for values that no home can store."""
    check_collection(write.collection)
    id = stored_id(write.id)
    if isinstance(write, Create | Set):
        fields = plain_document(write.collection, id, write.data)
        return Prepared(write, write.collection, id, fields, _content(fields))
    if isinstance(write, Update):
        if not write.data:
            raise ValueError("an update must name a field")
        return Prepared(write, write.collection, id, plain_fields(write.data), None)
    if isinstance(write, Increment):
        check_field(write.field)
        return Prepared(write, write.collection, id, {write.field: plain_value(write.amount)}, None)
    return Prepared(write, write.collection, id, {}, None)


def outcome(step: Prepared, present: Stored | None) -> Content | None:
    """The row after the write, None if it shall be gone. Raises `AlreadyExists`, `VersionConflict`, `TooLarge`."""
    write = step.write
    if isinstance(write, Create) and present is not None:
        raise AlreadyExists(f"{write.collection} has this document already")
    if isinstance(write, Update) and (present is None or write.version not in (None, present.version)):
        raise VersionConflict(f"a document of {write.collection} is gone or no longer at the version that was read")
    if isinstance(write, Delete):
        if write.version is not None and (present is None or write.version != present.version):
            raise VersionConflict(f"a document of {write.collection} is gone or no longer at the version that was read")
        return None
    if step.content is not None:
        return step.content
    return _merged(step, {} if present is None else load(present.data))


def _merged(step: Prepared, data: dict[str, Any]) -> Content:
    if isinstance(step.write, Increment):
        field = step.write.field
        data[field] = _sum(data.get(field), step.fields[field])
    else:
        data.update(step.fields)
    check_size(step.collection, step.id, data)
    return _content(data)


def _sum(present: Any, amount: float) -> float:
    """As Firestore adds: integers stop at the ends of 64 bits, and what is no number gives way to the amount."""
    if isinstance(present, bool) or not isinstance(present, int | float):
        return amount
    total = present + amount
    return max(LOWEST, min(HIGHEST, total)) if isinstance(total, int) else total


def _content(data: dict[str, Any]) -> Content:
    return Content(dump(data), keys_of(data))
