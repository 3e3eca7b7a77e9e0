"""A store, a bucket, a bus that only keeps, and the stages over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.blob_folder import BlobFolder
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from tests.fakes import ManualClock
from tests.handlers.pipeline import BUCKET, ListBus, Pipeline, WordDetector


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FolderBlobs]:
    """One bucket for all tests; every upload has a name of its own."""
    folder = BlobFolder(tmp_path_factory.mktemp("blobs"))
    yield FolderBlobs(folder, BUCKET)
    folder.close()


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[SqliteDocuments]:
    """An empty store."""
    store = SqliteDocuments(tmp_path / "documents.sqlite3", topology.load().document_indexes())
    yield store
    store.close()


@pytest.fixture
def bus() -> ListBus:
    """A bus that only keeps."""
    return ListBus()


@pytest.fixture
def pipeline(documents: SqliteDocuments, media: FolderBlobs, bus: ListBus) -> Pipeline:
    """The stages over an empty store."""
    return Pipeline(documents, media, bus, ManualClock(), WordDetector())
