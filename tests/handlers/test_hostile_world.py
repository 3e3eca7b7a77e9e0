"""Whatever the bus and fate do: one incident a place, no asset lost, no stage done twice with two effects."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra import topology
from shared.adapters.embedded.blobs import FolderBlobs
from shared.adapters.embedded.documents import SqliteDocuments
from shared.delivery import receive_tick
from shared.domain.incidents import Observation, Place, SignalKind
from shared.domain.moderation.moderated import QuarantineState, quarantine_name_of
from shared.domain.moderation.receipts import Status
from shared.domain.stages import AssetState, WorkState, asset_state
from shared.handlers import maintain, observe
from shared.ports import Delivery, Filter, OperationState, Query, VideoAnnotation
from shared.records import to_data
from shared.repositories import components, incident_search, incidents
from shared.repositories.incident_search import Search
from tests.fakes import NOON, ManualClock
from tests.handlers.pipeline import LEASE, PROFILES, RESULTS_BUCKET, Pipeline, ScriptedVideo, WordDetector
from tests.hostile import HostileDocuments, HostileWorld

SEEDS = 60
SEEDS_A_TEST = 12
MONTH = timedelta(days=30)
PLACES = ("gate", "yard")
WORDS = ("fight", "calm", "fight", "scuffle", "fight", "broken")
SWEEPS = 4
TOPICS = {
    "media-finalised": ["ingest"],
    "media-uploaded": ["detect"],
    "media-detected": ["correlate", "context", "moderate"],
    "media-moderated": ["escalate"],
    "annotations-finalised": ["annotate"],
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


def test_fate_happens_in_one_thread() -> None:
    """Slow machines renew leases from threads: what one of them delivered might go on when the world is at rest."""
    world = HostileWorld(1, ManualClock(), TOPICS, lease_seconds=1, deaths=1.0, intrusions=0.0, losses=0.0)
    lived: list[str] = []

    def touch(who: str) -> None:
        world.touch()
        lived.append(who)

    def work(_: Delivery) -> None:
        renewer = threading.Thread(target=touch, args=("renewer",))
        renewer.start()
        renewer.join()
        touch("worker")

    world.handlers = {"ingest": work}
    world.inject("ingest", Delivery("m", b"{}", {}))
    world._deliver_one()
    assert lived == ["renewer"]


def _play(seed: int, store: SqliteDocuments, media: FolderBlobs) -> None:
    clock = ManualClock(datetime.now(UTC) + timedelta(minutes=1))  # objects bear the machine's time
    world = HostileWorld(seed, clock, TOPICS, lease_seconds=LEASE.total_seconds())
    calm = Pipeline(store, media, world, clock, WordDetector())
    hostile = Pipeline(HostileDocuments(store, world), media, world, clock, WordDetector())
    if seed % 3 == 0:  # every video is looked at whole
        standard = replace(PROFILES.standard, video=replace(PROFILES.standard.video, always_full=True))
        hostile.profiles = replace(PROFILES, standard=standard)
        calm.video = hostile.video = HostileVideo(world, media)
    sweeper = replace(hostile.maintain_deps(), grace=LEASE)
    world.handlers = {
        **hostile.handlers(),
        "maintain": partial(receive_tick, "maintain", partial(maintain.sweep, sweeper)),
    }
    # The bucket holds the files of all seeds, so this world's sweeper must not look through it.
    components.report_maintenance(store, components.MaintenanceRun(clock.now(), housekept_at=clock.now() + MONTH))
    earlier = seed % 2
    if earlier:  # the last incident of each place is over: its slot must be taken over, not made
        _last_weeks_incidents(calm)
    uploads = [
        calm.upload(_content(number, word), source_id=place) for place in PLACES for number, word in enumerate(WORDS)
    ]
    for _, notification in uploads:
        world.inject("ingest", notification)
    for number in range(SWEEPS):
        world.inject("maintain", Delivery(f"tick-{number}", b"{}", {}))
    world.run()
    _sweep_until_nothing_waits(world, calm)
    _check(seed, calm, world, [asset_id for asset_id, _ in uploads], earlier)


class HostileVideo(ScriptedVideo):
    """Video Intelligence in the hostile world: its result may be told of before anybody waits for it, or never come."""

    def __init__(self, world: HostileWorld, media: FolderBlobs) -> None:
        super().__init__()
        self._world = world
        self._media = media

    def start(self, object_name: str, output_name: str) -> str:
        """Ends at once, one time in four without a result; the one who started it may die before it knows."""
        self._world.touch()
        name = super().start(object_name, output_name)
        if self._world.random.random() < 0.25:
            self.states[name] = OperationState.FAILED
        else:
            self.states[name] = OperationState.SUCCEEDED
            found = VideoAnnotation(explicit=(), labels=(), shots=1, texts=())
            self._media.put(output_name, json.dumps(to_data(found)).encode(), content_type="application/json")
            resource = {"bucket": RESULTS_BUCKET, "name": output_name, "generation": "1"}
            self._world.inject("annotate", Delivery(name, json.dumps(resource).encode(), {}))
        self._world.touch()
        return name


def _sweep_until_nothing_waits(world: HostileWorld, pipeline: Pipeline) -> None:
    """What fate left: each sweep a while after the last, once fate has calmed down."""
    world.calm_down()
    for number in range(12):
        world.clock.advance(LEASE.total_seconds() * 2**number)
        if not maintain.sweep(replace(pipeline.maintain_deps(), grace=LEASE)):
            return
        world.run()
    raise AssertionError("there was always something left to sweep")


def _content(number: int, word: str) -> str:
    """The fights are one recording in three encodings, and every file comes to both places: all may be seen before."""
    return f"{word} street brawl {number}" if word == "fight" else word


def _last_weeks_incidents(pipeline: Pipeline) -> None:
    # One source of ids for all: nothing here draws again when an id is taken, as the handlers do.
    deps = replace(pipeline.observe_deps(), clock=ManualClock(NOON - timedelta(days=7)))
    for place in PLACES:
        observation = Observation(SignalKind.VIOLENCE, place, 0.9, "last week")
        pipeline.documents.commit(observe.plan(observation, Place(place), deps).writes)


def _check(seed: int, pipeline: Pipeline, world: HostileWorld, asset_ids: list[str], earlier: int) -> None:
    store = pipeline.documents
    states = [asset_state(pipeline.asset(asset_id).stages) for asset_id in asset_ids]
    expected = [AssetState.FAILED if word == "broken" else AssetState.DONE for _ in PLACES for word in WORDS]
    assert states == expected, seed
    for place in PLACES:
        found, _ = incident_search.find(store, Search(beacon_id=place), limit=10, cursor=None)
        assert len(found) == 1 + earlier, seed
        assert incidents.signal_count(store, found[0].id) == WORDS.count("fight"), seed
        assert found[0].previous_incident_id == (found[1].id if earlier else None), seed
    # The scuffle is below the threshold: an event without a signal.
    events = WORDS.count("fight") + WORDS.count("scuffle") + earlier
    assert store.count(Query("ai_events")) == len(PLACES) * events, seed
    opened = {message.attributes["ce-id"] for message in world.published if message.topic == "incident-opened"}
    assert len(opened) == len(PLACES), seed
    said = {m.attributes["ce-id"]: json.loads(m.data) for m in world.published if m.topic == "media-analysed"}
    _check_what_was_said(seed, pipeline, list(said.values()), asset_ids)
    assert all(pipeline.asset(asset_id).complete for asset_id in asset_ids), seed
    _check_verdicts(seed, pipeline, world, asset_ids)
    assert store.count(Query("work", (Filter("published", "==", False),))) == 0, seed
    for state in (WorkState.RUNNING, WorkState.RELEASED, WorkState.GIVEN_UP):
        assert store.count(Query("work", (Filter("state", "==", state.value),))) == 0, seed


def _check_verdicts(seed: int, pipeline: Pipeline, world: HostileWorld, asset_ids: list[str]) -> None:
    """Each has a final verdict that was published, and lies where its verdict wants it."""
    said = {json.loads(m.data)["asset_id"] for m in world.published if m.topic == "media-moderated"}
    for asset_id, word in zip(asset_ids, WORDS * len(PLACES), strict=True):
        asset = pipeline.asset(asset_id)
        if word == "broken":
            assert asset.moderation is None, seed
            continue
        assert asset.moderation is not None, seed
        assert (asset.moderation.final, asset.provisional, asset_id in said) == (True, False, True), seed
        flagged = word == "fight"
        assert asset.moderation.verdict.status is (Status.FAIL if flagged else Status.PASS), seed
        assert asset.quarantine is (QuarantineState.HELD if flagged else None), seed
        assert (quarantine_name_of(asset_id) == asset.object_name) is flagged, seed
        with pipeline.media.open(asset.object_name, generation=asset.generation) as stream:
            assert stream.read().decode().split()[0] == word, seed


def _check_what_was_said(seed: int, pipeline: Pipeline, said: list[dict[str, Any]], asset_ids: list[str]) -> None:
    """Once for each asset, but for those that were given up first (five workers lost) and mended by a late delivery."""
    for asset_id in asset_ids:
        mine = [message for message in said if message["asset_id"] == asset_id]
        assert mine[-1]["state"] == asset_state(pipeline.asset(asset_id).stages), seed
        given_up = [m for m in mine[:-1] if "worker_lost" in m["missing"].values()]
        assert len(mine) == 1 + len(given_up), seed
