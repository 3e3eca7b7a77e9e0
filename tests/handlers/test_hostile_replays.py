"""Replays in the hostile world: whoever dies, each ends once, and none harms a result, a place or another replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.stages import AssetState, Stage, StageState, asset_state
from shared.handlers import replays
from shared.outbox import publish_pending
from shared.ports import Delivery, Documents, Filter, Query
from shared.repositories import incident_search, incidents
from shared.repositories import replays as stored
from shared.repositories.incident_search import Search
from tests.fakes import ManualClock
from tests.handlers.pipeline import LEASE, SUBSCRIBERS, Pipeline, WordDetector
from tests.hostile import HostileDocuments, HostileWorld

SEEDS = 36
SEEDS_A_TEST = 12
TOPICS = {**SUBSCRIBERS, "media-analysed": [], "incident-opened": [], "incident-changed": []}
LEARNT = {"fight": 0.2, "scuffle": 0.9}
"""Of the second model: it sees no fight, takes a scuffle for one, and can't read a calm clip at all."""

WORDS = ("fight", "scuffle", "calm")
ORDERS = ("detect", "correlate", "ingest", "context")


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_every_replay_ends_once_and_harms_nothing(first: int, media: FolderBlobs, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        store = SqliteDocuments(tmp_path / f"{seed}.sqlite3", topology.load().document_indexes())
        try:
            _play(seed, store, media)
        finally:
            store.close()


def _play(seed: int, store: SqliteDocuments, media: FolderBlobs) -> None:
    clock = ManualClock()
    world = HostileWorld(
        seed, clock, TOPICS, lease_seconds=LEASE.total_seconds(), deaths=0.0, intrusions=0.0, losses=0.0
    )
    calm = Pipeline(store, media, world, clock, WordDetector())
    world.handlers = calm.handlers()
    uploads = {word: calm.upload(word, source_id=word) for word in WORDS}
    for _, notification in uploads.values():
        world.inject("ingest", notification)
    world.run()
    asset_ids = {word: asset_id for word, (asset_id, _) in uploads.items()}
    clock.advance(3600)
    again = HostileWorld(seed, clock, TOPICS, lease_seconds=LEASE.total_seconds(), losses=0.0)
    hostile = Pipeline(HostileDocuments(store, again), media, again, clock, WordDetector("word-detector-2", LEARNT))
    again.handlers = {**hostile.handlers(), "client": _client(hostile)}
    for asset_id in asset_ids.values():
        for stage in ORDERS:
            again.inject("client", Delivery(f"{asset_id}-{stage}", json.dumps([asset_id, stage]).encode(), {}))
    again.run()
    _check(seed, calm, again, asset_ids)


def _client(pipeline: Pipeline) -> Callable[[Delivery], None]:
    """Orders until it is told yes: while another replay is under way, the answer is no and the delivery comes again."""

    def order(delivery: Delivery) -> None:
        asset_id, stage = json.loads(delivery.data)
        replays.request(replays.Request(asset_id, stage, "hostile", f"the-{stage}"), pipeline.replay_deps())

    return order


def _check(seed: int, pipeline: Pipeline, world: HostileWorld, asset_ids: dict[str, str]) -> None:
    store = pipeline.documents
    states = {word: _states(store, asset_id) for word, asset_id in asset_ids.items()}
    well = {"detect": "done", "correlate": "done", "ingest": "done", "context": "skipped"}
    assert states == {"fight": well, "scuffle": well, "calm": {**well, "detect": "failed"}}, seed
    found = {word: pipeline.asset(asset_id) for word, asset_id in asset_ids.items()}
    assert {asset_state(asset.stages) for asset in found.values()} == {AssetState.DONE}, seed
    models = {word: asset.detection.model for word, asset in found.items() if asset.detection}
    assert models == {"fight": "word-detector-2", "scuffle": "word-detector-2", "calm": "word-detector-1"}, seed
    assert _signals(store, "fight") == [1], seed
    # Whether the scuffle was correlated before or after the other model looked at it is fate's choice.
    assert _signals(store, "scuffle") == [1] * len(found["scuffle"].incident_ids), seed
    assert _signals(store, "calm") == [], seed
    opened = {message.attributes["ce-id"] for message in world.published if message.topic == "incident-opened"}
    assert len(opened) == len(found["scuffle"].incident_ids), seed
    for message in world.published:
        if message.topic in {"media-uploaded", "media-detected"}:
            assert json.loads(message.data)["replay"] is not None, seed
    # An announcement whose ledger went on before it was published is no delivery's business any more: the sweep's.
    world.clock.advance(60)
    publish_pending(store, world, world.clock.now())
    assert store.count(Query("work", (Filter("published", "==", False),))) == 0, seed


def _states(store: Documents, asset_id: str) -> dict[str, str]:
    found, _ = stored.newest(store, asset_id, limit=100)
    assert len(found) == len(ORDERS)
    assert all((replay.new is not None) is (replay.record.state is StageState.DONE) for replay in found)
    return {Stage(replay.stage).value: replay.record.state.value for replay in found}


def _signals(store: Documents, beacon_id: str) -> list[int]:
    found, _ = incident_search.find(store, Search(beacon_id=beacon_id), limit=10, cursor=None)
    return [incidents.signal_count(store, incident.id) for incident in found]
