"""Reads all there is of a query, page by page."""

from __future__ import annotations

from collections.abc import Iterator

from shared.ports import Document, Documents, Query


def every(documents: Documents, query: Query, *, page: int = 100) -> Iterator[Document]:
    """The documents in the query's order, fetched as they are taken. Raises as `Documents.query`."""
    cursor: str | None = None
    while True:
        found = documents.query(query, limit=page, cursor=cursor)
        yield from found.documents
        cursor = found.next_cursor
        if cursor is None:
            return
