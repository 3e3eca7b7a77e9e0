"""The `documents` fixture: the port in both homes, each test with a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.ports import Documents, Index, Order

INDEXES = (
    Index("things", (Order("kind"), Order("at", descending=True))),
    Index("things", (Order("kind"), Order("at"))),
    Index("things", (Order("place"), Order("at"))),
    Index("things", (Order("rank", descending=True), Order("at"))),
)


@pytest.fixture(params=[pytest.param("embedded"), pytest.param("google")])
def documents(request: pytest.FixtureRequest) -> Documents:
    """An empty store in which the indexes above are declared."""
    store: Documents = request.getfixturevalue(f"{request.param}_documents")
    return store


@pytest.fixture
def embedded_documents(tmp_path: Path) -> Iterator[SqliteDocuments]:
    store = SqliteDocuments(tmp_path / "documents.db", INDEXES)
    yield store
    store.close()


@pytest.fixture
def google_documents(firestore_host: str) -> Iterator[Documents]:
    from google.cloud import firestore

    from shared.adapters.google.documents import FirestoreDocuments

    client = firestore.Client(project=f"demo-{uuid4().hex[:20]}")
    yield FirestoreDocuments(client, indexes=INDEXES)
    client.close()  # type: ignore[no-untyped-call]
