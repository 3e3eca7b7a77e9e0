"""The embedded home without its stages' threads: what is stored stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from local.home import Home
from local.server import application
from shared.adapters.embedded import blob_keys
from shared.settings import EmbeddedSettings
from tests.conftest import untraced

THE_KEY = cache(blob_keys._new_key)


@pytest.fixture(autouse=True)
def one_signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """All homes have the same: making a key takes longer than most tests."""
    monkeypatch.setattr(blob_keys, "_new_key", THE_KEY)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Stores and routes."""
    with untraced():
        made = Home(tmp_path / "data", EmbeddedSettings(), "http://testserver")
    yield made
    made.close()


@pytest.fixture
def client(home: Home) -> TestClient:
    """A client of all routes; one place is known. To build the routes takes twice as long where it is traced."""
    with untraced():
        client = TestClient(application(home))
    client.put("/beacons/gate", json={"location": "Library Entrance", "active": True})
    return client
