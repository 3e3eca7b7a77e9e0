"""What is particular to the port over several buckets; the contract of the port runs over it in `test_blobs.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra import topology
from shared.adapters.embedded.blob_keys import LocalSigningKey
from shared.adapters.embedded.documents import SqliteDocuments
from shared.adapters.google.blobs import CloudStorageBlobs
from shared.adapters.google.routed_blobs import RoutedBlobs
from shared.buckets import Buckets
from shared.domain.assets import Asset, object_name_of
from shared.domain.moderation.moderated import (
    QUARANTINE_PREFIX,
    UNSETTLED,
    QuarantineState,
    quarantine_name_of,
    released_name_of,
)
from shared.errors import PreconditionFailed
from shared.handlers import quarantine
from shared.ids import new_uuid
from shared.ports import Blobs
from shared.repositories import assets
from tests.contract.blob_fixtures import (
    BUCKET,
    OTHER_BUCKET,
    Home,
    Host,
    MovableClock,
    clock,
    host,
    put,
    routed_home,
    signing_key,
)
from tests.fakes import Killed, Mortal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

__all__ = ["clock", "host", "signing_key"]


@pytest.fixture
def home(tmp_path: Path, host: Host, signing_key: LocalSigningKey, clock: MovableClock) -> Iterator[Home]:
    with routed_home(tmp_path / "data", host, signing_key, clock) as made:
        yield made


def inside(home: Home, bucket: str) -> CloudStorageBlobs:
    """One of the buckets, as who owns it sees it."""
    return CloudStorageBlobs(home.client, bucket)


def names(blobs: Blobs, prefix: str = "") -> list[str]:
    return [info.name for info in blobs.list(prefix)]


def test_what_a_name_begins_with_says_in_which_bucket_it_is_stored(home: Home) -> None:
    put(home, "a/1", b"one")
    put(home, "c/1", b"two")
    assert (names(inside(home, BUCKET)), names(inside(home, OTHER_BUCKET))) == (["c/1"], ["a/1"])
    assert f"/{OTHER_BUCKET}/a/1?" in home.blobs.sign_get("a/1", expires_in=timedelta(minutes=1))
    assert f"/{BUCKET}/c/1?" in home.blobs.sign_get("c/1", expires_in=timedelta(minutes=1))


def test_an_object_in_a_bucket_that_is_not_its_names_does_not_exist(home: Home) -> None:
    inside(home, BUCKET).put("a/1", b"astray", content_type="video/mp4")
    assert (home.blobs.stat("a/1"), names(home.blobs)) == (None, [])


def test_a_listing_over_buckets_is_in_order(home: Home) -> None:
    for name in ("c/1", "a/2", "\N{LATIN SMALL LETTER O WITH DIAERESIS}", "d", "b", "a/1", "aa"):
        put(home, name, b"x")
    assert names(home.blobs) == ["a/1", "a/2", "aa", "b", "c/1", "d", "\N{LATIN SMALL LETTER O WITH DIAERESIS}"]
    assert names(home.blobs, "a") == ["a/1", "a/2", "aa"]


def test_a_copy_into_another_bucket_has_all_of_it_and_respects_what_lies_there(home: Home) -> None:
    put(home, "c/1", b"film", metadata={"source-id": "gate"})
    copied = home.blobs.copy("c/1", "a/1", if_generation=0)
    assert (copied.size, copied.content_type, copied.metadata) == (4, "video/mp4", {"source-id": "gate"})
    assert inside(home, OTHER_BUCKET).stat("a/1") == copied
    with pytest.raises(PreconditionFailed):
        home.blobs.copy("c/1", "a/1", if_generation=0)
    assert home.blobs.copy("c/1", "a/1", if_generation=copied.generation).generation > copied.generation


@dataclass(frozen=True)
class Moving:
    """A flagged file that is to move into quarantine, or a cleared one that is to move out of it."""

    documents: SqliteDocuments
    blobs: RoutedBlobs
    buckets: tuple[CloudStorageBlobs, CloudStorageBlobs]
    asset_id: str

    def run(self, which: str = "", number: int = 0, *, after: bool = False) -> None:
        """What the sweeper does for it, once; it dies at the change of that number to `documents` or `blobs`."""
        asset, version = assets.get_with_version(self.documents, self.asset_id)
        if asset.quarantine not in UNSETTLED and asset.left_behind is None:
            return
        ports: dict[str, Any] = {"documents": self.documents, "blobs": self.blobs}
        if which:
            ports[which] = Mortal(ports[which], number, ("copy", "delete", "commit"), after=after)
        with suppress(Killed):
            quarantine.move(asset, version, NOW, quarantine.Deps(ports["documents"], ports["blobs"]))

    def everything(self) -> list[list[str]]:
        """The names in the bucket of uploads, and in that of flagged files."""
        return [names(bucket) for bucket in self.buckets]


@pytest.fixture(params=[True, False], ids=["into quarantine", "out of quarantine"])
def moving(request: pytest.FixtureRequest, home: Home, tmp_path: Path) -> Iterator[Moving]:
    store = SqliteDocuments(tmp_path / "documents.sqlite3", topology.load().document_indexes())
    routes = Buckets({"": BUCKET, QUARANTINE_PREFIX: OTHER_BUCKET})
    blobs = RoutedBlobs(routes, lambda bucket: inside(home, bucket))
    asset_id, flagged = new_uuid(), request.param
    name = object_name_of(asset_id) if flagged else quarantine_name_of(asset_id)
    info = blobs.put(name, b"film", content_type="video/mp4")
    state = QuarantineState.DUE if flagged else QuarantineState.RELEASE_DUE
    asset = Asset(asset_id, name, NOW, generation=info.generation, complete=True, quarantine=state)
    store.commit([assets.creation(asset)])
    yield Moving(store, blobs, (inside(home, BUCKET), inside(home, OTHER_BUCKET)), asset_id)
    store.close()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("which", ["blobs", "documents"])
def test_whoever_dies_while_a_file_moves_between_buckets_leaves_it_whole(
    which: str, number: int, after: bool, moving: Moving
) -> None:
    """Whatever the moment, the file is there, and the next runs end with one of it, in one bucket."""
    moving.run(which, number, after=after)
    asset = assets.get(moving.documents, moving.asset_id)
    assert (found := moving.blobs.stat(asset.object_name)) is not None
    assert found.generation == asset.generation
    moving.run()
    moving.run()
    asset = assets.get(moving.documents, moving.asset_id)
    held = asset.object_name == quarantine_name_of(asset.id)
    assert asset.quarantine is (QuarantineState.HELD if held else QuarantineState.RELEASED)
    assert moving.everything() == ([[], [quarantine_name_of(asset.id)]] if held else [[released_name_of(asset.id)], []])
    assert (found := moving.blobs.stat(asset.object_name)) is not None
    assert (found.generation, found.size) == (asset.generation, 4)
