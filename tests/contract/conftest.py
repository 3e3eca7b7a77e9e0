"""The `documents` fixture: the port in both homes, each test with a store of its own. And a server of Google's AI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.adapters.embedded.documents import SqliteDocuments
from shared.ports import Documents, Index, Order, Unindexed
from tests.google_ai_server import GoogleAi, running_google_ai

INDEXES = (
    Index("things", (Order("kind"), Order("at", descending=True))),
    Index("things", (Order("kind"), Order("at"))),
    Index("things", (Order("place"), Order("at"))),
    Index("things", (Order("rank", descending=True), Order("at"))),
    Index("memos", (Order("kind"), Order("at"))),
    Unindexed("memos", "at"),
    Unindexed("memos", "text"),
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


@pytest.fixture(scope="session")
def google_ai_running() -> Iterator[GoogleAi]:
    with running_google_ai() as running:
        yield running


@pytest.fixture
def google_ai(google_ai_running: GoogleAi) -> GoogleAi:
    """A server that speaks Vision, Natural Language and Video Intelligence, and has been told nothing yet."""
    google_ai_running.behave()
    return google_ai_running
