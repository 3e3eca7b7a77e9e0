"""Reads all there is of a query, page by page; and cursors of lists that are merged from several queries."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from shared.errors import Malformed
from shared.ports import Document, Documents, Filter, Query


def every(documents: Documents, query: Query, *, page: int = 100) -> Iterator[Document]:
    """The documents in the query's order, fetched as they are taken. Raises as `Documents.query`."""
    cursor: str | None = None
    while True:
        found = documents.query(query, limit=page, cursor=cursor)
        yield from found.documents
        cursor = found.next_cursor
        if cursor is None:
            return


def since_filter(field: str, moment: datetime | None) -> tuple[Filter, ...]:
    """The filter for what is not before a moment; none without one."""
    return () if moment is None else (Filter(field, ">=", moment),)


def cursor_of(moment: datetime, *rest: str | int) -> str:
    """The cursor that continues after a position: a moment, and what tells apart those of one moment."""
    return (
        base64.urlsafe_b64encode(json.dumps([moment.astimezone(UTC).isoformat(), *rest]).encode()).decode().rstrip("=")
    )


def position_in(cursor: str, *types: type) -> tuple[datetime, list[Any]]:
    """The position in a cursor, whose rest is of these types. Raises `Malformed` for what is none."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, *rest = json.loads(text)
        position = datetime.fromisoformat(moment)
    except (ValueError, TypeError, RecursionError):
        raise _foreign() from None
    if position.tzinfo is not UTC or [type(value) for value in rest] != list(types):
        raise _foreign()
    return position, rest


def _foreign() -> Malformed:
    return Malformed("malformed_cursor", "The cursor is not one that this list gave out.")
