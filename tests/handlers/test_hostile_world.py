"""Whatever the bus and fate do: one incident a place, no asset lost, no stage done twice with two effects."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra import topology
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.domain.incidents import Observation, SignalKind
from shared.domain.stages import AssetState, asset_state
from shared.handlers import observe
from shared.ports import Filter, Query
from shared.repositories import incidents
from tests.fakes import NOON, ManualClock
from tests.handlers.pipeline import LEASE, Pipeline, WordDetector
from tests.hostile import HostileDocuments, HostileWorld

SEEDS = 240
SEEDS_A_TEST = 12
PLACES = ("gate", "yard")
WORDS = ("fight", "calm", "fight", "scuffle", "fight", "broken")
TOPICS = {
    "media-uploaded": ["detect"],
    "media-detected": ["correlate", "context"],
    "media-analysed": [],
    "incident-opened": [],
    "incident-changed": [],
}


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_A_TEST))
def test_every_asset_ends_once_and_every_place_has_one_incident(first: int, media: FolderBlobs, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        store = SqliteDocuments(tmp_path / f"{seed}.sqlite3", topology.load().document_indexes())
        try:
            _play(seed, store, media)
        finally:
            store.close()


def _play(seed: int, store: SqliteDocuments, media: FolderBlobs) -> None:
    clock = ManualClock()
    world = HostileWorld(seed, clock, TOPICS, lease_seconds=LEASE.total_seconds())
    calm = Pipeline(store, media, world, clock, WordDetector())
    hostile = Pipeline(HostileDocuments(store, world), media, world, clock, WordDetector())
    world.handlers = hostile.handlers()
    earlier = seed % 2
    if earlier:  # the last incident of each place is over: its slot must be taken over, not made
        _last_weeks_incidents(calm)
    uploads = [
        calm.upload(_content(number, word), source_id=place) for place in PLACES for number, word in enumerate(WORDS)
    ]
    for _, notification in uploads:
        world.inject("ingest", notification)
    world.run()
    _check(seed, calm, world, [asset_id for asset_id, _ in uploads], earlier)


def _content(number: int, word: str) -> str:
    """The fights are one recording in three encodings, and every file comes to both places: all may be seen before."""
    return f"{word} street brawl {number}" if word == "fight" else word


def _last_weeks_incidents(pipeline: Pipeline) -> None:
    # One source of ids for all: nothing here draws again when an id is taken, as the handlers do.
    deps = replace(pipeline.observe_deps(), clock=ManualClock(NOON - timedelta(days=7)))
    for place in PLACES:
        observation = Observation(SignalKind.VIOLENCE, place, 0.9, "last week")
        pipeline.documents.commit(observe.plan(observation, place, deps).writes)


def _check(seed: int, pipeline: Pipeline, world: HostileWorld, asset_ids: list[str], earlier: int) -> None:
    store = pipeline.documents
    states = [asset_state(pipeline.asset(asset_id).stages) for asset_id in asset_ids]
    expected = [AssetState.FAILED if word == "broken" else AssetState.DONE for _ in PLACES for word in WORDS]
    assert states == expected, seed
    for place in PLACES:
        found, _ = incidents.newest(store, beacon_id=place, limit=10, cursor=None)
        assert len(found) == 1 + earlier, seed
        assert incidents.signal_count(store, found[0].id) == WORDS.count("fight"), seed
        assert found[0].previous_incident_id == (found[1].id if earlier else None), seed
    # The scuffle is below the threshold: an event without a signal.
    events = WORDS.count("fight") + WORDS.count("scuffle") + earlier
    assert store.count(Query("ai_events")) == len(PLACES) * events, seed
    opened = {message.attributes["ce-id"] for message in world.published if message.topic == "incident-opened"}
    assert len(opened) == len(PLACES), seed
    said = {m.attributes["ce-id"]: json.loads(m.data) for m in world.published if m.topic == "media-analysed"}
    assert sorted(m["asset_id"] for m in said.values()) == sorted(asset_ids), seed
    assert all(pipeline.asset(asset_id).complete for asset_id in asset_ids), seed
    assert store.count(Query("work", (Filter("published", "==", False),))) == 0, seed
